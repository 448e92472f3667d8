package tokenward

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// LoginRequest is what one login wants beside the configuration.
type LoginRequest struct {
	// AppState is any JSON value; CompleteInteractiveLogin returns it untouched. nil
	// means none.
	AppState any

	// AuthorizationParams are sent to the provider, over Config.AuthorizationParams.
	// scope is merged with the configured scopes; client_id, response_type, state, nonce and
	// the PKCE parameters are ours and dropped. With max_age, in seconds, the ID token must
	// show by auth_time that the user signed in no longer ago.
	AuthorizationParams map[string]string

	// Organization and Invitation win over parameters of the same name.
	Organization string
	Invitation   string

	// Pushed, when not nil, says whether this login is pushed, whatever
	// WithPushedAuthorization says.
	Pushed *bool
}

// LoginResult is a completed login.
type LoginResult struct {
	SessionID            string // for SessionID; a secret like a password
	Session              *Session
	AppState             json.RawMessage // nil when none was given
	AuthorizationDetails json.RawMessage // RFC 9396; nil when the provider returned none
}

// Format prints r without its secrets.
func (r LoginResult) Format(f fmt.State, _ rune) { fmt.Fprint(f, "tokenward.LoginResult") }

// MarshalJSON writes r without its secrets.
func (r LoginResult) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"session": r.Session, "app_state": r.AppState})
}

// ours are the parameters of an authorization request that nobody else may set.
var ours = []string{"client_id", "response_type", "code_challenge", "code_challenge_method", "state", "nonce"}

// StartInteractiveLogin begins a login by authorization code with PKCE (RFC 7636)
// and returns the URL to send the browser to.
//
// It fails with a *MissingRequiredArgumentError without a redirect URI, an
// *InvalidArgumentError, an *APIError (metadata_error, configuration_error; where it is
// pushed, also par_error or the provider's code) or the store's error.
func (c *Client) StartInteractiveLogin(ctx context.Context, r LoginRequest, o StoreOptions) (string, error) {
	to, err := c.startLogin(ctx, r, o)
	return to, ofCaller(ctx, err)
}

func (c *Client) startLogin(ctx context.Context, r LoginRequest, o StoreOptions) (string, error) {
	if c.callers.Closed() {
		return "", session.ErrClosed
	}
	if err := c.boundedParams(r.AuthorizationParams); err != nil {
		return "", err
	}
	o = c.resolve(ctx, o)
	t, err := c.tenant(ctx, o.options())
	if err != nil {
		return "", err
	}
	client, err := c.applicationOf(ctx, t)
	if err != nil {
		return "", err
	}
	m, err := client.Metadata(ctx, t.of.Issuer)
	if err != nil {
		return "", err
	}
	c.noteProvider(client, t, m)
	params := c.loginParams(r, t)
	tx, err := c.newTransaction(t, m, r, params)
	if err != nil {
		return "", err
	}
	state := session.RandomString(c.rand, 32)
	params.Set("state", state)
	authorize := client.Authorize
	pushed := c.opts.pushed || m.RequirePushedAuthorizationRequests && !t.domain
	if r.Pushed != nil {
		pushed = *r.Pushed
	}
	if pushed {
		authorize = client.PushAuthorization
	}
	to, err := authorize(ctx, t.of.Issuer, params)
	if err != nil {
		return "", err
	}
	if err := c.putTransaction(ctx, state, tx, o.options()); err != nil {
		return "", err
	}
	return to, nil
}

