package httpauth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
)

// signedIn is a browser with a session and a login under way, whose callback is back.
type signedIn struct {
	*visitor
	t        *testing.T
	clock    *clock.Fake
	tenant   *idptest.Tenant
	client   *tokenward.Client
	handlers *httpauth.Handlers
	back     string
}

func newSignedIn(t *testing.T, opts ...httpauth.Option) *signedIn {
	t.Helper()
	const base = "https://app.example"
	clk := clock.NewFake(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	client, tenant := newClientAt(t, clk, base+"/auth/callback")
	h, mux := newHandlers(t, client, base, opts...), http.NewServeMux()
	if err := h.Register(mux, "/auth"); err != nil {
		t.Fatal(err)
	}
	mux.Handle("/me", h.Require(served))
	s := &signedIn{visitor: newVisitor(mux, base), t: t, clock: clk, tenant: tenant, client: client, handlers: h}
	s.login()
	s.back = s.start("")
	return s
}

// start begins a login and returns the callback that the provider leads to.
func (s *signedIn) start(query string) string {
	s.t.Helper()
	back, err := s.tenant.Authorize(s.get("/auth/login" + query).Header().Get("Location"))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimPrefix(back, s.base)
}

func (s *signedIn) login() {
	s.t.Helper()
	if w := s.get(s.start("")); w.Code != http.StatusFound {
		s.t.Fatalf("the login: %d %s", w.Code, w.Body)
	}
}

// settle waits for what the clock and the requests have set going.
func (s *signedIn) settle() {
	s.t.Helper()
	if err := s.client.Settle(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// untouched checks that the answers so far have started, spent and ended nothing.
func (s *signedIn) untouched(what string, w *httptest.ResponseRecorder, exchanges int) {
	s.t.Helper()
	if set := w.Header().Values("Set-Cookie"); len(set) != 0 || w.Header().Get("Location") != "" {
		s.t.Errorf("%s: Set-Cookie %q, Location %q, want none", what, set, w.Header().Get("Location"))
	}
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		s.t.Errorf("%s: Cache-Control %q, want no-store", what, got)
	}
	if n := s.tenant.Requests(idptest.CodeExchange); n != exchanges {
		s.t.Errorf("%s: %d code exchanges, want %d", what, n, exchanges)
	}
	if w := s.get("/me"); w.Code != http.StatusOK {
		s.t.Errorf("%s: the session is over: %d %s", what, w.Code, w.Body)
	}
}

// the three places that start, spend or end something.
func (s *signedIn) places() []string { return []string{"/auth/login", s.back, "/auth/logout"} }

func TestHandlers_doNothingForAPrefetch(t *testing.T) {
	s := newSignedIn(t)
	for _, header := range [][2]string{
		{"Sec-Purpose", "prefetch"},
		{"Sec-Purpose", "prefetch;prerender"},
		{"Sec-Purpose", "prefetch; anonymous-client-ip"},
		{"Sec-Purpose", "Prerender"},
		{"Purpose", "prefetch"},
		{"Purpose", "prerender"},
		{"X-Moz", "prefetch"},
		{"X-Purpose", "preview"},
		{"X-Purpose", "prefetch"},
		{"Next-Router-Prefetch", "1"},
	} {
		for _, path := range s.places() {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead} {
				if method == http.MethodPost && path == "/auth/login" {
					continue
				}
				what := method + " " + path + " with " + header[0] + ": " + header[1]
				w := s.send(method, path, nil, header[0], header[1], "Accept", "text/html", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate")
				if w.Code != http.StatusServiceUnavailable || w.Body.Len() != 0 || w.Header().Get("Vary") != "Sec-Purpose" {
					t.Errorf("%s: %d with %d bytes, Vary %q; want an empty 503", what, w.Code, w.Body.Len(), w.Header().Get("Vary"))
				}
				s.untouched(what, w, 1)
			}
		}
	}
	if w := s.get(s.back, "Sec-Purpose", "", "Purpose", "something else", "Next-Router-Prefetch", "0"); w.Code != http.StatusFound {
		t.Errorf("the click: %d %s", w.Code, w.Body)
	}
}

func TestHandlers_doNothingForWhatIsNoNavigation(t *testing.T) {
	s := newSignedIn(t)
	for _, site := range []string{"same-origin", "same-site", "cross-site", "none"} {
		for _, mode := range []string{"no-cors", "cors", "same-origin", "websocket"} {
			for _, path := range s.places() {
				what := path + " with " + site + ", " + mode
				w := s.send(http.MethodGet, path, nil, "Sec-Fetch-Site", site, "Sec-Fetch-Mode", mode)
				if w.Code != http.StatusForbidden || codeIn(w.Body.String()) != "not_a_navigation" {
					t.Errorf("%s: %d %s, want 403 not_a_navigation", what, w.Code, w.Body)
				}
				if text := w.Body.String(); !strings.Contains(text, "POST the logout") || !strings.Contains(text, "navigation") {
					t.Errorf("%s: does not say what to do: %s", what, text)
				}
				s.untouched(what, w, 1)
			}
		}
	}
	for name, header := range map[string][]string{
		"a click":            {"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate"},
		"a frame":            {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"},
		"an older browser":   {"Sec-Fetch-Mode", "cors"},
		"a tool":             nil,
		"a site and no mode": {"Sec-Fetch-Site", "same-origin"},
	} {
		if w := s.send(http.MethodGet, s.start(""), nil, header...); w.Code != http.StatusFound {
			t.Errorf("the callback, %s: %d %s", name, w.Code, w.Body)
		}
	}
	w := s.send(http.MethodPost, "/auth/logout", url.Values{}, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Origin", s.base)
	if w.Code != http.StatusFound {
		t.Errorf("a script's POST of the logout: %d %s", w.Code, w.Body)
	}
	if w := s.send(http.MethodGet, "/me", nil); w.Code != http.StatusUnauthorized {
		t.Errorf("after a script's POST of the logout: %d, want 401", w.Code)
	}
}

func TestHandlers_doNothingForHEAD(t *testing.T) {
	s := newSignedIn(t)
	for _, path := range s.places() {
		for _, header := range [][]string{nil, {"Accept", "text/html"}, {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}} {
			w := s.send(http.MethodHead, path, nil, header...)
			if w.Code != http.StatusNoContent {
				t.Errorf("HEAD %s: %d, want 204", path, w.Code)
			}
			s.untouched("HEAD "+path, w, 1)
		}
	}
}

// A router that goes by the path alone brings any method to the handlers.
func TestHandlers_doNothingForOtherMethods(t *testing.T) {
	s := newSignedIn(t)
	s.handler = router{"/login": http.HandlerFunc(s.handlers.Login), "/callback": http.HandlerFunc(s.handlers.Callback), "/logout": http.HandlerFunc(s.handlers.Logout), "/me": s.handlers.Require(served)}
	for _, path := range []string{"/auth/login", "/auth/callback", "/auth/logout"} {
		for _, method := range []string{http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodTrace} {
			w := s.send(method, path, nil)
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
				t.Errorf("%s %s: %d, Allow %q; want 405", method, path, w.Code, w.Header().Get("Allow"))
			}
			s.untouched(method+" "+path, w, 1)
		}
	}
}

// Without Sec-Fetch-Site, which plain http and older browsers do not send, Origin decides; and it has a scheme.
func TestOrigin_decidesWhereTheBrowserSaysNothingElse(t *testing.T) {
	for base, origins := range map[string]map[string]bool{
		"http://app.example":       {"": true, "http://app.example": true, "https://app.example": false, "http://app.example:8080": false, "null": false, "https://evil.example": false},
		"https://app.example":      {"": true, "https://app.example": true, "http://app.example": false, "null": false, "http://evil.example": false},
		"https://app.example:8443": {"": true, "https://app.example:8443": true, "https://app.example": false},
	} {
		client, _ := newClient(t, base+"/auth/callback")
		h := newHandlers(t, client, base)
		for _, host := range []string{strings.TrimPrefix(strings.TrimPrefix(base, "http://"), "https://"), "10.0.0.7:8080"} {
			for origin, good := range origins {
				for name, handler := range map[string]http.Handler{"Logout": http.HandlerFunc(h.Logout), "Protect": h.Protect(served)} {
					for _, method := range []string{http.MethodGet, http.MethodPost} {
						r := httptest.NewRequest(method, "/auth/logout", nil)
						if r.Host = host; origin != "" {
							r.Header.Set("Origin", origin)
						}
						w := httptest.NewRecorder()
						handler.ServeHTTP(w, r)
						want := good || name == "Protect" && method == http.MethodGet
						if got := w.Code != http.StatusForbidden; got != want {
							t.Errorf("base %s, Host %s: %s %s with Origin %q: %d", base, host, method, name, origin, w.Code)
						}
						if !want && codeIn(w.Body.String()) != "cross_origin" {
							t.Errorf("%s %s with Origin %q: %s, want cross_origin", method, name, origin, w.Body)
						}
					}
				}
			}
		}
	}
}

// What a browser says of the site is better than a comparison of names: a server may have several.
func TestOrigin_theBrowsersWordCounts(t *testing.T) {
	client, _ := newClient(t, "https://app.example/auth/callback")
	h := newHandlers(t, client, "https://app.example")
	for _, tt := range []struct {
		method, site, origin string
		logout, protect      int
	}{
		{http.MethodPost, "same-origin", "https://www.app.example", http.StatusFound, http.StatusOK},
		{http.MethodPost, "none", "", http.StatusFound, http.StatusOK},
		{http.MethodPost, "same-site", "https://www.app.example", http.StatusForbidden, http.StatusForbidden},
		{http.MethodPost, "same-site", "", http.StatusForbidden, http.StatusForbidden},
		{http.MethodPost, "cross-site", "https://evil.example", http.StatusForbidden, http.StatusForbidden},
		{http.MethodPost, "cross-site", "null", http.StatusForbidden, http.StatusForbidden},
		{http.MethodGet, "same-site", "", http.StatusFound, http.StatusOK},
		{http.MethodGet, "cross-site", "", http.StatusForbidden, http.StatusOK},
		{http.MethodGet, "same-site", "https://evil.app.example", http.StatusForbidden, http.StatusOK},
	} {
		for name, handler := range map[string]http.Handler{"Logout": http.HandlerFunc(h.Logout), "Protect": h.Protect(served)} {
			r := httptest.NewRequest(tt.method, "/auth/logout", nil)
			r.Header.Set("Sec-Fetch-Site", tt.site)
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if want := map[string]int{"Logout": tt.logout, "Protect": tt.protect}[name]; w.Code != want {
				t.Errorf("%s %s from %s, Origin %q: %d, want %d", tt.method, name, tt.site, tt.origin, w.Code, want)
			}
		}
	}
}
