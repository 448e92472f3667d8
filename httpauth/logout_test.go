package httpauth_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
)

// Without the provider's metadata there is no address of its logout, and the session ends all the same.
func TestLogout_whileTheProviderIsDown(t *testing.T) {
	for query, want := range map[string]string{"": "/", "?return_to=/bye": "https://app.example/bye"} {
		s := newSignedIn(t)
		s.tenant.Script(idptest.Discovery, idptest.Status(503).Always())
		for range 2 { // until the metadata are too old to be used
			s.clock.Advance(13 * time.Hour)
			s.settle()
			if w := s.get("/me"); w.Code != http.StatusOK {
				t.Fatalf("the session: %d", w.Code)
			}
			s.settle()
		}
		w := s.get("/auth/logout" + query)
		if to := w.Header().Get("Location"); w.Code != http.StatusFound || to != want {
			t.Errorf("logout%s: %d to %q %s, want %q", query, w.Code, to, w.Body, want)
		}
		if w := s.send(http.MethodGet, "/me", nil); w.Code != http.StatusUnauthorized {
			t.Errorf("after logout%s: %d, want 401", query, w.Code)
		}
	}
}

func TestLogoutParams_areAdded(t *testing.T) {
	params := map[string]string{"logout_uri": "https://app.example/bye"}
	s := newSignedIn(t, httpauth.LogoutParams(params))
	params["logout_uri"] = "another"
	at, err := url.Parse(s.get("/auth/logout").Header().Get("Location"))
	if err != nil || at.Query().Get("logout_uri") != "https://app.example/bye" {
		t.Errorf("the logout leads to %v, %v", at, err)
	}
}

// A provider without a logout of its own: the browser goes to where the provider would have sent it.
func TestLogout_atAProviderWithoutOne(t *testing.T) {
	for query, want := range map[string]string{"": "/", "?return_to=/bye": "https://app.example/bye", "?return_to=https://evil.example": "/"} {
		const base = "https://app.example"
		client, tenant := newClient(t, base+"/auth/callback")
		tenant.Script(idptest.Discovery, idptest.Edit(func(meta map[string]any) { delete(meta, "end_session_endpoint") }).Always())
		h := newHandlers(t, client, base)
		w := newVisitor(http.HandlerFunc(h.Logout), base).get("/auth/logout" + query)
		if to := w.Header().Get("Location"); w.Code != http.StatusFound || to != want {
			t.Errorf("logout%s: %d to %q %s, want %q", query, w.Code, to, w.Body, want)
		}
	}
}
