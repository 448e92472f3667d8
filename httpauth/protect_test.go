package httpauth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tokenward/tokenward/httpauth"
)

// Behind a proxy the Host of a request is not the one that browsers see.
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
