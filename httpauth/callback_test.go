package httpauth_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/cookie"
)

const sessionCookie = "_a0_session"

// bare sends one request without a jar: with these cookies, and no others.
func (s *site) bare(path, cookies string) *http.Response {
	still := &http.Client{
		Transport:     s.browser.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s.do(still, http.MethodGet, path, nil, "Cookie", cookies)
}

// cookieOf returns the cookie of that name which an answer sets, "" when it sets none.
func cookieOf(resp *http.Response, name string) string {
	for _, c := range resp.Cookies() {
		if c.Name == name && c.MaxAge >= 0 {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

// One callback, from a browser that sends it again and again with the same cookies.
func TestCallback_aHundredTimesAtOnce(t *testing.T) {
	s := newSite(t)
	begun := s.bare("/auth/login?return_to=/me", "")
	var cookies []string
	for _, c := range begun.Cookies() {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	back, err := s.tenant.Authorize(begun.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(back, s.server.URL)

	answers := make([]*http.Response, 100)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = s.bare(path, strings.Join(cookies, "; ")) })
	}
	all.Wait()
	session := ""
	for _, resp := range answers {
		given := cookieOf(resp, sessionCookie)
		switch {
		case resp.StatusCode == http.StatusFound && session == "" && given != "" && resp.Header.Get("Location") == "/me":
			session = given
		case resp.StatusCode == http.StatusBadRequest && codeIn(resp.Header.Get("body")) == "missing_transaction_error" && given == "":
		default:
			t.Errorf("got %d %s, cookie %q", resp.StatusCode, resp.Header.Get("body"), given)
		}
	}
	if n := s.tenant.Requests(idptest.CodeExchange); n != 1 {
		t.Errorf("code exchanges = %d, want 1", n)
	}
	if n := s.store.Replaces(); n != 1 {
		t.Errorf("sessions begun = %d, want 1", n)
	}
	if resp := s.bare("/me", session); resp.StatusCode != http.StatusOK {
		t.Errorf("the session: %d %s", resp.StatusCode, resp.Header.Get("body"))
	}
}

// A cookie of another application is no session and no error, and stays in the browser.
func TestCookies_thatAreNotOurs(t *testing.T) {
	s := newSite(t)
	resp := s.bare("/auth/login", "")
	back, err := s.tenant.Authorize(resp.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	transaction := resp.Cookies()[0]
	good := cookieOf(s.bare(strings.TrimPrefix(back, s.server.URL), transaction.Name+"="+transaction.Value), sessionCookie)
	if resp := s.bare("/me", good); resp.StatusCode != http.StatusOK {
		t.Fatalf("as it is: %d %s", resp.StatusCode, resp.Header.Get("body"))
	}
	value := strings.TrimPrefix(good, sessionCookie+"=")
	others, err := store.NewSealer(sessionCookie, rand.Reader, "a secret of somebody else, thirty-two bytes")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	altered, newer := append([]byte{}, raw...), append([]byte{}, raw...)
	altered[len(altered)-1] ^= 1
	newer[0]++
	encode := base64.RawURLEncoding.EncodeToString
	for name, forged := range map[string]string{
		"empty": "", "a word": "x", "made up": strings.Repeat("A", len(value)), "not base64": "%%%", "the longest": strings.Repeat("A", 3800),
		"cut short": value[:len(value)/2], "without its last": value[:len(value)-1], "with one more": value + "A", "twice": value + value,
		"altered": encode(altered), "of a later release": encode(newer), "in clear": encode([]byte(`{"id":"x","seen":1}`)),
		"sealed by somebody else": cookie.Seal(others, sessionCookie, []byte(`{"id":"x","seen":1767323045}`)),
		"of a login":              transaction.Value,
	} {
		resp := s.bare("/me", sessionCookie+"="+forged)
		if resp.StatusCode != http.StatusUnauthorized || codeIn(resp.Header.Get("body")) != "no_session" {
			t.Errorf("%s: %d %s, want 401 no_session", name, resp.StatusCode, resp.Header.Get("body"))
		}
		if set := resp.Header.Values("Set-Cookie"); len(set) != 0 {
			t.Errorf("%s: Set-Cookie %q, want the cookie left alone", name, set)
		}
		if resp := s.bare("/auth/login", sessionCookie+"="+forged); resp.StatusCode != http.StatusFound {
			t.Errorf("%s: login %d", name, resp.StatusCode)
		}
		if resp := s.bare("/me", sessionCookie+"="+forged+"; "+good); resp.StatusCode != http.StatusOK {
			t.Errorf("%s, before a good one: %d", name, resp.StatusCode)
		}
	}
	if n := s.store.Ends(); n != 0 {
		t.Errorf("deletes = %d, want 0", n)
	}
	if resp := s.bare("/me", good); resp.StatusCode != http.StatusOK {
		t.Errorf("in the end: %d %s", resp.StatusCode, resp.Header.Get("body"))
	}
}

// wrapped is a ResponseWriter as other middleware puts around ours.
type wrapped struct{ http.ResponseWriter }

// Unwrap is for http.ResponseController.
func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// router finds handlers its own way: by the last part of the path, whatever the prefix.
type router map[string]http.Handler

// ServeHTTP implements http.Handler.
func (m router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := m[r.URL.Path[strings.LastIndex(r.URL.Path, "/"):]]; h != nil {
		h.ServeHTTP(w, r)
		return
	}
	http.NotFound(w, r)
}

// The handlers need no ServeMux: any http.Handler may lead to them, in wrapped writers and
// below a prefix that was stripped.
func TestHandlers_inAnotherRouter(t *testing.T) {
	s := newSite(t)
	routes := router{
		"/login":              http.HandlerFunc(s.handlers.Login),
		"/callback":           http.HandlerFunc(s.handlers.Callback),
		"/logout":             http.HandlerFunc(s.handlers.Logout),
		"/backchannel-logout": http.HandlerFunc(s.handlers.BackchannelLogout),
		"/me": s.handlers.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, err := s.client.GetAccessToken(r.Context(), tokenward.TokenRequest{}, tokenward.StoreOptions{})
			fmt.Fprint(w, token.AccessToken != "", err)
		})),
	}
	wrap := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(wrapped{w}, r) })
	}
	for name, h := range map[string]http.Handler{
		"plain":    routes,
		"wrapped":  wrap(routes),
		"stripped": wrap(http.StripPrefix("/auth", routes)),
		"attached": s.handlers.Attach(wrap(routes)),
	} {
		var cookies []string
		answer := func(path string) *http.Response {
			t.Helper()
			req := httptest.NewRequest(http.MethodGet, s.server.URL+path, nil)
			req.Header.Set("Cookie", strings.Join(cookies, "; "))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			resp := w.Result()
			for _, c := range resp.Cookies() {
				if c.MaxAge >= 0 {
					cookies = append([]string{c.Name + "=" + c.Value}, cookies...)
				}
			}
			resp.Header.Set("body", w.Body.String())
			return resp
		}
		back, err := s.tenant.Authorize(answer("/auth/login?return_to=/auth/me").Header.Get("Location"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		resp := answer(strings.TrimPrefix(back, s.server.URL))
		if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusFound || to != "/auth/me" {
			t.Fatalf("%s: callback %d %q %s", name, resp.StatusCode, to, resp.Header.Get("body"))
		}
		if resp := answer("/auth/me"); resp.StatusCode != http.StatusOK || resp.Header.Get("body") != "true <nil>" {
			t.Errorf("%s: %d %s", name, resp.StatusCode, resp.Header.Get("body"))
		}
		if resp := answer("/auth/logout"); resp.StatusCode != http.StatusFound {
			t.Errorf("%s: logout %d %s", name, resp.StatusCode, resp.Header.Get("body"))
		}
		if resp := answer("/auth/me"); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: after the logout %d", name, resp.StatusCode)
		}
	}
}
