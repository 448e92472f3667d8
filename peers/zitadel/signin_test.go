package zitadel

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/tokenward/tokenward"
)

// A user signs in, is known, gets tokens and signs out, at each kind of provider and
// with each kind of client.
func TestSignInToSignOut(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	post := func(c *tokenward.Config) { c.ClientAuth = tokenward.ClientSecretPost }
	slash := func(c *tokenward.Config) { c.Issuer += "/" }
	scopes := func(c *tokenward.Config) { c.Scopes = allScopes }
	assert := tokenward.WithCredentials(tokenward.Credentials{SigningKey: key, SigningAlg: "RS256", SigningKeyID: ClientKeyID})
	tests := []struct {
		name     string
		provider Settings
		config   func(*tokenward.Config)
		options  []tokenward.Option
	}{
		{"basic", Settings{}, nil, nil},
		{"basic, wrapped", Settings{Wrapped: true}, nil, nil},
		{"post", Settings{ClientAuth: oidc.AuthMethodPost}, post, nil},
		{"post, wrapped", Settings{ClientAuth: oidc.AuthMethodPost, Wrapped: true}, post, nil},
		{"private_key_jwt", Settings{ClientAuth: oidc.AuthMethodPrivateKeyJWT, ClientKey: &key.PublicKey}, nil, []tokenward.Option{assert}},
		{"private_key_jwt, wrapped", Settings{ClientAuth: oidc.AuthMethodPrivateKeyJWT, ClientKey: &key.PublicKey, Wrapped: true}, nil, []tokenward.Option{assert}},
		{"issuer with a slash", Settings{Path: "/"}, nil, nil},
		{"issuer with a slash that is configured alone", Settings{}, slash, nil},
		{"issuer with a path", Settings{Path: "/tenants/one"}, nil, nil},
		{"issuer with a path and a slash, wrapped", Settings{Path: "/tenants/one/", Wrapped: true}, nil, nil},
		{"private_key_jwt, issuer with a path", Settings{Path: "/tenants/one", ClientAuth: oidc.AuthMethodPrivateKeyJWT, ClientKey: &key.PublicKey}, nil, []tokenward.Option{assert}},
		{"nonce, scopes at every refresh", Settings{}, scopes, []tokenward.Option{tokenward.WithProvider(tokenward.ProviderConfig{Nonce: tokenward.Always})}},
		{"JWTs as access tokens", Settings{AccessToken: JWT}, nil, nil},
		{"cookies", Settings{}, nil, []tokenward.Option{tokenward.WithStatelessSessions()}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// With this buffer each call refreshes: the provider's tokens last 5 minutes.
			eager := append([]tokenward.Option{tokenward.WithRefreshBuffer(time.Hour)}, tt.options...)
			s := newSite(t, tt.provider, tt.config, eager...)
			s.signIn()
			s.wantPKCE()
			s.wantAuth(tt.provider.ClientAuth)
			s.wantUser()

			s.wantGood(s.token("").Token)
			s.wantGood(s.token("").Token)
			s.want("refreshes", len(s.wire.refreshes()), 2)
			s.wantNoneTwice()
			s.wantUser()

			last := s.refreshToken()
			s.wantSignedOut()
			s.wantDead(last, tt.provider.ClientAuth)
		})
	}
}

func TestToken_isCached(t *testing.T) {
	s := newSite(t, Settings{}, nil)
	s.signIn()
	first := s.token("")
	s.wantGood(first.Token)
	for range 10 {
		if got := s.token(""); got != first {
			t.Errorf("token = %+v, want the first, %+v", got, first)
		}
	}
	s.want("token requests", len(s.wire.at("/oauth/token")), 1)
	s.want("discovery requests", len(s.wire.at("/.well-known/openid-configuration")), 1)
	s.want("requests for keys", len(s.wire.at("/keys")), 1)
}

// wantPKCE looks at how the login was asked for and completed.
func (s *site) wantPKCE() {
	s.t.Helper()
	asked, done := s.wire.at("/auth"), s.wire.grants("authorization_code")
	if len(asked) != 1 || len(done) != 1 {
		s.t.Fatalf("authorization requests = %d, code exchanges = %d, want 1 of each", len(asked), len(done))
	}
	if q := asked[0].form; q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 {
		s.t.Errorf("authorization request without PKCE: %v", q)
	}
	if n := len(done[0].form.Get("code_verifier")); n != 64 {
		s.t.Errorf("code_verifier of %d characters, want 64", n)
	}
}

// wantAuth looks at how the client authenticated: in one way only.
func (s *site) wantAuth(method oidc.AuthMethod) {
	s.t.Helper()
	for _, r := range s.wire.at("/oauth/token") {
		basic := method == "" || method == oidc.AuthMethodBasic
		if r.basic != basic || r.form.Has("client_secret") != (method == oidc.AuthMethodPost) || r.form.Has("client_assertion") != (method == oidc.AuthMethodPrivateKeyJWT) {
			s.t.Errorf("%s: Basic %t, client_secret %t, client_assertion %t; want %q alone",
				r.grant(), r.basic, r.form.Has("client_secret"), r.form.Has("client_assertion"), method)
		}
	}
}

func (s *site) wantUser() {
	s.t.Helper()
	var user tokenward.User
	s.read("/user", &user)
	if user.Sub() != "id1" || user.Name() != "Test User" || user.Email() != "test-user@zitadel.ch" || !user.EmailVerified() {
		s.t.Errorf("user = %v", user)
	}
}

// wantSignedOut signs out, which leads by the provider and back, and looks at both sides.
func (s *site) wantSignedOut() {
	s.t.Helper()
	if at := s.get(s.url + "/auth/logout?return_to=/"); at.url != s.url+"/" || at.text != "home" {
		s.t.Fatalf("after the logout: %d at %s: %s", at.status, at.url, at.text)
	}
	ended := s.wire.at("/end_session")
	if len(ended) != 1 {
		s.t.Fatalf("end_session requests = %d, want 1", len(ended))
	}
	q := ended[0].form
	if q.Get("client_id") != ClientID || strings.Count(q.Get("id_token_hint"), ".") != 2 || q.Get("post_logout_redirect_uri") != s.url+"/" {
		s.t.Errorf("end_session request: client_id %q, id_token_hint %q, post_logout_redirect_uri %q",
			q.Get("client_id"), q.Get("id_token_hint"), q.Get("post_logout_redirect_uri"))
	}
	var user tokenward.User
	if s.read("/user", &user); user != nil {
		s.t.Errorf("user after the logout = %v, want none", user)
	}
	if at := s.get(s.url + "/token"); at.status != http.StatusUnauthorized {
		s.t.Errorf("token after the logout: %d %s, want 401", at.status, at.text)
	}
}

// wantDead asks the provider for tokens behind the library's back. A client that signs
// has nothing to ask with here.
func (s *site) wantDead(refreshToken string, method oidc.AuthMethod) {
	s.t.Helper()
	if method == oidc.AuthMethodPrivateKeyJWT {
		return
	}
	at := s.post(s.endpoint("/oauth/token"), url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}, "client_id": {ClientID}, "client_secret": {ClientSecret},
	})
	if at.status != http.StatusBadRequest || !strings.Contains(at.text, "invalid_grant") {
		s.t.Errorf("the provider on the last refresh token: %d %s, want invalid_grant", at.status, at.text)
	}
}
