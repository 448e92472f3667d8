package test_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
)

// The token goes to the named origins alone, and on no redirect, wherever that leads.
func TestTransport_theTokenStaysAtItsOrigin(t *testing.T) {
	r := newRig(t)
	h := r.client.Session(r.login())
	a, other, secure := newAPI(t, unencrypted), newAPI(t, unencrypted), newAPI(t, encrypted)
	port := a.URL[strings.LastIndexByte(a.URL, ':'):]
	for name, to := range map[string]string{
		"the same origin": a.URL + "/there", "another port": other.URL, "a name of the same address": "http://localhost" + port + "/there",
		"a name below it": "http://sub.localhost" + port + "/there", "a downgrade": other.URL,
	} {
		from := a
		if name == "a downgrade" {
			from = secure
		}
		from.answer = func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/from" {
				http.Redirect(w, req, to, http.StatusTemporaryRedirect)
			}
		}
		c := &http.Client{Transport: h.Transport(tokenward.TokenRequest{}, toLoopback(from.Client()), from.URL)}
		before, tokens := from.withToken()+other.withToken(), len(a.requests())+len(other.requests())+len(secure.requests())
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, from.URL+"/from", strings.NewReader("body"))
		if status, err := do(c, req); status != http.StatusOK || err != nil {
			t.Errorf("%s: %d, %v", name, status, err)
		}
		r.want(name+": requests", len(a.requests())+len(other.requests())+len(secure.requests())-tokens, 2)
		r.want(name+": with a token", from.withToken()+other.withToken()-before, 1)
	}
}

// toLoopback returns a transport that reaches names of localhost too.
func toLoopback(c *http.Client) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if req.URL.Hostname() == "sub.localhost" {
			u := *req.URL
			u.Host = "127.0.0.1:" + u.Port()
			req = req.WithContext(req.Context())
			req.URL = &u
		}
		return c.Transport.RoundTrip(req)
	})
}

// notingBase is a base that notes the Authorization of what it is given, and answers 200.
type notingBase struct {
	authorization []string
	closed        int
}

func (s *notingBase) RoundTrip(r *http.Request) (*http.Response, error) {
	s.authorization = append(s.authorization, strings.Join(r.Header["Authorization"], "; "))
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
}

func (s *notingBase) CloseIdleConnections() { s.closed++ }

// Which requests have the token of the session, and what became of the request that was given.
func TestTransport_whichRequestsHaveTheToken(t *testing.T) {
	r := newRig(t, withConfig(func(c *tokenward.Config) { c.Audience = "https://api.example.com/v1" }))
	h := r.client.Session(r.login())
	token := "Bearer " + must(h.GetAccessToken(t.Context(), tokenward.TokenRequest{})).AccessToken
	for _, tt := range []struct {
		name, url string
		edit      func(*http.Request)
		origins   []string
		want      string
	}{
		{"the audience's origin", "https://api.example.com/orders", nil, nil, token},
		{"port and case do not count", "HTTPS://API.example.com:443", nil, nil, token},
		{"a dot at the end", "https://api.example.com.", nil, nil, token},
		{"a user", "https://ada:pw@api.example.com", nil, nil, token},
		{"a host of another name", "https://api.example.com", func(r *http.Request) { r.Host = "evil.example" }, nil, ""},
		{"a host of the same name", "https://api.example.com", func(r *http.Request) { r.Host = "api.example.com:443" }, nil, token},
		{"http", "http://api.example.com", nil, nil, ""},
		{"another port", "https://api.example.com:8443", nil, nil, ""},
		{"above it", "https://example.com", nil, nil, ""},
		{"below it", "https://x.api.example.com", nil, nil, ""},
		{"it as a user", "https://api.example.com@evil.example", nil, nil, ""},
		{"it as a beginning", "https://api.example.com.evil.example", nil, nil, ""},
		{"a redirect", "https://api.example.com", func(r *http.Request) { r.Response = &http.Response{} }, nil, ""},
		{"other origins than the audience's", "https://api.example.com", nil, []string{"https://other.example"}, ""},
		{"one of two", "https://b.example:1/x", nil, []string{"https://a.example", "https://b.example:1"}, token},
		{"its own field", "https://api.example.com", func(r *http.Request) { r.Header.Set("Authorization", "Basic YQ==") }, nil, "Basic YQ=="},
		{"its own field in small letters", "https://api.example.com", func(r *http.Request) { r.Header["authorization"] = []string{"x"} }, nil, ""},
		{"no header", "https://api.example.com", func(r *http.Request) { r.Header = nil }, nil, token},
	} {
		base := new(notingBase)
		transport := h.Transport(tokenward.TokenRequest{}, base, tt.origins...)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if tt.edit != nil {
			tt.edit(req)
		}
		before := req.Header.Clone()
		resp, err := transport.RoundTrip(req)
		if err != nil || len(base.authorization) != 1 || base.authorization[0] != tt.want {
			t.Errorf("%s: sent %q, %v; want %q", tt.name, base.authorization, err, tt.want)
			continue
		}
		if resp.Request != req || fmt.Sprint(req.Header) != fmt.Sprint(before) {
			t.Errorf("%s: the request was changed", tt.name)
		}
		(&http.Client{Transport: transport}).CloseIdleConnections()
		if base.closed != 1 {
			t.Errorf("%s: CloseIdleConnections did not reach the base", tt.name)
		}
		if text := fmt.Sprintf("%v %+v %#v", transport, transport, transport); strings.Contains(text, strings.TrimPrefix(token, "Bearer ")) {
			t.Errorf("printed, the transport shows its token: %s", text)
		}
	}
}

