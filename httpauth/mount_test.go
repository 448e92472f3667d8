package httpauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
)

// newMounted returns a browser at a server that has the one handler at /auth, with the prefix on the path or not.
func newMounted(t *testing.T, stripped bool, opts ...httpauth.Option) (*visitor, func(string) string) {
	t.Helper()
	client, tenant := newClient(t, "https://app.example/auth/callback")
	h := newHandlers(t, client, "https://app.example", opts...)
	auth, err := h.Handler()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	if stripped {
		auth = http.StripPrefix("/auth", auth)
	}
	mux.Handle("/auth/", auth)
	mux.Handle("/me", h.Require(served))
	return newVisitor(mux, "https://app.example"), func(to string) string {
		back, err := tenant.Authorize(to)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(back, "https://app.example")
	}
}

func TestHandler_servesEveryRouteUnderAnyMount(t *testing.T) {
	for name, stripped := range map[string]bool{"prefix on the path": false, "prefix taken off": true} {
		t.Run(name, func(t *testing.T) {
			v, authorize := newMounted(t, stripped)
			to := v.get("/me")
			if got := to.Header().Get("Location"); got != "/auth/login?return_to=%2Fme" {
				t.Fatalf("Require led to %q", got)
			}
			begun := v.get(to.Header().Get("Location"))
			if back := v.get(authorize(begun.Header().Get("Location"))); back.Header().Get("Location") != "/me" {
				t.Fatalf("callback: %d %v", back.Code, back.Header())
			}
			if w := v.get("/me"); w.Code != http.StatusOK {
				t.Errorf("signed in: %d", w.Code)
			}
			if w := v.send(http.MethodPost, "/auth/backchannel-logout", url.Values{"logout_token": {"x"}}); w.Code != http.StatusBadRequest {
				t.Errorf("a logout token that is none: %d, want 400", w.Code)
			}
			if w := v.send(http.MethodPost, "/auth/logout", url.Values{}); w.Code != http.StatusFound || len(v.cookies) != 0 {
				t.Errorf("logout: %d, cookies %v", w.Code, v.cookies)
			}
			for path, want := range map[string]int{"/auth/": 404, "/auth/else": 404, "/auth/login/": 404, "/auth/under/login": 404, "/auth/x/..%2flogin": 404} {
				if w := v.get(path); w.Code != want {
					t.Errorf("GET %s: %d, want %d", path, w.Code, want)
				}
			}
			if w := v.send(http.MethodPost, "/auth/login", nil); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
				t.Errorf("POST of the login: %d, Allow %q", w.Code, w.Header().Get("Allow"))
			}
		})
	}
}

func TestHandler_refusesARedirectURIThatItDoesNotServe(t *testing.T) {
	for redirectURI, base := range map[string]string{
		"https://app.example/auth/back":     "https://app.example",
		"https://app.example/auth/callback": "https://app.example/under",
	} {
		client, _ := newClient(t, redirectURI)
		h := newHandlers(t, client, base)
		if _, err := h.Handler(); tokenward.CodeOf(err) != "configuration_error" {
			t.Errorf("%s at %s: %v, want a configuration_error", redirectURI, base, err)
		}
	}
	for redirectURI, login := range map[string]string{
		"https://app.example/callback":       "/login?return_to=%2Fme",
		"https://app.example/under/callback": "/under/login?return_to=%2Fme",
		"":                                   "/auth/login?return_to=%2Fme",
	} {
		client, _ := newClient(t, redirectURI)
		h := newHandlers(t, client, "https://app.example")
		if _, err := h.Handler(); err != nil {
			t.Errorf("%s: %v", redirectURI, err)
		}
		if got := newVisitor(h.Require(served), "https://app.example").get("/me").Header().Get("Location"); got != login {
			t.Errorf("%s: Require led to %q, want %q", redirectURI, got, login)
		}
	}
}

func TestRefuseForgeries(t *testing.T) {
	s := newSignedIn(t, httpauth.RefuseForgeries(), httpauth.AllowOrigins("https://admin.example"))
	for _, tt := range []struct {
		name, method string
		header       []string
		want         int
	}{
		{"this origin", http.MethodPost, []string{"Origin", "https://app.example", "Sec-Fetch-Site", "same-origin"}, 200},
		{"another site", http.MethodPost, []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		{"a neighbour", http.MethodDelete, []string{"Origin", "https://other.app.example", "Sec-Fetch-Site", "same-site"}, 403},
		{"an opaque origin", http.MethodPost, []string{"Origin", "null"}, 403},
		{"an origin that is allowed", http.MethodPost, []string{"Origin", "https://admin.example", "Sec-Fetch-Site", "cross-site"}, 200},
		{"a link from another site", http.MethodGet, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},
		{"a program", http.MethodPost, nil, 200},
	} {
		for name, middleware := range map[string]func(http.Handler) http.Handler{"Attach": s.handlers.Attach, "Require": s.handlers.Require} {
			v := newVisitor(middleware(served), s.base)
			v.cookies = s.cookies
			if w := v.send(tt.method, "/me", nil, tt.header...); w.Code != tt.want {
				t.Errorf("%s, %s: %d, want %d", name, tt.name, w.Code, tt.want)
			}
		}
	}
	for _, origin := range []string{"admin.example", "https://admin.example/", "https://Admin.example", "*", ""} {
		if _, err := httpauth.New(s.client, "https://app.example", httpauth.AllowOrigins(origin)); tokenward.CodeOf(err) != "configuration_error" {
			t.Errorf("AllowOrigins(%q): %v, want a configuration_error", origin, err)
		}
	}
}

// A provider posts the callback from its own site: form_post. It is what the transaction cookie protects.
func TestProtect_letsThePostedCallbackThrough(t *testing.T) {
	s := newSignedIn(t)
	v := newVisitor(s.handlers.Protect(served), s.base)
	for path, want := range map[string]int{"/auth/callback": 200, "/auth/callback?x": 200, "/callback": 403, "/auth/callback/x": 403, "/auth/logout": 403, "/x/auth/callback": 403} {
		if w := v.send(http.MethodPost, path, url.Values{"state": {"x"}}, "Origin", "https://idp.example", "Sec-Fetch-Site", "cross-site"); w.Code != want {
			t.Errorf("POST %s: %d, want %d", path, w.Code, want)
		}
	}
}
