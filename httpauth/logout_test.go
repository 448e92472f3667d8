package httpauth_test

import (
	"net/http"
	"net/url"
	"strings"
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

// Where a logout names no return_to, AfterLogout is the address that the provider sends the browser to; without one there is none.
func TestLogout_whereItLeads(t *testing.T) {
	for _, tt := range []struct {
		opts  []httpauth.Option
		query string
		want  string
	}{
		{nil, "", ""},
		{nil, "?return_to=/bye", "https://app.example/bye"},
		{[]httpauth.Option{httpauth.AfterLogout("/signed-out")}, "", "https://app.example/signed-out"},
		{[]httpauth.Option{httpauth.AfterLogout("/signed-out")}, "?return_to=/bye", "https://app.example/bye"},
		{[]httpauth.Option{httpauth.AfterLogout("/signed-out")}, "?return_to=https://evil.example", "https://app.example/signed-out"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			s := newSignedIn(t, tt.opts...)
			w := s.send(method, "/auth/logout"+tt.query, nil, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate")
			at, err := url.Parse(w.Header().Get("Location"))
			if back := at.Query().Get("post_logout_redirect_uri"); err != nil || w.Code != http.StatusFound || back != tt.want || at.Host == "" {
				t.Errorf("%s logout%s: %d to %v, %v; want 302 and back to %q", method, tt.query, w.Code, at, err, tt.want)
			}
		}
	}
}

// A form may name return_to in a hidden field. One that is too large signs the user out all the same.
func TestLogout_aPostedForm(t *testing.T) {
	for _, tt := range []struct {
		query string
		form  url.Values
		want  string
	}{
		{"", url.Values{"return_to": {"/bye"}}, "https://app.example/bye"},
		{"?return_to=/query", url.Values{"return_to": {"/form"}}, "https://app.example/query"},
		{"", url.Values{"return_to": {"https://evil.example/"}}, "https://app.example/signed-out"},
		{"", url.Values{"return_to": {"/bye"}, "more": {strings.Repeat("x", 1<<20)}}, "https://app.example/signed-out"},
	} {
		s := newSignedIn(t, httpauth.AfterLogout("/signed-out"))
		w := s.send(http.MethodPost, "/auth/logout"+tt.query, tt.form, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate")
		at, err := url.Parse(w.Header().Get("Location"))
		if back := at.Query().Get("post_logout_redirect_uri"); err != nil || w.Code != http.StatusFound || back != tt.want {
			t.Errorf("return_to %q%s: %d to %v, %v; want 302 and back to %q", tt.form["return_to"], tt.query, w.Code, at, err, tt.want)
		}
		if w := s.get("/me"); w.Code == http.StatusOK {
			t.Errorf("return_to %q%s: still signed in", tt.form["return_to"], tt.query)
		}
	}
}
