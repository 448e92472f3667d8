package tokenward

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/internal/telemetry"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
)

// TokenRequest says which access token is wanted. The zero value is the configured
// audience with its scopes.
type TokenRequest struct {
	Audience string // empty: Config.Audience
	Scope    string // added to the scopes configured for the audience, separated by spaces

	// Refused is an access token of this session that a resource server has refused (RFC 6750 section 3.1,
	// invalid_token); empty: none was. Where the cache has another one for this request by now, that is the answer. Else the
	// token is refreshed: once for all who name it, and at most once in 30 seconds for a session, audience and set of
	// scopes. Within these the cached token is returned as it is. It is a secret, of which nothing is kept or printed.
	Refused string

	// MinRemaining is how long the token must still be good for; zero: for an instant. A cached token that is not is
	// refreshed. Where the provider's tokens never live that long, the one that it gives is the answer, and is refreshed
	// again once half of its life is over, at most once in 30 seconds.
	MinRemaining time.Duration
}

// Token is an access token. Printed, logged or as JSON it shows a hash in the token's place.
type Token struct {
	AccessToken    string
	Audience       string    // the audience that was asked for; "default" where none is configured or named
	Scope          string    // as granted
	ExpiresAt      time.Time // whole seconds, UTC
	ActualAudience string    // set where the provider answered for another audience
}

// Format prints t without its secret.
func (t Token) Format(f fmt.State, verb rune) { session.Token(t).Format(f, verb) }

// LogValue returns t without its secret.
func (t Token) LogValue() slog.Value { return session.Token(t).LogValue() }

// MarshalJSON returns t without its secret.
func (t Token) MarshalJSON() ([]byte, error) { return session.Token(t).MarshalJSON() }

// demands reports whether r asks for more than what the cache has.
func (r *TokenRequest) demands() bool { return r.Refused != "" || r.MinRemaining != 0 }

// Format prints r without the token that was refused.
func (r TokenRequest) Format(f fmt.State, verb rune) {
	type plain TokenRequest
	r.Refused = session.Fingerprint(r.Refused)
	fmt.Fprintf(f, fmt.FormatString(f, verb), plain(r))
}

// LogValue returns r without the token that was refused.
func (r TokenRequest) LogValue() slog.Value {
	return slog.GroupValue(slog.String("audience", r.Audience), slog.String("scope", r.Scope),
		slog.String("refused", session.Fingerprint(r.Refused)), slog.Duration("min_remaining", r.MinRemaining))
}

// MarshalJSON writes r without the token that was refused.
func (r TokenRequest) MarshalJSON() ([]byte, error) {
	type plain TokenRequest
	r.Refused = session.Fingerprint(r.Refused)
	return json.Marshal(plain(r))
}

// ConnectionRequest says of which connection a token is wanted.
type ConnectionRequest struct {
	Connection string // such as google-oauth2; required
	LoginHint  string // which account, where a user has several
}

// ConnectionToken is a token of an upstream connection. Printed, logged or as JSON it shows a hash in the token's place.
type ConnectionToken struct {
	AccessToken string
	Connection  string
	LoginHint   string    // of the account that the token is for, where that is known
	Scope       string    // as granted
	ExpiresAt   time.Time // whole seconds, UTC
}

// Format prints t without its secret.
func (t ConnectionToken) Format(f fmt.State, verb rune) { session.ConnectionToken(t).Format(f, verb) }

// LogValue returns t without its secret.
func (t ConnectionToken) LogValue() slog.Value { return session.ConnectionToken(t).LogValue() }

// MarshalJSON returns t without its secret.
func (t ConnectionToken) MarshalJSON() ([]byte, error) {
	return session.ConnectionToken(t).MarshalJSON()
}

// GetAccessToken returns an access token for the session. It answers from the
// cache while a token has time left; otherwise it refreshes (RFC 6749 section 6),
// and callers who arrive during that refresh share it. A token whose session could not be
// saved is returned all the same: the save is tried again until it is done, and Hooks.SaveFailed is told.
// Until then no further refresh of the session is sent.
//
// It fails with an *AccessTokenError, among others with the codes session_expired,
// missing_refresh_token and refresh_token_error, and with an *InvalidArgumentError where
// the call names no session, an audience or scope of more than Limits.ArgumentBytes or not in UTF-8, or a negative MinRemaining. If ctx ends first it returns
// ctx.Err(); the refresh goes on for the others, and its result is kept.
func (c *Client) GetAccessToken(ctx context.Context, r TokenRequest, o StoreOptions) (t Token, err error) {
	q := c.queries.Find(r.query())
	if q != nil && !r.demands() && o.id != "" && !c.lookup.Resolving && c.lookup.Cached(o.id, q, o.values(), (*session.Token)(&t)) {
		return t, nil
	}
	err = c.otherToken(ctx, &r, q, o, (*session.Token)(&t))
	return t, err
}

// otherToken is GetAccessToken where the cache was not asked, or had no answer. The query is not kept yet where q is nil.
//
// A crowd calls on goroutines of its own, which begin with little stack. It need not grow for a hit, and hardly for a miss: tokens
// are filled in and not returned, and what few calls need is in functions of its own.
func (c *Client) otherToken(ctx context.Context, r *TokenRequest, q *session.TokenQuery, o StoreOptions, t *session.Token) error {
	if q == nil || r.demands() {
		return c.demandedToken(ctx, r, q, o, t)
	}
	return c.token(ctx, q, nil, c.resolve(ctx, o), t)
}

