package idp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

// scripted answers every request with what the fuzzer made up, but discovery.
type scripted struct {
	metadata string
	answer   func(req *http.Request) (*http.Response, error)
}

func (s *scripted) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, "/.well-known/openid-configuration") {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(s.metadata)), Request: req}, nil
	}
	return s.answer(req)
}

const wholeMetadata = `{"issuer":"https://tenant.example/","authorization_endpoint":"https://tenant.example/authorize?x=1","token_endpoint":"https://tenant.example/token",` +
	`"pushed_authorization_request_endpoint":"https://tenant.example/par","revocation_endpoint":"https://tenant.example/revoke"}`

const clientCanary = "client-secret-canary"

func newScripted(tb testing.TB, metadata string) (*Client, *scripted) {
	tb.Helper()
	s := &scripted{metadata: metadata}
	c, err := New(Config{
		ClientID: "client", ClientSecret: clientCanary, HTTPClient: &http.Client{Transport: s}, Clock: clock.NewFake(time.Unix(1_800_000_000, 0)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return c, s
}

// FuzzHTTPAnswer answers with any bytes where HTTP is expected. An error is typed, bounded, on
// one line, and quotes neither a secret of the request nor a new token.
func FuzzHTTPAnswer(f *testing.F) {
	const token, ok = "a-new-refresh-token", "HTTP/1.1 200 OK\r\n"
	body := `{"access_token":"at","refresh_token":"` + token + `"}`
	for _, s := range []string{
		ok + "\r\n" + body, ok + "Content-Length: 20\r\n\r\n" + body, ok + "Content-Length: 9999\r\n\r\n" + body, ok + "Content-Length: -1\r\n\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\n" + body,
		ok + "Transfer-Encoding: chunked\r\n\r\nzz" + token, ok + "Refresh-Token " + token + "\r\n\r\n", ok + "Location: https://evil.example/?" + fuzzSecret + "\r\n\r\n{}",
		"HTTP/1.1 307 Temporary Redirect\r\nLocation: https://evil.example/?" + token + "\r\n\r\n", "HTTP/1.1 " + token, "HTTP/9.9 200 OK\r\n\r\n", "SSH-2.0-" + fuzzSecret, "",
		"HTTP/1.1 999 \x1b[31m\r\n\r\n{\"error\":\"" + fuzzSecret + "\"}", ok + "Content-Encoding: gzip\r\n\r\n" + body, ok + "Content-Type: text/html\r\n\r\n" + body + body,
	} {
		f.Add(s)
	}
	c, s := newScripted(f, wholeMetadata)
	f.Fuzz(func(t *testing.T, raw string) {
		s.answer = func(req *http.Request) (*http.Response, error) {
			resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), req)
			if err == nil && (resp.StatusCode < 100 || resp.StatusCode > 999) {
				err = errors.New("malformed HTTP status code")
			}
			return resp, err
		}
		r, err := c.Refresh(context.Background(), RefreshRequest{Issuer: fuzzIssuer, RefreshToken: fuzzSecret})
		if err == nil {
			if r.AccessToken == "" {
				t.Error("success without a token")
			}
			return
		}
		var api *session.APIError
		if !errors.As(err, &api) {
			t.Fatalf("error of type %T", err)
		}
		text := err.Error()
		if strings.Contains(text, fuzzSecret) || strings.Contains(text, token) && r.RefreshToken == token {
			t.Errorf("error = %q", text)
		}
		if strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) || len(text) > 4000 {
			t.Errorf("error = %q", text)
		}
	})
}

// FuzzPushedAuthorization answers a pushed request with any body. Where the browser is sent
// has nothing in it but what belongs there.
func FuzzPushedAuthorization(f *testing.F) {
	for _, s := range []string{
		`{"request_uri":"urn:x","expires_in":90}`, `{"request_uri":"a&client_id=b#c"}`, `{"request_uri":1}`, `{"request_uri":""}`, `{"error":"` + clientCanary + `"}`, `[]`, ``, "{\"request_uri\":\"\\u0000\\r\\n\"}",
	} {
		f.Add([]byte(s), 201)
		f.Add([]byte(s), 400)
	}
	c, s := newScripted(f, wholeMetadata)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		s.answer = func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(body))), Request: req}, nil
		}
		to, err := c.PushAuthorization(context.Background(), fuzzIssuer, url.Values{"state": {"st"}, "code_challenge": {"ch"}})
		var api *session.APIError
		if err != nil {
			if to != "" || !errors.As(err, &api) || strings.Contains(err.Error(), clientCanary) || strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q, %v (%T)", to, err, err)
			}
			return
		}
		u, err := url.Parse(to)
		if err != nil || u.Scheme != "https" || u.Host != "tenant.example" || u.Path != "/authorize" || u.Fragment != "" {
			t.Fatalf("leads to %q", to)
		}
		q := u.Query()
		if len(q) != 4 || q.Get("x") != "1" || q.Get("client_id") != "client" || q.Get("response_type") != "code" || q.Get("request_uri") == "" {
			t.Errorf("leads to %q", to)
		}
		if err := c.Revoke(context.Background(), fuzzIssuer, fuzzSecret); (err == nil) != (status == 200) || err != nil && strings.Contains(err.Error(), fuzzSecret) {
			t.Errorf("revocation answered %d: %v", status, err)
		}
	})
}

