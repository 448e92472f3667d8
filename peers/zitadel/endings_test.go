package zitadel

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
)

func TestKeys_rotate(t *testing.T) {
	s := newSite(t, Settings{}, nil, tokenward.WithRefreshBuffer(time.Hour))
	s.signIn()
	s.want("requests for keys", len(s.wire.at("/keys")), 1)

	s.provider.RotateKey()
	s.wantGood(s.token("").Token)
	s.signIn()
	s.want("requests for keys after the first login with the new key", len(s.wire.at("/keys")), 2)
	s.signIn()
	s.wantUser()
	s.want("requests for keys in the end", len(s.wire.at("/keys")), 2)
}

func TestLogin_withAWrongPasswordLeadsNowhere(t *testing.T) {
	s := newSite(t, Settings{}, nil)
	if at := s.browser.signIn(s.url+"/auth/login", "wrong"); !strings.Contains(at.text, "password wrong") {
		t.Errorf("after a wrong password: %d at %s", at.status, at.url)
	}
	s.want("token requests", len(s.wire.at("/oauth/token")), 0)
	s.signIn()
}

func TestLogin_thatTheProviderRefuses(t *testing.T) {
	s := newSite(t, Settings{}, nil)
	s.wantRefused("/auth/login?prompt=none", http.StatusBadRequest, "login_required", "")
	s.signIn()
}

func TestLogin_withAWrongClientSecret(t *testing.T) {
	for _, wrapped := range []bool{false, true} {
		s := newSite(t, Settings{Wrapped: wrapped}, func(c *tokenward.Config) { c.ClientSecret = "wrong" })
		at := s.browser.signIn(s.url+"/auth/login", Password)
		if at.status != http.StatusBadGateway || !strings.Contains(at.text, "token_error") {
			t.Errorf("wrapped %t: %d %s, want 502 token_error", wrapped, at.status, at.text)
		}
		s.want("token requests", len(s.wire.at("/oauth/token")), 1)
	}
}

func TestLogin_isCompletedOnce(t *testing.T) {
	s := newSite(t, Settings{}, nil)
	s.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), s.url+"/auth/callback?") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	back := s.browser.signIn(s.url+"/auth/login", Password).location
	s.CheckRedirect = nil
	if at := s.get(back); at.text != "home" {
		t.Fatalf("after the login: %d %s", at.status, at.text)
	}
	if at := s.get(back); at.status != http.StatusBadRequest || !strings.Contains(at.text, "missing_transaction_error") {
		t.Errorf("the same callback again: %d %s, want 400 missing_transaction_error", at.status, at.text)
	}
	s.want("code exchanges", len(s.wire.grants("authorization_code")), 1)
	s.wantUser()
}

func TestIssuer_thatIsNotWhatTheProviderSays(t *testing.T) {
	s := newSite(t, Settings{}, func(c *tokenward.Config) {
		c.Issuer = strings.Replace(c.Issuer, "127.0.0.1", "localhost", 1)
	})
	s.wantRefused("/auth/login", http.StatusBadGateway, "metadata_error", "")
}

func TestLogout_revokes(t *testing.T) {
	s := newSite(t, Settings{}, nil, tokenward.WithRevocation())
	s.signIn()
	token := s.refreshToken()
	s.wire.listen("/revoke")
	s.wantSignedOut()
	if r := <-s.wire.told; r.status != http.StatusOK || r.form.Get("token") != token || !r.basic {
		t.Errorf("revocation: status %d, Basic %t, of the session's refresh token: %t", r.status, r.basic, r.form.Get("token") == token)
	}
	s.wantDead(token, "")
}

func TestLogout_whereTheProviderDoesNotKnowTheWayBack(t *testing.T) {
	s := newSite(t, Settings{}, nil)
	s.signIn()
	if at := s.get(s.url + "/auth/logout?return_to=/unregistered"); at.status != http.StatusBadRequest || !strings.HasPrefix(at.url, s.provider.Issuer) {
		t.Errorf("logout: %d at %s, want the provider's refusal", at.status, at.url)
	}
	var user tokenward.User
	if s.read("/user", &user); user != nil {
		t.Errorf("user = %v, want none: the session has ended here all the same", user)
	}
}

func TestReady(t *testing.T) {
	s := newSite(t, Settings{}, nil)
	if err := s.client.Ready(t.Context()); err != nil {
		t.Errorf("Ready: %v", err)
	}
}
