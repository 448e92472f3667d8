package tour

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// plainClient is what a careful program writes without this library, around a session store
// and golang.org/x/sync/singleflight. Callers of one session and audience share a flight. The
// flight reads the state again, so that a token that another flight has just got is not asked for
// twice, and saves the rotated refresh token before anybody gets the access token. Each
// caller waits for as long as its own context allows.
//
// The mutex guards the map as a store guards its records: a record is read, written and
// deleted as a whole, which is what session stores offer. The mutex is not held while the provider is asked.
type plainClient struct {
	http     *http.Client
	clock    clock.Clock
	oauth    oauth2.Config
	tokenURL string
	detached bool               // a request does not end with the caller that set it going
	flights  singleflight.Group // by session and audience, or session, connection and login hint
	running  sync.WaitGroup     // flights

	mu       sync.Mutex
	sessions map[string]plainState
	broken   bool // writes fail
}

type plainState struct {
	refreshToken string
	ceiling      int64                 // seconds since the Unix epoch, 0 when none
	tokens       map[string]plainToken // by audience
	connections  map[upstream]plainToken
}

// upstream is an account of the user at an upstream provider.
type upstream struct{ connection, hint string }

type plainToken struct {
	text    string
	expires time.Time
}

// plainPatience is how long a detached request may take.
const plainPatience = 20 * time.Second

var (
	errPlainNoSession = errors.New("plain client: no session")
	errPlainExpired   = errors.New("plain client: the session has expired")
	errPlainWrite     = errors.New("plain client: the state could not be written")
)

func newPlainClient(t *idptest.Tenant, c clock.Clock, h *http.Client) *plainClient {
	return &plainClient{
		http: h, clock: c, tokenURL: t.URL("/oauth/token"), sessions: map[string]plainState{},
		oauth: oauth2.Config{
			ClientID: clientID, RedirectURL: redirectURI, Scopes: []string{"openid", "profile", "email", "offline_access"},
			Endpoint: oauth2.Endpoint{AuthURL: t.URL("/authorize")},
		},
	}
}

// startLogin returns where to send the browser, and the verifier that completes it.
func (p *plainClient) startLogin(subject string) (to, verifier string) {
	verifier = oauth2.GenerateVerifier()
	return p.oauth.AuthCodeURL("state-of-"+subject, oauth2.S256ChallengeOption(verifier),
		oauth2.SetAuthURLParam("login_hint", subject)), verifier
}

// completeLogin exchanges the code and returns the id of the session.
func (p *plainClient) completeLogin(ctx context.Context, callback, verifier string) (string, error) {
	u, err := url.Parse(callback)
	if err != nil {
		return "", err
	}
	r, err := p.post(ctx, url.Values{
		"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")},
		"redirect_uri": {redirectURI}, "code_verifier": {verifier},
	})
	if err != nil {
		return "", err
	}
	var claims struct {
		Ceiling int64 `json:"session_expiry"`
	}
	if err := claimsOf(r.IDToken, &claims); err != nil {
		return "", err
	}
	id := u.Query().Get("state")
	return id, p.write(id, plainState{
		refreshToken: r.RefreshToken, ceiling: claims.Ceiling,
		tokens: map[string]plainToken{"": p.token(r)}, connections: map[upstream]plainToken{},
	})
}

// accessToken returns a token for audience: cached, else that of a flight.
func (p *plainClient) accessToken(ctx context.Context, id, audience string) (string, error) {
	if _, t, err := p.cached(id, audience); err != nil || t != "" {
		return t, err
	}
	return p.join(ctx, fmt.Sprintf("token %q %q", id, audience), func(ctx context.Context) (string, error) {
		return p.refresh(ctx, id, audience)
	})
}

// cached reads the state. The token is empty when a refresh is needed.
func (p *plainClient) cached(id, audience string) (s plainState, token string, err error) {
	s, ok := p.read(id)
	switch {
	case !ok:
		return s, "", errPlainNoSession
	case s.ceiling != 0 && p.clock.Now().Unix() >= s.ceiling-30:
		p.logout(id)
		return s, "", errPlainExpired
	}
	if t, ok := s.tokens[audience]; ok && p.clock.Now().Before(t.expires) {
		token = t.text
	}
	return s, token, nil
}

