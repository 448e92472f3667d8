// Package fosite has tests against an OpenID provider on ory/fosite, the engine of Ory Hydra: an
// implementation that others wrote, which holds a refresh to the granted scopes, demands its own
// token endpoint as the audience of assertions, and ends a session at the reuse of a refresh token.
package fosite

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
	"golang.org/x/crypto/bcrypt"
)

const (
	clientID     = "tokenward"
	clientSecret = "a secret: with +%&/ in it"
	subject      = "ada"
)

// provider is an OpenID provider at which one user is always signed in and agrees to everything.
type provider struct {
	t      *testing.T
	server *httptest.Server
	oauth  fosite.OAuth2Provider
	key    *rsa.PrivateKey

	mu    sync.Mutex
	forms []url.Values // of the token requests, in order
}

// startProvider starts a provider whose client may redirect to redirectURI.
func startProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, key: key}
	mux := http.NewServeMux()
	p.server = httptest.NewServer(mux)
	t.Cleanup(p.server.Close)
	mux.HandleFunc("/.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("/jwks", p.jwks)
	mux.HandleFunc("/auth", p.authorize)
	mux.HandleFunc("/token", p.token)
	mux.HandleFunc("/revoke", p.revoke)
	return p
}

// register makes the application known that redirects to redirectURI.
func (p *provider) register(redirectURI string) {
	p.t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(clientSecret), bcrypt.MinCost)
	if err != nil {
		p.t.Fatal(err)
	}
	store := storage.NewMemoryStore()
	store.Clients[clientID] = &fosite.DefaultOpenIDConnectClient{
		TokenEndpointAuthMethod: "client_secret_post",
		DefaultClient: &fosite.DefaultClient{
			ID: clientID, Secret: hash, RedirectURIs: []string{redirectURI},
			GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
			Scopes: []string{"openid", "profile", "email", "offline_access", "orders"},
		},
	}
	p.oauth = compose.ComposeAllEnabled(&fosite.Config{
		GlobalSecret: []byte("a secret of the provider, 32 bytes"), IDTokenIssuer: p.server.URL, AccessTokenLifespan: 5 * time.Minute,
		EnforcePKCE: true, MinParameterEntropy: 8,
	}, store, p.key)
}

func (p *provider) newSession(r *http.Request) *openid.DefaultSession {
	now := time.Now().Truncate(time.Second)
	return &openid.DefaultSession{
		Subject: subject,
		Claims: &jwt.IDTokenClaims{
			Issuer: p.server.URL, Subject: subject, Audience: []string{clientID}, IssuedAt: now, RequestedAt: now, AuthTime: now,
			Nonce: r.FormValue("nonce"), Extra: map[string]any{"name": "Ada Lovelace", "email": "ada@example.com"},
		},
		Headers: &jwt.Headers{Extra: map[string]any{"kid": "1"}},
	}
}

func (p *provider) discovery(w http.ResponseWriter, _ *http.Request) {
	at := p.server.URL
	p.json(w, map[string]any{
		"issuer": at, "authorization_endpoint": at + "/auth", "token_endpoint": at + "/token", "jwks_uri": at + "/jwks",
		"revocation_endpoint": at + "/revoke", "code_challenge_methods_supported": []string{"S256"},
		"scopes_supported":                      []string{"openid", "offline_access", "offline"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
	})
}

func (p *provider) jwks(w http.ResponseWriter, _ *http.Request) {
	b64 := base64.RawURLEncoding.EncodeToString
	p.json(w, map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "kid": "1", "use": "sig", "n": b64(p.key.N.Bytes()), "e": "AQAB",
	}}})
}

func (p *provider) json(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(body); err != nil {
		p.t.Error(err)
	}
}

// authorize sends the browser back at once: the user is signed in and grants every scope that the client asks for.
func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	asked, err := p.oauth.NewAuthorizeRequest(r.Context(), r)
	if err != nil {
		p.oauth.WriteAuthorizeError(r.Context(), w, asked, err)
		return
	}
	for _, scope := range asked.GetRequestedScopes() {
		asked.GrantScope(scope)
	}
	response, err := p.oauth.NewAuthorizeResponse(r.Context(), asked, p.newSession(r))
	if err != nil {
		p.oauth.WriteAuthorizeError(r.Context(), w, asked, err)
		return
	}
	p.oauth.WriteAuthorizeResponse(r.Context(), w, asked, response)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.t.Error(err)
	}
	p.mu.Lock()
	p.forms = append(p.forms, r.PostForm)
	p.mu.Unlock()
	asked, err := p.oauth.NewAccessRequest(r.Context(), r, p.newSession(r))
	if err != nil {
		p.oauth.WriteAccessError(r.Context(), w, asked, err)
		return
	}
	response, err := p.oauth.NewAccessResponse(r.Context(), asked)
	if err != nil {
		p.oauth.WriteAccessError(r.Context(), w, asked, err)
		return
	}
	p.oauth.WriteAccessResponse(r.Context(), w, asked, response)
}

func (p *provider) revoke(w http.ResponseWriter, r *http.Request) {
	p.oauth.WriteRevocationResponse(r.Context(), w, p.oauth.NewRevocationRequest(r.Context(), r))
}

// grants returns the token requests of a grant type.
func (p *provider) grants(kind string) (found []url.Values) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.forms {
		if f.Get("grant_type") == kind {
			found = append(found, f)
		}
	}
	return found
}

// spend presents a refresh token as the application would.
func (p *provider) spend(refreshToken string) error {
	resp, err := http.PostForm(p.server.URL+"/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}, "client_id": {clientID}, "client_secret": {clientSecret},
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("refused with status %d", resp.StatusCode)
	}
	return nil
}
