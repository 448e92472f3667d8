package tokenward

import (
	"context"

	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/session"
)

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