// Without an origin that a token may be sent to, nothing is sent.
func TestTransport_unusableOrigins(t *testing.T) {
	r := newRig(t)
	h := r.client.Session(r.login())
	for _, tt := range []struct {
		audience string
		origins  []string
		says     string
	}{
		{"", nil, "name those"},
		{"urn:api", nil, "name those"},
		{"http://api.example.com", nil, "name those"},
		{"https://api.example.com", []string{""}, "one is no absolute URL"},
		{"", []string{"https://a.example", "http://b.example"}, "http://b.example must use https"},
		{"", []string{"https://ada@a.example"}, "https://a.example must have no user"},
		{"", []string{"a.example"}, "one is no absolute URL"},
	} {
		base, body := new(notingBase), &closeCounter{Reader: strings.NewReader("x")}
		c := &http.Client{Transport: h.Transport(tokenward.TokenRequest{Audience: tt.audience}, base, tt.origins...)}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://a.example", body)
		_, err := do(c, req)
		e := asError[*tokenward.ConfigurationError](t, fmt.Sprint(tt), err, "configuration_error")
		if e != nil && (!strings.Contains(e.Message, tt.says) || strings.Contains(e.Message, "ada") || httpauth.StatusOf(err) != http.StatusInternalServerError) {
			t.Errorf("%v: %v, status %d; want %q, 500", tt, err, httpauth.StatusOf(err), tt.says)
		}
		if len(base.authorization) != 0 || !body.closed.Load() {
			t.Errorf("%v: sent %d, closed %v", tt, len(base.authorization), body.closed.Load())
		}
	}
}

// A request without a session fails and names the missing part, and its body is closed.
func TestTransport_withoutASession(t *testing.T) {
	r := newRig(t)
	for name, tt := range map[string]struct {
		h    *tokenward.Handle
		code tokenward.Code
	}{
		"the middleware is missing": {r.client.ContextSession(), "invalid_argument"},
		"an unknown session":        {r.client.Session("of nobody"), "missing_refresh_token"},
		"an empty id":               {r.client.Session(""), "invalid_argument"},
	} {
		base, body := new(notingBase), &closeCounter{Reader: strings.NewReader("x")}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://a.example", body)
		_, err := do(&http.Client{Transport: tt.h.Transport(tokenward.TokenRequest{}, base, "https://a.example")}, req)
		if tokenward.CodeOf(err) != tt.code || len(base.authorization) != 0 || !body.closed.Load() {
			t.Errorf("%s: %v, sent %d, closed %v", name, err, len(base.authorization), body.closed.Load())
		}
		if tt.code == "invalid_argument" && !strings.Contains(err.Error(), "Attach") {
			t.Errorf("%s: the error does not name the middleware: %v", name, err)
		}
	}
}