// newTransaction returns the transaction of a login, and completes its parameters.
func (c *Client) newTransaction(t tenant, m *idp.Metadata, r LoginRequest, params url.Values) (tx transaction, err error) {
	if params.Get("redirect_uri") == "" {
		if c.cfg.RedirectURI == "" {
			return tx, &MissingRequiredArgumentError{Argument: "redirect_uri"}
		}
		params.Set("redirect_uri", c.cfg.RedirectURI)
	}
	tx = transaction{
		RedirectURI: params.Get("redirect_uri"), Domain: c.domainOf(t.of.Issuer), AtIssuer: !t.domain, CreatedAt: c.clock.Now().Unix(),
	}
	if c.registering() {
		tx.ClientID = t.of.ClientID
	}
	tx.OwnRedirect = c.ownRedirect(r, t, tx)
	if tx.MaxAge, err = maxAge(params); err != nil {
		return tx, err
	}
	if err := tx.setAppState(r.AppState); err != nil {
		return tx, err
	}
	if err := c.organization(r, &tx, params); err != nil {
		return tx, err
	}
	tx.Audience = cmp.Or(params.Get("audience"), c.policy.Audience)
	params.Del("audience")
	if tx.Audience != "" {
		params.Set("audience", tx.Audience)
	}
	tx.Scope = c.loginScope(t, m, tx.Audience, r.AuthorizationParams["scope"])
	params.Set("scope", tx.Scope)
	if c.needsNonce(t, m) {
		tx.Nonce = session.RandomString(c.rand, 32)
		params.Set("nonce", tx.Nonce)
	}
	if !c.opts.noPKCE {
		tx.CodeVerifier = session.RandomString(c.rand, 64)
		params.Set("code_challenge", idp.Challenge(tx.CodeVerifier))
	}
	return tx, nil
}

// loginParams returns the parameters of a login that the host set: those of the call over that of the
// registration over the configured ones.
func (c *Client) loginParams(r LoginRequest, t tenant) url.Values {
	params := url.Values{}
	registered := map[string]string{}
	if t.redirectURI != "" {
		registered["redirect_uri"] = t.redirectURI
	}
	for _, from := range []map[string]string{c.cfg.AuthorizationParams, registered, r.AuthorizationParams} {
		for k, v := range from {
			params.Set(k, v)
		}
	}
	for _, k := range ours {
		params.Del(k)
	}
	return params
}

// maxAge returns the max_age among params, nil where there is none.
func maxAge(params url.Values) (*int64, error) {
	if !params.Has("max_age") {
		return nil, nil
	}
	n, err := strconv.ParseUint(params.Get("max_age"), 10, 31)
	if err != nil {
		return nil, &InvalidArgumentError{Argument: "max_age", Message: "must be a whole number of seconds, such as 3600"}
	}
	age := int64(n)
	return &age, nil
}

// needsNonce reports whether a login needs a nonce: PKCE binds the code to the login too, but only
// where the provider looks at it.
func (c *Client) needsNonce(t tenant, m *idp.Metadata) bool {
	if c.opts.nonce != nil {
		return *c.opts.nonce
	}
	return c.opts.noPKCE || !t.domain && !slices.Contains(m.CodeChallengeMethodsSupported, "S256")
}

// organization puts the organization and invitation into params, and into tx what
// the ID token must then show.
func (c *Client) organization(r LoginRequest, tx *transaction, params url.Values) error {
	organization := r.Organization
	if organization == "" {
		organization = c.cfg.Organization
	}
	if organization != "" {
		params.Set("organization", organization)
		tx.Organization = organization
	}
	if o := params.Get("organization"); o != "" && blank(o) {
		return &InvalidArgumentError{Argument: "organization", Message: "must not be only white space"}
	}
	if r.Invitation != "" {
		params.Set("invitation", r.Invitation)
	}
	return nil
}

