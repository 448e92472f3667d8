package idptest

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

// oauthError is an error of RFC 6749 section 5.2.
type oauthError struct {
	code, description string
}

func (e *oauthError) reply() *reply { return oauthReply(e.code, e.description) }

func oauthReply(code, description string) *reply {
	status := http.StatusBadRequest
	switch code {
	case "invalid_client":
		status = http.StatusUnauthorized
	case "invalid_grant", "mfa_required":
		status = http.StatusForbidden // as Auth0 answers
	}
	body := map[string]any{"error": code}
	if description != "" {
		body["error_description"] = description
	}
	r := jsonReply(status, body)
	r.oauth = &oauthError{code: code, description: description}
	return r
}

// plain answers text.
func plain(status int, text string) *reply {
	return &reply{status: status, header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, body: []byte(text + "\n")}
}

// grant serves the token endpoint.
func (t *Tenant) grant(c *call) *reply {
	if c.req.Method != http.MethodPost {
		return plain(http.StatusMethodNotAllowed, "the token endpoint takes POST")
	}
	if r := t.throttled(c); r != nil {
		return r
	}
	cl, e := t.authenticate(c)
	if e != nil {
		return c.denied(e)
	}
	switch c.kind {
	case CodeExchange:
		return t.exchangeCode(c, cl)
	case Refresh:
		return t.refresh(c, cl)
	case ConnectionExchange:
		return t.exchangeConnection(c, cl)
	case ClientCredentials:
		return t.clientCredentials(c, cl)
	case TokenExchange:
		return t.exchangeToken(c, cl)
	}
	return oauthReply("unsupported_grant_type", "the tenant does not know this grant_type")
}

// exchangeCode grants an authorization code (RFC 6749 section 4.1.3), once.
func (t *Tenant) exchangeCode(c *call, cl client) *reply {
	sum := sha256.Sum256([]byte(c.form.Get("code_verifier")))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	now := t.clock.Now()

	t.mu.Lock()
	code := c.form.Get("code")
	l := t.codes[code]
	delete(t.codes, code) // whatever follows, it was used
	t.mu.Unlock()
	switch {
	case l == nil, l.client.id != cl.id, !now.Before(l.expires):
		return oauthReply("invalid_grant", "Invalid authorization code")
	case l.redirectURI != c.form.Get("redirect_uri"):
		return oauthReply("invalid_grant", "redirect_uri is not that of the authorize request")
	}
	switch t.profile().Authorize.PKCE {
	case PKCERefused:
		if c.form.Has("code_verifier") {
			return oauthReply("invalid_client", "Client authentication failed")
		}
	case PKCEIgnored:
	default:
		if l.challenge != challenge && (l.challenge != "" || c.form.Has("code_verifier")) {
			return oauthReply("invalid_grant", "Failed to verify code verifier")
		}
	}
	refreshToken := ""
	if t.entitled(l) {
		t.mu.Lock()
		refreshToken = t.newFamily(l)
		t.mu.Unlock()
	}
	return t.tokens(c, l, l.audience, l.scope, refreshToken)
}

// refresh grants a refresh token (RFC 6749 section 6).
func (t *Tenant) refresh(c *call, cl client) *reply {
	cfg := t.config()
	if e := t.mayAskFor(c, cl.id, &cfg.profile.Scopes); e != nil {
		return e.reply()
	}
	presented := c.form.Get("refresh_token")
	l, next, e := t.present(c, presented, cl.id, !cfg.noRotation)
	if e != nil {
		return e.refreshReply()
	}
	asked := c.form.Get("scope")
	if asked != "" {
		asked, _ = cfg.profile.Scopes.again(asked, l.scope)
	}
	audience, scope := cfg.resource(l, c.form.Get("audience"), asked)
	if next == "" && cfg.profile.Refresh.Rotation == SameTokenRepeated {
		next = presented
	}
	return t.tokens(c, l, audience, scope, next)
}

// mayAskFor refuses a refresh of a good token that asks for a scope it cannot have,
// before the token is spent.
func (t *Tenant) mayAskFor(c *call, clientID string, r *ScopeRules) *oauthError {
	asked := c.form.Get("scope")
	t.mu.Lock()
	f := c.family
	good := f != nil && !f.revoked && f.login.client.id == clientID
	t.mu.Unlock()
	if !good || asked == "" {
		return nil // the token is judged first
	}
	_, e := r.again(asked, f.login.scope)
	return e
}

// refreshReply is reply to a refresh token that is not accepted.
func (e *oauthError) refreshReply() *reply {
	r := e.reply()
	r.refresh = true
	return r
}