// FuzzEndpoint lets a provider name any endpoints. The browser is sent to that very place with
// our parameters, or nowhere.
func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{
		"https://tenant.example/a", "https://tenant.example/a?client_id=theirs&state=x&state=y", "https://tenant.example?", "https://[::1]:1/x;y?%zz", "http://127.0.0.1/%2e%2e/", "https://t.example/\x00",
		"javascript:alert(1)", "https:tenant.example", "//tenant.example", "https://u@t.example", "https://t.example/#x", "http://t.example/", "", "https://t.example:99999/", "https://t.example/a?b;c=d",
	} {
		f.Add(s, "login_hint", "ada&x=y")
		f.Add(s, "client_id", "theirs")
	}
	f.Fuzz(func(t *testing.T, endpoint, name, value string) {
		at := usableURL([]byte(quote(endpoint)), false)
		if at == "" {
			return
		}
		c, _ := newScripted(t, "")
		c.cache.put("https://tenant.example", Metadata{Issuer: fuzzIssuer, AuthorizationEndpoint: at, EndSessionEndpoint: at}, c.clock.Now())
		want, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		check := func(what, to string, err error, ours url.Values) {
			if err != nil {
				t.Fatalf("%s at %q: %v", what, at, err)
			}
			u, err := url.Parse(to)
			if err != nil || u.Scheme != want.Scheme || u.Host != want.Host || u.EscapedPath() != want.EscapedPath() || u.User != nil || u.Fragment != "" {
				t.Fatalf("%s at %q leads to %q", what, at, to)
			}
			if strings.ContainsFunc(to, unicode.IsControl) || strings.ContainsAny(to, " \"<>") {
				t.Errorf("%s at %q leads to %q", what, at, to)
			}
			q := u.Query()
			for name, values := range ours {
				if len(q[name]) != 1 || q.Get(name) != values[0] {
					t.Errorf("%s at %q has %s = %q, want %q", what, at, name, q[name], values)
				}
			}
		}
		to, err := c.Authorize(context.Background(), fuzzIssuer, url.Values{"state": {"st"}, "code_challenge": {"ch"}, name: {value}})
		want2 := url.Values{"client_id": {"client"}, "response_type": {"code"}, "code_challenge_method": {"S256"}}
		if name == "code_challenge" && value == "" {
			want2.Del("code_challenge_method")
		}
		check("authorize", to, err, want2)
		to, err = c.LogoutURL(context.Background(), fuzzIssuer, "https://app.example/?a=b&c", LogoutOptions{EndSession: true, IDTokenHint: "hint", Params: url.Values{name: {value}}})
		check("logout", to, err, url.Values{"client_id": {"client"}, "post_logout_redirect_uri": {"https://app.example/?a=b&c"}, "id_token_hint": {"hint"}})
	})
}

// quote writes s as JSON, bytes that are no UTF-8 included.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ':
			b.WriteString(`\u00` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func FuzzScrubber(f *testing.F) {
	f.Add("a text with a secret+/= in it", "secret+/=", "cret+/", 20)
	f.Add("sec\x00ret sec\u202eret %73ecret", "secret", "ret ", 500)
	f.Add("\xff\xfe\u2028", "\uFFFD\uFFFD\uFFFD\uFFFD", "", 3)
	f.Add("[redacted]", "redacted", "acte", 9)
	f.Fuzz(func(t *testing.T, text, one, two string, limit int) {
		limit = max(0, min(limit, 1000))
		got := scrubber{}.and(one, two).clean(text, limit)
		if utf8.RuneCountInString(got) > limit || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Fatalf("%q", got)
		}
		for _, secret := range []string{one, two} {
			// A secret that is a piece of our own mark is in the mark, not in the text; and
			// one that is not valid UTF-8 cannot be in a text that is.
			if len(secret) < 4 || strings.Contains("[redacted]", secret) {
				continue
			}
			for piece := range strings.SplitSeq(got, "[redacted]") {
				if strings.Contains(piece, secret) {
					t.Errorf("%q of %q with %q, %q", got, text, one, two)
				}
			}
		}
	})
}

func FuzzSigningKey(f *testing.F) {
	for _, s := range []string{
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN EC PRIVATE KEY-----\nMA==\n-----END EC PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
		"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----", `-----BEGIN PRIVATE KEY-----\nAAAA`, "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := ParseSigningKey(text)
		var config *session.ConfigurationError
		switch {
		case err == nil && defaultAlgorithm(key) == "":
			t.Errorf("a %T that cannot sign", key)
		case err != nil && (key != nil || !errors.As(err, &config)):
			t.Errorf("%T, %v (%T)", key, err, err)
		case err != nil && (strings.ContainsFunc(err.Error(), unicode.IsControl) || len(err.Error()) > 1000):
			t.Errorf("error = %q", err)
		}
	})
}