// CompleteInteractiveLogin ends a login with the URL that the provider sent the
// browser back to: it spends the code, checks the ID token and stores the session.
//
// It fails with a *MissingRequiredArgumentError (state, code), a
// *MissingTransactionError for a login that is unknown, too old or completed already, an
// *APIError with what the provider or its token said, an *IssuerValidationError, an
// *OrganizationTokenValidationError, a *SessionExpiredError for a ceiling already
// past: nothing is stored then. With the store's error, and with ctx.Err(), a session may
// have been stored all the same; nobody was given its id.
//
// A login that was turned away before its code was sent (ErrOverloaded, ErrStore of
// either store, metadata_error, ctx.Err()) is still under way: the same callback completes it later. See
// claim for when a callback counts as used.
func (c *Client) CompleteInteractiveLogin(ctx context.Context, callbackURL string, o StoreOptions) (*LoginResult, error) {
	res, err := c.completeLogin(ctx, callbackURL, o)
	return res, ofCaller(ctx, err)
}

// ofCaller returns err, or the context's error where the call failed because its
// caller has left: that is nobody's outage.
func ofCaller(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (c *Client) completeLogin(ctx context.Context, callbackURL string, o StoreOptions) (*LoginResult, error) {
	if c.callers.Closed() {
		return nil, session.ErrClosed
	}
	u, err := url.Parse(callbackURL)
	if err != nil {
		return nil, &InvalidArgumentError{Argument: "url", Message: "the callback URL cannot be parsed"}
	}
	o = c.resolve(ctx, o)
	query := u.Query()
	tx, t, err := c.callback(ctx, u, o.options())
	if err != nil {
		return nil, err
	}
	t.of = c.registrationOf(tx)
	client, err := c.applicationOf(ctx, t)
	if err != nil {
		return nil, err
	}
	issuer, name := t.of.Issuer, query.Get("state")
	response, err := client.ExchangeCode(ctx, idp.CodeExchange{
		Issuer: issuer, Code: query.Get("code"), RedirectURI: tx.RedirectURI, CodeVerifier: tx.CodeVerifier,
		Audience: tx.Audience,
		Sending:  func() error { return c.claim(ctx, name, o.options()) },
	})
	if err != nil {
		return nil, err
	}
	now := c.clock.Now()
	issuer, claims, err := c.verify(ctx, client, issuer, tx, response)
	if err != nil {
		return nil, err
	}
	ceiling := session.ParseCeiling(claims["session_expiry"])
	if session.PastAtLogin(ceiling, claims["iat"], c.clock.Now()) {
		return nil, &SessionExpiredError{Message: "the identity provider's session was over when the login arrived; start a new login"}
	}
	claims = c.withUserInfo(ctx, client, issuer, tx, response, claims)
	key, _ := c.policy.EffectiveAudience(tx.Audience)
	state := session.NewState(session.Login{
		Claims: claims, Response: response, Audience: key, Scope: tx.Scope, Domain: c.domainOf(issuer), ClientID: tx.ClientID,
		Now: now, Random: c.rand,
		DefaultLifetime: c.opts.tokenLifetime, KeepToGrant: tx.AtIssuer,
	})
	if o.options().Request != nil {
		state.Internal.EndsAt = state.Internal.CreatedAt + int64(c.opts.cookies.Absolute/time.Second)
	}
	incarnation := session.NewIncarnation(c.rand)
	if state, err = c.browser.Fit(state); err != nil {
		return nil, err
	}
	id, err := c.begin(ctx, state, incarnation, claims, o)
	if err != nil {
		return nil, err
	}
	c.complete(ctx, name, completion{Session: c.key(id), Incarnation: incarnation, AppState: tx.AppState}, o.options())
	return &LoginResult{
		SessionID: id, Session: state.Session(), AppState: tx.AppState, AuthorizationDetails: response.AuthorizationDetails,
	}, nil
}

// callback reads what came back with the browser, and the transaction it belongs to. One that ends
// the login takes the transaction; one with a code, which claim is for, and one with neither code nor
// error take nothing. t is what checkCallbackIssuer returns.
func (c *Client) callback(ctx context.Context, u *url.URL, o store.Options) (tx transaction, t tenant, err error) {
	query := u.Query()
	state := query.Get("state")
	if state == "" {
		return tx, t, &MissingRequiredArgumentError{Argument: "state"}
	}
	tx, err = c.transaction(ctx, state, c.opts.transactions.Get, o)
	if err != nil {
		return tx, t, err
	}
	refused := query.Get("error")
	if refused == "" && query.Get("code") == "" {
		return tx, t, &MissingRequiredArgumentError{Argument: "code"}
	}
	t, err = c.checkCallbackIssuer(ctx, tx, u, o)
	foreign := errors.As(err, new(*IssuerValidationError))
	switch {
	case refused == "" && !foreign:
		return tx, t, err
	case !foreign:
		err = idp.CallbackError(refused, query.Get("error_description"))
	}
	if _, taken := c.transaction(ctx, state, c.opts.transactions.Take, o); taken != nil {
		return tx, t, taken
	}
	return tx, t, err
}

// verify checks the ID token of a login. It returns the issuer that the session belongs to, which is
// another than that of the login where that stands for many tenants.
func (c *Client) verify(ctx context.Context, client *idp.Client, issuer string, tx transaction, r session.TokenResponse) (string, User, error) {
	switch {
	case r.IDToken == "" && tx.Organization != "":
		return "", nil, &OrganizationTokenValidationError{Message: "an organization was asked for and no ID token was returned"}
	case r.IDToken == "":
		return "", nil, &APIError{Code: session.CodeInvalidResponse, Description: "the token response has no ID token"}
	}
	issuer, err := client.TenantIssuer(ctx, issuer, r.IDToken)
	if err != nil {
		return "", nil, err
	}
	claims, err := client.VerifyIDToken(ctx, issuer, r.IDToken, idp.Expect{Nonce: tx.Nonce, Organization: tx.Organization, MaxAge: tx.MaxAge})
	return issuer, claims, err
}

// begin stores a new session and returns its id.
func (c *Client) begin(ctx context.Context, state *session.State, incarnation session.Incarnation, claims User, o StoreOptions) (string, error) {
	id := o.id
	if o.options().Request != nil {
		id = ""
	}
	if id == "" {
		id = session.RandomString(c.rand, 32)
	}
	iat := issuedAt(claims)
	if c.logouts.refuses(c.clock.Now(), c.ownerOf(state), state.Internal.SID, claims.Sub(), iat) {
		return "", overtaken()
	}
	key := c.key(id)
	call := directory.NewCall(ctx, o.options())
	login := &messages.ReplaceSession{ID: id, Key: key, State: state, Incarnation: incarnation, Call: call}
	err := c.order(ctx, login, call)
	// A logout token that came while the session was being written found nothing to end.
	late := err == nil && c.logouts.refuses(c.clock.Now(), c.ownerOf(state), state.Internal.SID, claims.Sub(), iat)
	if late || err != nil && ctx.Err() != nil {
		c.send(&messages.EndSession{ID: id, Key: key, Only: incarnation, Why: session.ReasonLogout})
	}
	switch {
	case late:
		return "", overtaken()
	case err != nil && ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return "", lookup.StoreError(err)
	}
	if r := o.options().Request; r != nil {
		for _, old := range o.ended() { // first: a read beside this call must not renew the old cookie over the new one
			c.browser.Ended.Add(c.key(old), session.ReasonReplaced)
		}
		if w := o.options().Response; w != nil {
			c.browser.Write(w, r, id, state, nil)
		}
		for _, old := range o.ended() {
			gone := directory.NewCall(ctx, o.options())
			end := &messages.EndSession{ID: old, Key: c.key(old), Why: session.ReasonReplaced, Call: gone}
			if err := c.order(ctx, end, gone); err != nil && !errors.Is(err, ctx.Err()) {
				c.log.Warn("the session that a login replaced could not be deleted; it is tried again")
			}
		}
	}
	return id, nil
}

func overtaken() error {
	return &SessionExpiredError{Message: "the provider has ended this session already; start a new login"}
}

// transactionLife is how long a login may take.
const transactionLife = time.Hour