// The token types of a connection exchange.
const (
	typeRefreshToken    = "urn:ietf:params:oauth:token-type:refresh_token"
	typeConnectionToken = "http://auth0.com/oauth/token-type/federated-connection-access-token"
)

// exchangeConnection grants a token of one of the user's connections (Auth0's
// Token Vault).
func (t *Tenant) exchangeConnection(c *call, cl client) *reply {
	connection := c.form.Get("connection")
	switch {
	case connection == "":
		return oauthReply("invalid_request", "connection is required")
	case c.form.Get("subject_token_type") != typeRefreshToken:
		return oauthReply("invalid_request", "subject_token_type must be "+typeRefreshToken)
	case c.form.Get("requested_token_type") != typeConnectionToken:
		return oauthReply("invalid_request", "requested_token_type must be "+typeConnectionToken)
	}
	cfg := t.config()
	rotate := cfg.exchangeRotation && !cfg.noRotation
	account, ok := cfg.account(connection, c.form.Get("login_hint"))
	if !ok {
		return oauthReply("federated_connection_refresh_token_not_found", "The user has no such account at this connection.")
	}
	l, next, e := t.present(c, c.form.Get("subject_token"), cl.id, rotate)
	if e != nil {
		return e.reply()
	}
	body := map[string]any{
		"access_token":      t.issue(cfg.connectionToken(l, connection, account)),
		"token_type":        "Bearer",
		"issued_token_type": typeConnectionToken,
		"expires_in":        int64(cfg.connectionLife.Seconds()),
		"scope":             "openid profile email",
	}
	if next != "" {
		body["refresh_token"] = next
	}
	return jsonReply(http.StatusOK, body)
}

// connectionToken returns a token of one of the accounts of l's user, unlike any other.
func (cfg *config) connectionToken(l *login, connection, account string) string {
	d := &Draft{
		Kind:   ConnectionExchange,
		Claims: Claims{"sub": l.subject, "connection": connection, "account": account},
		Raw:    secret("ct_" + connection + "_" + account + "_"),
	}
	if cfg.editConnectionToken != nil {
		cfg.editConnectionToken(d)
	}
	return d.Raw
}

// account returns the account that a login_hint chooses.
func (cfg *config) account(connection, hint string) (string, bool) {
	accounts, known := cfg.connections[connection]
	switch {
	case cfg.connections == nil && hint == "":
		return "main", true
	case cfg.connections == nil:
		return hint, true
	case !known || len(accounts) == 0:
		return "", false
	case hint == "":
		return accounts[0], true
	}
	return hint, slices.Contains(accounts, hint)
}

// resource decides for which audience and with which scope a refresh is answered.
func (cfg *config) resource(l *login, audience, scope string) (string, string) {
	if audience == "" {
		audience = l.audience
	}
	allowed, named := cfg.policy[audience]
	named = named || cfg.policy == nil
	switch {
	case audience == l.audience && scope == "":
		return audience, l.scope
	case audience == l.audience && !named:
		return audience, limited(scope, scopes(l.scope))
	case !named:
		return l.audience, l.scope
	case scope == "" && cfg.policy != nil:
		return audience, allowed
	case scope == "":
		return audience, l.scope
	}
	return audience, cfg.granted(audience, scope)
}

// oidcScopes are granted whatever the policy says.
var oidcScopes = []string{"openid", "profile", "email", "address", "phone", "offline_access"}

// granted returns what of the requested scope is granted for audience: all of it where
// the policy does not name that, which only a login asks for.
func (cfg *config) granted(audience, requested string) string {
	allowed, named := cfg.policy[audience]
	if !named {
		return strings.Join(scopes(requested), " ")
	}
	return limited(requested, append(scopes(allowed), oidcScopes...))
}

// limited returns what of the requested scope is among allowed.
func limited(requested string, allowed []string) string {
	words := slices.DeleteFunc(scopes(requested), func(w string) bool { return !slices.Contains(allowed, w) })
	return strings.Join(words, " ")
}

// revoke serves the revocation endpoint (RFC 7009).
func (t *Tenant) revoke(c *call) *reply {
	cl, e := t.authenticate(c)
	switch {
	case e != nil:
		return c.denied(e)
	case c.form.Get("token") == "":
		return oauthReply("invalid_request", "token is required")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.family != nil && c.family.login.client.id == cl.id {
		t.kill(c.family)
	}
	return jsonReply(http.StatusOK, map[string]any{})
}
