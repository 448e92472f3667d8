package tokenward

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/logins"
	"github.com/tokenward/tokenward/observe"
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
	// the PKCE parameters are ours and dropped. An empty one is not sent, also where it is
	// configured. With max_age, in seconds, the ID token must show by auth_time that the user
	// signed in no longer ago.
	AuthorizationParams map[string]string

	// Organization and Invitation win over parameters of the same name.
	Organization string
	Invitation   string

	// Pushed, when not nil, says whether this login is pushed, whatever
	// ProviderConfig.PushedAuthorization says.
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

// reservedParams are the parameters of an authorization request that no caller may set.
var reservedParams = []string{"client_id", "response_type", "code_challenge", "code_challenge_method", "state", "nonce"}

// StartInteractiveLogin begins a login by authorization code with PKCE (RFC 7636)
// and returns the URL to send the browser to.
//
// It fails with a *MissingRequiredArgumentError without a redirect URI, an
// *InvalidArgumentError, an *APIError (metadata_error, configuration_error; where it is
// pushed, also par_error or the provider's code), a *DomainResolverError, a
// *ConfigurationError where Config.Credentials fails, or the store's error.
func (c *Client) StartInteractiveLogin(ctx context.Context, r LoginRequest, o StoreOptions) (string, error) {
	to, err := during(ctx, c, observe.Login, func(ctx context.Context) (string, error) {
		to, err := c.startLogin(ctx, r, o)
		c.noteRefused(ctx, err, &c.startSaid)
		return to, err
	})
	return to, ofCaller(ctx, err)
}

