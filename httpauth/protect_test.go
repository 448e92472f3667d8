package httpauth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tokenward/tokenward/httpauth"
)

// Behind a proxy the Host of a request is not the one that browsers see.
// A preflight changes nothing (RFC 9110 section 9.2.1), so what answers it decides.
func TestProtect_letsPreflightsThrough(t *testing.T) {
	s := newSignedIn(t)
	protected := newVisitor(s.handlers.Protect(served), s.base)
	for method, want := range map[string]int{http.MethodOptions: 200, http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 403, http.MethodDelete: 403} {
		if w := protected.send(method, "/me", nil, "Origin", "https://elsewhere.example", "Sec-Fetch-Site", "cross-site"); w.Code != want {
			t.Errorf("%s: %d, want %d", method, w.Code, want)
		}
	}
}

func TestProtect_knowsItsOriginBehindAProxy(t *testing.T) {
	client, _ := newClient(t, "https://app.example/auth/callback")
	for _, base := range []string{"https://app.example", "HTTPS://App.Example/", "https://app.example:443"} {
		h, err := httpauth.New(client, base)
		if err != nil {
			t.Fatal(err)
		}
		protected := h.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for origin, want := range map[string]int{
			"https://app.example": http.StatusOK, "": http.StatusOK,
			"https://evil.example": http.StatusForbidden, "http://app.example": http.StatusForbidden, "null": http.StatusForbidden,
		} {
			r := httptest.NewRequest(http.MethodPost, "http://10.0.0.7:8080/change", nil)
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			w := httptest.NewRecorder()
			protected.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("base %s, Origin %q: %d, want %d", base, origin, w.Code, want)
			}
		}
	}
}
