package idptest

import (
	"net/http"
	"slices"
	"strings"
)

const typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"

// clientCredentials grants the client a token of its own (RFC 6749 section 4.4), with the subject CLIENT_ID@clients, as
// Auth0 has it.
func (t *Tenant) clientCredentials(c *call, cl client) *reply {
	if cl.secret == "" && cl.key == nil {
		return oauthReply("unauthorized_client", "A public client gets no token of its own.")
	}
	cfg := t.config()
	audience := c.form.Get("audience")
	if audience == "" {
		audience = cfg.audience
	}
	if _, named := cfg.policy[audience]; cfg.policy != nil && !named {
		return oauthReply("access_denied", "Client is not authorized to access this audience.")
	}
	scope := strings.Join(scopes(c.form.Get("scope")), " ")
	if allowed, named := cfg.policy[audience]; named && scope != "" {
		scope = limited(scope, scopes(allowed))
	} else if named {
		scope = allowed
	}
	return t.granted(c, &login{subject: cl.id + "@clients", client: cl}, audience, scope, "")
}

// exchangeToken grants a token for another one (RFC 8693), or by Entra ID's on-behalf-of request. A subject token that
// is said to be an access token must be one that the tenant issued, and of any other type it is taken for
// what it is said to be.
func (t *Tenant) exchangeToken(c *call, cl client) *reply {
	behalf := c.form.Get("grant_type") == grantJWTBearer
	switch {
	case c.subjectToken() == "":
		return oauthReply("invalid_request", "the subject token is missing")
	case behalf && c.form.Get("requested_token_use") != "on_behalf_of":
		return oauthReply("invalid_request", "requested_token_use must be on_behalf_of")
	case !behalf && c.form.Get("subject_token_type") == "":
		return oauthReply("invalid_request", "subject_token_type is required")
	case c.form.Has("actor_token") != c.form.Has("actor_token_type"):
		return oauthReply("invalid_request", "actor_token and actor_token_type go together")
	}
	typed := behalf || c.form.Get("subject_token_type") == typeAccessToken
	if typed && c.subject == "" && !t.hasIssued(c.subjectToken()) {
		return oauthReply("invalid_grant", "the subject token is not a token of this tenant, or has expired")
	}
	subject := c.subject
	if subject == "" {
		subject = "exchanged"
	}
	cfg := t.config()
	audience := c.form.Get("audience")
	issued := typeAccessToken
	if behalf {
		issued = ""
	}
	return t.granted(c, &login{subject: subject, client: cl}, audience, cfg.granted(audience, c.form.Get("scope")), issued)
}

// granted answers with an access token, and nothing beside it.
func (t *Tenant) granted(c *call, l *login, audience, scope, issued string) *reply {
	body := map[string]any{
		"access_token": t.accessToken(c.kind, l, audience, scope),
		"token_type":   "Bearer",
		"expires_in":   int64(t.config().tokenLife.Seconds()),
		"scope":        scope,
	}
	if issued != "" {
		body["issued_token_type"] = issued
	}
	return jsonReply(http.StatusOK, body)
}

// subjectToken returns the token that a TokenExchange presents.
func (c *call) subjectToken() string {
	if c.form.Get("grant_type") == grantJWTBearer {
		return c.form.Get("assertion")
	}
	return c.form.Get("subject_token")
}

// hasIssued reports whether the tenant has issued an opaque token, of the latest ones.
func (t *Tenant) hasIssued(token string) bool {
	if strings.Count(token, ".") == 2 {
		return false // a JWT says itself that it is good
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.issued.ring[:], token)
}
