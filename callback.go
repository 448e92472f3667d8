package tokenward

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/logging"
	"github.com/tokenward/tokenward/internal/logins"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// CompleteInteractiveLogin ends a login with the URL that the provider sent the
// browser back to: it spends the code, checks the ID token and stores the session.
//
// It fails with a *MissingRequiredArgumentError (state, code), a
// *MissingTransactionError for a login that is unknown, too old or completed already, an
// *APIError with what the provider or its token said, an *IssuerValidationError, an
// *OrganizationTokenValidationError, a *SessionExpiredError for a ceiling already
// past, or where HandleBackchannelLogout, EndSessions or EndSessionsOf has ended it in the meantime, in any
// process: nothing stays stored then; with a *DomainResolverError where only the resolver could say whose callback it
// is. With the store's error, and with ctx.Err(), a session may have been stored all the same; its id was not handed out.
//
// A login that was turned away before its code was sent (ErrOverloaded, ErrStore of
// either store, metadata_error, domain_resolver_error, ctx.Err()) is still under way: the same callback completes it later. See
// logins.Claim for when a callback counts as used.
func (c *Client) CompleteInteractiveLogin(ctx context.Context, callbackURL string, o StoreOptions) (*LoginResult, error) {
	res, err := during(ctx, c, observe.Callback, func(ctx context.Context) (*LoginResult, error) { return c.completeLogin(ctx, callbackURL, o) })
	return res, ofCaller(ctx, err)
}

// ofCaller returns err, or the context's error where the call failed because its
// caller has given up: that is no outage.
func ofCaller(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (c *Client) completeLogin(ctx context.Context, callbackURL string, o StoreOptions) (*LoginResult, error) {
	if c.lookup.Closed() {
		return nil, session.ErrClosed
	}
	u, err := url.Parse(callbackURL)
	if err != nil {
		return nil, &InvalidArgumentError{Argument: "url", Message: "the callback URL cannot be parsed"}
	}
	o = c.resolve(ctx, o)
	tx, t, err := c.callback(ctx, u, o.options())
	if err != nil {
		c.noteRefused(ctx, err, &c.callbackSaid)
		return nil, err
	}
	res, err := c.spendCode(ctx, u.Query(), tx, t, o)
	c.noteRefused(ctx, err, nil)
	return res, err
}

// spendCode completes the login of a callback with a code, which callback has let pass.
func (c *Client) spendCode(ctx context.Context, query url.Values, tx logins.Transaction, t tenant, o StoreOptions) (*LoginResult, error) {
	t.of = c.registrationOf(tx)
	client, err := c.applicationOf(ctx, t)
	if err != nil {
		return nil, err
	}
	issuer, name := t.of.Issuer, query.Get("state")
	response, err := client.ExchangeCode(ctx, idp.CodeExchange{
		Issuer: issuer, Code: query.Get("code"), RedirectURI: tx.RedirectURI, CodeVerifier: tx.CodeVerifier,
		Audience: tx.Audience,
		Sending:  func() error { return c.logins.Claim(ctx, name, o.options()) },
	})
	if err != nil {
		return nil, err
	}
	now := c.clock.Now()
	issuer, claims, err := c.verify(ctx, client, issuer, tx, response)
	if err != nil {
		return nil, err
	}
	if err := c.inTime(claims); err != nil {
		return nil, err
	}
	claims = c.withUserInfo(ctx, client, issuer, tx, response, claims)
	state, err := c.newSession(ctx, session.Login{
		Claims: claims, Response: response, Scope: tx.Scope, Domain: c.domainOf(issuer), ClientID: tx.ClientID,
		Now: now, KeepToGrant: tx.AtIssuer,
	}, tx, o)
	if err != nil {
		return nil, err
	}
	if err := c.inTime(claims); err != nil { // UserInfo, the store and the host's hooks took their time
		return nil, err
	}
	incarnation := session.NewIncarnation(c.rand)
	id, err := c.begin(ctx, state, incarnation, claims, o)
	if err != nil {
		return nil, err
	}
	c.logins.Complete(ctx, name, logins.Completion{Session: c.key(id), Incarnation: incarnation, AppState: tx.AppState}, o.options())
	return &LoginResult{
		SessionID: id, Session: (*Session)(state.Session()), AppState: tx.AppState, AuthorizationDetails: response.AuthorizationDetails,
	}, nil
}

// inTime refuses a login whose ceiling is past.
func (c *Client) inTime(claims User) error {
	if session.PastAtLogin(session.ParseCeiling(claims["session_expiry"]), claims["iat"], c.clock.Now()) {
		return &SessionExpiredError{Message: "the identity provider's session was over when the login arrived; start a new login"}
	}
	return nil
}

// newSession returns the state of a login that passed every check.
func (c *Client) newSession(ctx context.Context, l session.Login, tx logins.Transaction, o StoreOptions) (*session.State, error) {
	l.Audience, _ = c.policy.EffectiveAudience(tx.Audience)
	l.Random, l.DefaultLifetime, l.KeepIssuedAt = c.rand, c.opts.provider.TokenLifetime, c.opts.early > 0
	claims, err := c.beforeSave(ctx, l.Claims)
	if err != nil {
		return nil, refusedBy(ctx, err)
	}
	l.Claims = claims
	state := session.NewState(l)
	if o.options().Request != nil {
		state.Internal.EndsAt = state.Internal.CreatedAt + int64(c.opts.cookies.Absolute/time.Second)
	}
	if err := c.keepData(ctx, state, o); err != nil {
		return nil, err
	}
	state = c.stepUpUnderWay(state, &c.logins.StepUps, c.loginOf(state))
	if err := c.afterLogin(ctx, state, tx.AppState); err != nil {
		return nil, err
	}
	return c.browser.Fit(state)
}

// callback reads what came back with the browser, and the transaction it belongs to. One that ends
// the login takes the transaction; one with a code, which Claim is for, and one with neither code nor
// error take nothing. t is what checkCallbackIssuer returns.
func (c *Client) callback(ctx context.Context, u *url.URL, o store.Options) (tx logins.Transaction, t tenant, err error) {
	query := u.Query()
	state := query.Get("state")
	if state == "" {
		return tx, t, &MissingRequiredArgumentError{Argument: "state"}
	}
	tx, err = c.logins.Get(ctx, state, o)
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
	case refused == "" && !foreign, errors.As(err, new(*DomainResolverError)):
		return tx, t, err
	case !foreign:
		err = idp.CallbackError(refused, query.Get("error_description"))
	}
	if _, taken := c.logins.Take(ctx, state, o); taken != nil {
		return tx, t, taken
	}
	return tx, t, err
}

