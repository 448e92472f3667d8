package tokenward

import (
	"context"
	"encoding/base64"
	"encoding/json"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/session"
)

// TokenRequest says which access token is wanted. The zero value is the configured
// audience with its scopes.
type TokenRequest struct {
	Audience string // empty: Config.Audience
	Scope    string // added to the scopes configured for the audience, separated by spaces
}

// ConnectionRequest says of which connection a token is wanted.
type ConnectionRequest struct {
	Connection string // such as google-oauth2; required
	LoginHint  string // which account, where a user has several
}

// GetAccessToken returns an access token for the session. It answers from the
// cache while a token has time left; otherwise it refreshes (RFC 6749 section 6),
// and callers who arrive during that refresh share it.
//
// It fails with an *AccessTokenError, among others with the codes session_expired,
// missing_refresh_token and refresh_token_error, and with an *InvalidArgumentError where
// the call names no session, or an audience or scope of more than Limits.ArgumentBytes. If ctx ends first it returns
// ctx.Err(); the refresh goes on for the others, and its result is kept.
func (c *Client) GetAccessToken(ctx context.Context, r TokenRequest, o StoreOptions) (t Token, err error) {
	q := c.queries.Find(lookup.TokenRequest(r))
	if q == nil {
		return c.newToken(ctx, r, o)
	}
	if o.id != "" && !c.resolving() {
		if c.lookup.Cached(o.id, q, &t) {
			return t, nil
		}
	}
	return c.token(ctx, q, c.resolve(ctx, o))
}

// newToken is GetAccessToken where the question is not kept yet. It is apart from the rest, which
// needs less stack.
func (c *Client) newToken(ctx context.Context, r TokenRequest, o StoreOptions) (Token, error) {
	if err := c.bounded("audience", r.Audience, "scope", r.Scope); err != nil {
		return Token{}, err
	}
	t, err := c.token(ctx, c.policy.Query(r.Audience, r.Scope), c.resolve(ctx, o))
	if err == nil {
		c.queries.Keep(lookup.TokenRequest(r))
	}
	return t, err
}

func (c *Client) token(ctx context.Context, q *session.TokenQuery, o StoreOptions) (t Token, err error) {
	defer c.renew(ctx, o)
	if o.id == "" {
		return Token{}, c.noSession(o, lookup.TokenError, session.ErrMissingRefreshToken)
	}
	current, err := c.currentFor(ctx, o, lookup.TokenError)
	if err != nil {
		return Token{}, err
	}
	caller := lookup.Caller{Ctx: ctx, ID: o.id, Options: o.options(), Current: current}
	err = c.lookup.Token(&caller, q, &t)
	return t, err
}

// GetAccessTokenForConnection returns an access token of an upstream connection
// (Auth0 Token Vault), from the cache while it lasts, else exchanged for the
// session's refresh token. The session's ceiling does not gate it: tokens in the
// cache stay retrievable after it.
//
// It fails with an *AccessTokenForConnectionError, among others with the codes
// missing_refresh_token, api_error and retrieval_error, with a
// *MissingRequiredArgumentError without a connection, with an *InvalidArgumentError where
// the call names no session, or a connection or login hint of more than Limits.ArgumentBytes, and with a *ConfigurationError
// where no client authentication is configured.
func (c *Client) GetAccessTokenForConnection(ctx context.Context, r ConnectionRequest, o StoreOptions) (ConnectionToken, error) {
	if r.Connection == "" {
		return ConnectionToken{}, &MissingRequiredArgumentError{Argument: "connection"}
	}
	if err := c.bounded("connection", r.Connection, "login_hint", r.LoginHint); err != nil {
		return ConnectionToken{}, err
	}
	o = c.resolve(ctx, o)
	defer c.renew(ctx, o)
	if o.id == "" {
		missing := session.ErrMissingRefreshToken
		if c.resolving() {
			missing = &AccessTokenForConnectionError{Code: session.CodeMissingSessionDomain}
		}
		return ConnectionToken{}, c.noSession(o, lookup.ConnectionError, missing)
	}
	current, err := c.currentFor(ctx, o, lookup.ConnectionError)
	if err != nil {
		return ConnectionToken{}, err
	}
	caller := lookup.Caller{Ctx: ctx, ID: o.id, Options: o.options(), Current: current}
	return c.lookup.Connection(&caller, session.ConnectionKey(r.Connection, r.LoginHint))
}

// mfaBinding is what a sealed mfa_token is bound to.
const mfaBinding = "mfa_token"

// mfaRequired returns the error that says a second factor is wanted, with the
// provider's token sealed together with what it was asked for.
func (c *Client) mfaRequired(challenge *idp.MFAChallenge, r idp.RefreshRequest, cause error) error {
	plain, err := json.Marshal(map[string]any{
		"mfa_token": challenge.Token(), "audience": r.Audience, "scope": r.Scope,
		"mfa_requirements": challenge.Requirements(), "created_at": c.clock.Now().Unix(),
	})
	if err != nil {
		return cause
	}
	return &MFARequiredError{
		AccessTokenError: AccessTokenError{
			Code: session.CodeMFARequired, Message: "the provider wants another factor before it refreshes", Err: cause,
		},
		MFAToken:     base64.RawURLEncoding.EncodeToString(c.sealer.Seal(mfaBinding, plain)),
		Requirements: challenge.Requirements(),
	}
}