// demandedToken is otherToken where the query is not kept yet, or where r demands more of the token.
func (c *Client) demandedToken(ctx context.Context, r *TokenRequest, q *session.TokenQuery, o StoreOptions, t *session.Token) error {
	if err := cmp.Or(lasts(r.MinRemaining), c.bounded("audience", r.Audience, "scope", r.Scope)); err != nil {
		return err
	}
	var d *session.Demand // nil: none
	if r.demands() {
		demand := session.NewDemand(r.Refused, r.MinRemaining)
		d = &demand
	}
	if q != nil {
		return c.token(ctx, q, d, c.resolve(ctx, o), t)
	}
	err := c.token(ctx, c.policy.Query(r.Audience, r.Scope), d, c.resolve(ctx, o), t)
	if err == nil {
		c.queries.Keep(r.query())
	}
	return err
}

// query returns the part of r that says which token is wanted, and not what of it.
func (r *TokenRequest) query() lookup.TokenRequest {
	return lookup.TokenRequest{Audience: r.Audience, Scope: r.Scope}
}

func (c *Client) token(ctx context.Context, q *session.TokenQuery, d *session.Demand, o StoreOptions, t *session.Token) error {
	if c.telemetry.Calls() {
		return c.observedToken(ctx, q, d, o, t)
	}
	return c.tokenOf(ctx, q, d, o, nil, t)
}

func (c *Client) observedToken(ctx context.Context, q *session.TokenQuery, d *session.Demand, o StoreOptions, t *session.Token) (err error) {
	if d == nil && o.id != "" && !c.lookup.Resolving && c.lookup.Cached(o.id, q, o.values(), t) { // no call to be told of
		c.renew(ctx, o)
		return nil
	}
	*t, err = telemetry.During(ctx, c.telemetry, observe.Token, q, func(ctx context.Context, observed *telemetry.Call) (t session.Token, err error) {
		err = c.tokenOf(ctx, q, d, o, observed, &t)
		return t, err
	})
	return err
}

func (c *Client) tokenOf(ctx context.Context, q *session.TokenQuery, d *session.Demand, o StoreOptions, observed *telemetry.Call, t *session.Token) error {
	defer c.renew(ctx, o)
	if o.id == "" {
		return c.noSession(o, lookup.TokenError, session.ErrMissingRefreshToken)
	}
	caller := lookup.Caller{Ctx: ctx, ID: o.id, Observed: observed}
	if d != nil {
		caller.Demand = *d
	}
	if o.more != nil {
		caller.Options = o.more.options
	}
	if c.lookup.Resolving {
		current, err := c.currentFor(ctx, o, lookup.TokenError)
		if err != nil {
			return err
		}
		caller.Current = current
	}
	return c.lookup.Token(&caller, q, t)
}

// GetAccessTokenForConnection returns an access token of an upstream connection
// (Auth0 Token Vault), from the cache while it lasts, else exchanged for the
// session's refresh token. The session's ceiling does not gate it: tokens in the
// cache stay retrievable after it.
//
// It fails with an *AccessTokenForConnectionError, among others with the codes
// missing_refresh_token, api_error and retrieval_error, with a
// *MissingRequiredArgumentError without a connection, with an *InvalidArgumentError where
// the call names no session, or a connection or login hint of more than Limits.ArgumentBytes or not in UTF-8, and with a *ConfigurationError
// where no client authentication is configured.
func (c *Client) GetAccessTokenForConnection(ctx context.Context, r ConnectionRequest, o StoreOptions) (ConnectionToken, error) {
	if !c.telemetry.Calls() {
		t, err := c.connectionToken(ctx, r, o, nil)
		return ConnectionToken(t), err
	}
	return telemetry.During(ctx, c.telemetry, observe.ConnectionToken, nil, func(ctx context.Context, observed *telemetry.Call) (ConnectionToken, error) {
		t, err := c.connectionToken(ctx, r, o, observed)
		return ConnectionToken(t), err
	})
}

func (c *Client) connectionToken(ctx context.Context, r ConnectionRequest, o StoreOptions, observed *telemetry.Call) (t session.ConnectionToken, err error) {
	if r.Connection == "" {
		return t, &MissingRequiredArgumentError{Argument: "connection"}
	}
	if err := c.bounded("connection", r.Connection, "login_hint", r.LoginHint); err != nil {
		return t, err
	}
	o = c.resolve(ctx, o)
	defer c.renew(ctx, o)
	if o.id == "" {
		missing := session.ErrMissingRefreshToken
		if c.lookup.Resolving {
			missing = &AccessTokenForConnectionError{Code: session.CodeMissingSessionDomain}
		}
		return t, c.noSession(o, lookup.ConnectionError, missing)
	}
	current, err := c.currentFor(ctx, o, lookup.ConnectionError)
	if err != nil {
		return t, err
	}
	caller := lookup.Caller{Ctx: ctx, ID: o.id, Options: o.options(), Current: current, Observed: observed}
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