// verify checks the ID token of a login. It returns the issuer that the session belongs to, which is
// another than that of the login where that stands for many tenants.
func (c *Client) verify(ctx context.Context, client *idp.Client, issuer string, tx logins.Transaction, r session.TokenResponse) (string, User, error) {
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
	who := c.loginOf(state)
	who.IssuedAt = issuedAt(claims)
	if c.logins.Refuses(c.clock.Now(), who) {
		return "", overtaken()
	}
	key := c.key(id)
	call := directory.NewCall(ctx, o.options())
	login := &messages.ReplaceSession{ID: id, Key: key, State: state, Incarnation: incarnation, Call: call}
	err := c.lookup.Order(ctx, login, call)
	stored := err == nil
	if stored {
		err = c.catchUp(ctx, key, incarnation, state, who, o)
	}
	switch {
	case err != nil && (stored || ctx.Err() != nil):
		c.send(&messages.EndSession{ID: id, Key: key, Only: incarnation, Why: session.ReasonLogout})
		return "", ofCaller(ctx, err)
	case err != nil:
		return "", lookup.StoreError(err)
	}
	if o.options().Request != nil {
		c.replaceInBrowser(ctx, id, state, o)
	}
	return id, nil
}

// replaceInBrowser gives the browser its new session, and ends those that it had.
func (c *Client) replaceInBrowser(ctx context.Context, id string, state *session.State, o StoreOptions) {
	for _, old := range o.ended() { // first: a read beside this call must not renew the old cookie over the new one
		c.browser.Ended.Add(c.key(old), session.ReasonReplaced)
	}
	if w := o.options().Response; w != nil {
		c.browser.Write(w, o.options().Request, id, state, nil)
	}
	for _, old := range o.ended() {
		gone := directory.NewCall(ctx, o.options())
		end := &messages.EndSession{ID: old, Key: c.key(old), Why: session.ReasonReplaced, Call: gone}
		if err := c.lookup.Order(ctx, end, gone); err != nil && !errors.Is(err, ctx.Err()) {
			c.log.Warn("the session that a login replaced could not be deleted; it is tried again", logging.Of(ctx))
		}
	}
}

// loginOf names the login that state is of, but for when its ID token was issued.
func (c *Client) loginOf(state *session.State) logins.Login {
	return logins.Login{Of: c.ownerOf(state), SID: state.Internal.SID, Subject: state.User.Sub(), Email: state.User.VerifiedEmail()}
}

// catchUp does to a session that was just stored what sign-outs and wishes for a step-up could not do that looked for sessions before, in this
// process or another. With an error the session must end.
func (c *Client) catchUp(ctx context.Context, key Key, incarnation session.Incarnation, state *session.State, who logins.Login, o StoreOptions) error {
	ended, stepUps, err := c.logins.Marked(ctx, who, o.options())
	if err != nil {
		return err
	}
	if now := c.clock.Now(); c.logins.Refuses(now, who) || ended.Refuses(now, who) {
		return overtaken()
	}
	asked := c.stepUpUnderWay(c.stepUpUnderWay(state, &c.logins.StepUps, who), stepUps, who)
	if after := asked.Internal.StepUpAfter; after > state.Internal.StepUpAfter {
		return c.lookup.AskStepUp(ctx, key, incarnation, after, o.options())
	}
	return nil
}

func overtaken() error {
	return &SessionExpiredError{Message: "the user was signed out while this login was under way, or in the second of its ID token; start a new login"}
}