// join has one caller per key do work, and the others wait for what comes of it.
func (p *plainClient) join(ctx context.Context, key string, work func(context.Context) (string, error)) (string, error) {
	answer := p.flights.DoChan(key, func() (any, error) {
		p.running.Add(1)
		defer p.running.Done()
		if !p.detached {
			return work(ctx)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), plainPatience)
		defer cancel()
		return work(ctx)
	})
	select {
	case r := <-answer:
		token, _ := r.Val.(string)
		return token, r.Err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// refresh is the work of one flight.
func (p *plainClient) refresh(ctx context.Context, id, audience string) (string, error) {
	s, token, err := p.cached(id, audience)
	if err != nil || token != "" {
		return token, err
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s.refreshToken}}
	if audience != "" {
		form.Set("audience", audience)
	}
	r, err := p.post(ctx, form)
	if err != nil {
		return "", err
	}
	if r.RefreshToken != "" {
		s.refreshToken = r.RefreshToken
	}
	s.tokens[audience] = p.token(r)
	return r.AccessToken, p.write(id, s)
}

// connectionToken returns a token of an account of a connection: cached, else that of a flight.
func (p *plainClient) connectionToken(ctx context.Context, id, connection, hint string) (string, error) {
	at := upstream{connection, hint}
	if _, t, err := p.cachedOf(id, at); err != nil || t != "" {
		return t, err
	}
	return p.join(ctx, fmt.Sprintf("connection %q %q %q", id, connection, hint), func(ctx context.Context) (string, error) {
		return p.exchange(ctx, id, at)
	})
}

// cachedOf is cached for the token of a connection.
func (p *plainClient) cachedOf(id string, at upstream) (s plainState, token string, err error) {
	s, ok := p.read(id)
	if !ok {
		return s, "", errPlainNoSession
	}
	if t, ok := s.connections[at]; ok && p.clock.Now().Before(t.expires) {
		token = t.text
	}
	return s, token, nil
}

// exchange is the work of one flight for a connection.
func (p *plainClient) exchange(ctx context.Context, id string, at upstream) (string, error) {
	s, token, err := p.cachedOf(id, at)
	if err != nil || token != "" {
		return token, err
	}
	r, err := p.post(ctx, url.Values{
		"grant_type":           {"urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token"},
		"subject_token":        {s.refreshToken},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:refresh_token"},
		"requested_token_type": {"http://auth0.com/oauth/token-type/federated-connection-access-token"},
		"connection":           {at.connection},
		"login_hint":           {at.hint},
	})
	if err != nil {
		return "", err
	}
	s.connections[at] = p.token(r)
	return r.AccessToken, p.write(id, s)
}

func (p *plainClient) logout(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, id)
}

// has reports whether the store has a record of the session.
func (p *plainClient) has(id string) bool {
	_, ok := p.read(id)
	return ok
}

// breakWrites makes every write fail, or no longer.
func (p *plainClient) breakWrites(broken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = broken
}

// read returns a copy, as a store does.
func (p *plainClient) read(id string) (plainState, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.sessions[id]
	s.tokens, s.connections = maps.Clone(s.tokens), maps.Clone(s.connections)
	return s, ok
}

func (p *plainClient) write(id string, s plainState) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken {
		return errPlainWrite
	}
	p.sessions[id] = s
	return nil
}

type plainResponse struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	ExpiresIn    int64  `json:"expires_in"`
	Error        string `json:"error"`
}

func (p *plainClient) token(r plainResponse) plainToken {
	return plainToken{r.AccessToken, p.clock.Now().Add(time.Duration(r.ExpiresIn) * time.Second)}
}

// post asks the token endpoint.
func (p *plainClient) post(ctx context.Context, form url.Values) (plainResponse, error) {
	var r plainResponse
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return r, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(clientID, clientSecret)
	resp, err := p.http.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return r, fmt.Errorf("plain client: %w", err)
	}
	err = json.Unmarshal(body, &r)
	switch {
	case resp.StatusCode != http.StatusOK:
		return r, fmt.Errorf("plain client: status %d %s", resp.StatusCode, r.Error)
	case err != nil:
		return r, fmt.Errorf("plain client: %w", err)
	}
	return r, nil
}

// claimsOf reads the claims of a JWT into v, without checking its signature.
func claimsOf(jwt string, v any) error {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return fmt.Errorf("not a JWT: %d parts", len(parts))
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	return json.Unmarshal(claims, v)
}