func (c *Client) startLogin(ctx context.Context, r LoginRequest, o StoreOptions) (string, error) {
	if c.lookup.Closed() {
		return "", session.ErrClosed
	}
	if err := c.checkLogin(r); err != nil {
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
	pushed := c.opts.provider.PushedAuthorization || m.RequirePushedAuthorizationRequests && !t.domain
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
	if err := c.logins.Begin(ctx, state, tx, o.options()); err != nil {
		return "", err
	}
	return to, nil
}

// newTransaction returns the transaction of a login, and completes its parameters.
func (c *Client) newTransaction(t tenant, m *idp.Metadata, r LoginRequest, params url.Values) (tx logins.Transaction, err error) {
	to := cmp.Or(params.Get("redirect_uri"), t.redirectURI, c.cfg.redirectURI())
	if to == "" {
		return tx, &MissingRequiredArgumentError{Argument: "redirect_uri"}
	}
	params.Set("redirect_uri", to)
	tx = logins.Transaction{
		RedirectURI: params.Get("redirect_uri"), Domain: c.domainOf(t.of.Issuer), AtIssuer: !t.domain, CreatedAt: c.clock.Now().Unix(),
	}
	if c.registering() {
		tx.ClientID = t.of.ClientID
	}
	tx.OwnRedirect = c.ownRedirect(r, t, tx)
	if tx.MaxAge, err = maxAge(params); err != nil {
		return tx, err
	}
	if err := tx.SetAppState(r.AppState); err != nil {
		return tx, err
	}
	if err := c.organization(r, &tx, params); err != nil {
		return tx, err
	}
	_, tx.Audience = c.policy.EffectiveAudience(params.Get("audience"))
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
	if !c.opts.provider.NoPKCE {
		tx.CodeVerifier = session.RandomString(c.rand, 64)
		params.Set("code_challenge", idp.Challenge(tx.CodeVerifier))
	}
	maps.DeleteFunc(params, func(_ string, v []string) bool { return v[0] == "" }) // RFC 6749 section 3.1: it means the same
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
	for _, k := range reservedParams {
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
	return c.opts.provider.Nonce.or(c.opts.provider.NoPKCE || !t.domain && !slices.Contains(m.CodeChallengeMethodsSupported, "S256"))
}

// organization puts the organization and invitation into params, and into tx what
// the ID token must then show.
func (c *Client) organization(r LoginRequest, tx *logins.Transaction, params url.Values) error {
	if organization := cmp.Or(r.Organization, c.cfg.Organization); organization != "" {
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

// StepUp says how a user must have signed in, for what an ordinary sign-in is not enough for (RFC 9470). The zero value needs nothing.
type StepUp struct {
	MaxAge    time.Duration // no longer ago than this, in whole seconds by the provider's clock (auth_time); 0: any time
	ACRValues []string      // in one of these ways (acr), the preferred one first; none: in any
}

// Check says what is wrong with s, by an *InvalidArgumentError, nil where nothing is.
func (s StepUp) Check() error {
	switch {
	case s.MaxAge < 0, s.MaxAge > 0 && s.MaxAge < time.Second:
		return &InvalidArgumentError{Argument: "max_age", Message: "must be a second or more"}
	case slices.ContainsFunc(s.ACRValues, func(v string) bool {
		return v == "" || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
	}):
		return &InvalidArgumentError{Argument: "acr_values", Message: "each must be visible ASCII without spaces, quotes and backslashes"}
	}
	return nil
}

// AuthorizationParams returns what a login asks the provider for, for LoginRequest.AuthorizationParams.
func (s StepUp) AuthorizationParams() map[string]string {
	params := map[string]string{}
	if s.MaxAge > 0 {
		params["max_age"] = strconv.FormatInt(int64(s.MaxAge/time.Second), 10)
	}
	if len(s.ACRValues) > 0 {
		params["acr_values"] = strings.Join(s.ACRValues, " ")
	}
	return params
}

// StepUpError says that a user has not signed in as was needed. Begin a login with Need.AuthorizationParams.
type StepUpError struct{ Need StepUp }

// ErrorCode returns insufficient_user_authentication (RFC 9470 section 3).
func (e *StepUpError) ErrorCode() Code { return session.CodeStepUp }

// Error implements error.
func (e *StepUpError) Error() string {
	return string(session.CodeStepUp) + ": the user must sign in once more, as this asks for"
}

// CheckStepUp says by a *StepUpError that a user, whose claims GetUser has returned, has not signed in as need says: too long
// ago, in another way, or the provider has not said when (auth_time, which is no date in the future) or how (acr). ProviderConfig.Leeway applies to the time. It fails with an *InvalidArgumentError
// where need cannot be met.
//
// It says so too where AskStepUp, or a security event (package signals), has asked for a sign-in that is later than the user's. The error
// then has a MaxAge that makes the provider ask for one.
func (c *Client) CheckStepUp(user User, need StepUp) error {
	if err := need.Check(); err != nil {
		return err
	}
	ago, leeway := c.signedInAgo(user), c.opts.provider.Leeway
	if after := user.StepUpAfter(); after != 0 {
		if since := c.clock.Now().Unix() - after; !(ago < float64(since)) {
			need.MaxAge = min(cmp.Or(need.MaxAge, math.MaxInt64), max(time.Second, (time.Duration(since)*time.Second-leeway).Truncate(time.Second)))
			return &StepUpError{Need: need}
		}
	}
	acr, _ := user["acr"].(string)
	if len(need.ACRValues) > 0 && !slices.Contains(need.ACRValues, acr) || need.MaxAge > 0 && !(ago <= need.MaxAge.Seconds()+leeway.Seconds()) {
		return &StepUpError{Need: need}
	}
	return nil
}

// signedInAgo returns how many seconds ago a user signed in, by auth_time: infinitely many where the provider has not said so, or has
// named a moment in the future.
func (c *Client) signedInAgo(user User) float64 {
	n, _ := user["auth_time"].(json.Number)
	at, err := n.Float64()
	if ago := float64(c.clock.Now().Unix()) - at; err == nil && ago >= -c.opts.provider.Leeway.Seconds() {
		return ago
	}
	return math.Inf(1)
}

// AskStepUp has CheckStepUp and httpauth's RequireStepUp ask the user of each session that r names, before what they guard, for a
// sign-in later than r.BeganBy (auth_time), whatever else they need. The sessions go on. Like EndSessions it means those that had begun by
// then and 30 seconds, in all processes and also those that are not in memory, and logins under way there. The user is asked until a login
// of the same browser, or under the same session id, brings such an auth_time; a session that has one is not asked again. So a call that
// is repeated, or comes late, asks nothing twice. It returns of how many sessions it asks anything new.
//
// It fails as EndSessions does.
func (c *Client) AskStepUp(ctx context.Context, r EndRequest, o StoreOptions) (asked int, err error) {
	return during(ctx, c, observe.AskStepUp, func(ctx context.Context) (int, error) {
		e, after, err := c.named(r)
		if err != nil {
			return 0, err
		}
		return e.ofUsers(func(e ending) (int, error) {
			if err := c.logins.AskStepUp(ctx, []session.RegistrationID{{Issuer: e.issuer}}, e.named(after), o.options()); err != nil {
				return 0, err
			}
			refs, err := c.indexed(ctx, e, o)
			if err != nil {
				return 0, err
			}
			return inParallel(refs, func(r store.Ref) (bool, error) { return c.askNamed(ctx, r.Key, e, after, o) })
		})
	})
}

// askNamed asks for a sign-in of the session under key, if it is one that e names. It reports whether that is new.
func (c *Client) askNamed(ctx context.Context, key session.Key, e ending, after int64, o StoreOptions) (asked bool, err error) {
	load := func(ctx context.Context, key session.Key, o store.Options) (*session.State, session.Incarnation, error) {
		s, _, in, err := c.env.SafeLoad(ctx, key, o)
		return s, in, err
	}
	s, incarnation, err := c.readNamed(ctx, key, e, load, o)
	if s == nil || err != nil {
		return false, err
	}
	if e.user != nil {
		e.user(s.User.Sub())
	}
	if now := c.clock.Now(); s.WithStepUp(after, now) == s || s.Internal.Ceiling.Reached(now) || s.Internal.Over(now) {
		return false, nil
	}
	return true, c.lookup.AskStepUp(ctx, key, incarnation, after, o.options())
}

// stepUpUnderWay returns the state of a login, with the sign-in that was asked for while it was under way.
func (c *Client) stepUpUnderWay(state *session.State, asked *logins.Logouts, who logins.Login) *session.State {
	after, ok := asked.Latest(c.clock.Now(), who)
	if !ok || state.LoggedInAt() > after+leewayOfEnds {
		return state
	}
	return state.WithStepUp(after, c.clock.Now())
}

// ownRedirect reports whether the redirect URI of a login is for logins of its domain alone: the
// host named it for this login or its registration, and for no login of another domain.
func (c *Client) ownRedirect(r LoginRequest, t tenant, tx logins.Transaction) bool {
	named := cmp.Or(r.AuthorizationParams["redirect_uri"], t.redirectURI)
	return c.resolving() && named != "" && named != c.cfg.RedirectURI && named != c.cfg.AuthorizationParams["redirect_uri"] &&
		c.logins.Redirects.Note(named, tx.Domain)
}