// CompletedLogin is for a callback that a browser loads again. It returns the AppState of the login that
// callbackURL completed within the last hour, nil where there was none. It is ok only while the session
// that this login made lives, and if the request of o carries that very session: to another
// browser a stolen callback URL says nothing. Any process that shares the state store knows it; without a
// shared store the process that completed the login does, for the latest 10,000 of them.
func (c *Client) CompletedLogin(ctx context.Context, callbackURL string, o StoreOptions) (appState json.RawMessage, ok bool) {
	u, err := url.Parse(callbackURL)
	if err != nil || c.lookup.Closed() {
		return nil, false
	}
	state := u.Query().Get("state")
	o = c.resolve(ctx, o)
	if state == "" || o.id == "" || o.options().Request == nil {
		return nil, false
	}
	done, ok := c.logins.Completion(ctx, state, o.options())
	if !ok || done.Session != c.key(o.id) {
		return nil, false
	}
	s, err := c.lookup.Look(ctx, o.id, o.options())
	if err != nil || s.Phase != directory.Ready || s.Incarnation != done.Incarnation || s.Ceiling.Reached(c.clock.Now()) {
		return nil, false
	}
	return bytes.Clone(done.AppState), true
}

// checkCallbackIssuer checks that a callback comes from the issuer at which its login began. Where a
// resolver names several issuers, one that is hostile could send the browser on to another one, and
// so have that one's code sent to itself (mix-up, RFC 9700 section 4.4). So the callback must
// say its issuer (RFC 9207), or come to a redirect URI that is of this issuer alone, or to where the
// resolver names this issuer. A resolver of registrations must not name another one than the login's; it may fail at a callback that
// says its issuer, where it cannot tell by the request.
//
// It returns the tenant that the resolver named, if it was asked and named the login's.
func (c *Client) checkCallbackIssuer(ctx context.Context, tx logins.Transaction, u *url.URL, o store.Options) (t tenant, err error) {
	of, said := c.registrationOf(tx), c.saysIssuer(tx, u)
	if err := c.idp.CheckCallbackIssuer(ctx, of.Issuer, u.Query()); err != nil {
		return t, err
	}
	if !c.resolving() || c.opts.provider.NoMixUpCheck || said && !c.registering() {
		return t, nil
	}
	t, err = c.tenant(ctx, o)
	switch {
	case err == nil && t.of.Same(of):
		return t, nil
	case err == nil && c.registering():
		return tenant{}, &IssuerValidationError{Callback: true, Message: "the callback is for another registration than the one for which its login was begun: " +
			"have the RegistrationResolver name the login's by the callback's request, or fail there, or see ProviderConfig.NoMixUpCheck"}
	case said:
		return tenant{}, nil
	case err != nil: // the callback can come again
		return tenant{}, err
	}
	return tenant{}, &IssuerValidationError{Callback: true, Message: "the authorization response does not say which of several issuers it is from: " +
		"have the resolver name the issuer by the callback's request, give each issuer a redirect URI of its own, or see ProviderConfig.NoMixUpCheck"}
}

// saysIssuer reports whether a callback says which issuer it is from: by the parameter iss, or by a redirect URI of that issuer alone.
func (c *Client) saysIssuer(tx logins.Transaction, u *url.URL) bool {
	return u.Query().Get("iss") != "" ||
		tx.OwnRedirect && c.logins.Redirects.Own(tx.RedirectURI, tx.Domain) && logins.CameTo(u, tx.RedirectURI)
}

// registrationOf returns the registration for which a login was begun.
func (c *Client) registrationOf(tx logins.Transaction) session.RegistrationID {
	return session.RegistrationID{Issuer: session.IssuerOf(tx.Domain), ClientID: cmp.Or(tx.ClientID, c.cfg.ClientID)}
}

// withUserInfo returns the claims of a login with those that the provider's UserInfo endpoint adds,
// where it is worth asking.
func (c *Client) withUserInfo(ctx context.Context, client *idp.Client, issuer string, tx logins.Transaction, r session.TokenResponse, claims User) User {
	granted := tx.Scope
	if r.HasScope {
		granted = r.Scope
	}
	if !c.asksUserInfo(tx.AtIssuer) || r.AccessToken == "" || !session.LacksProfile(claims, session.ParseScope(granted)) {
		return claims
	}
	if m, err := client.Metadata(ctx, issuer); err != nil || m.UserInfoEndpoint == "" {
		return claims
	}
	info, err := client.UserInfo(ctx, issuer, r.AccessToken)
	if err != nil {
		c.log.Warn("the UserInfo endpoint did not answer; the login goes on with what the ID token says", logging.Of(ctx), zap.Error(err))
		return claims
	}
	all, same := session.AddUserInfo(claims, info)
	if !same {
		c.log.Warn("the UserInfo endpoint answered for another user; the login goes on with what the ID token says", logging.Of(ctx))
	}
	return all
}

// asksUserInfo reports whether logins may ask the UserInfo endpoint.
func (c *Client) asksUserInfo(atIssuer bool) bool {
	return c.opts.provider.UserInfo.or(atIssuer)
}
