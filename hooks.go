package tokenward

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/hooks"
	"github.com/tokenward/tokenward/session"
)

// Hooks are functions of the application that the client calls as its sessions come and go; nil ones are not called. They must be
// safe for concurrent use. A panic in one is contained, logged without its value, and counted in Stats.Failures.
//
// AfterLogin and BeforeSave are part of a call, which waits for them. The others are told what has happened: on goroutines
// of their own, those of one session in order, each with a context that ends after Limits.StoreTimeout. One that is slow
// holds up nothing but later ones of some sessions; where 10,000 of these wait, further ones are dropped, and counted in Stats.HooksDropped.
// SaveFailed waits for no other hook, and none is dropped; one that is slow takes a place from work with the store. Each is called at
// most once: what happens just before a crash, or before Close gives up waiting, is not told.
//
// A hook gets no token. What it gets of a session the application could read anyway.
type Hooks struct {
	// AfterLogin is called once a login has passed every check, before its session is stored: on the goroutine of
	// CompleteInteractiveLogin, with its context. It may change l.Data, which begins with what UpdateSession has kept for the
	// same user. With an error it refuses the login: nothing is stored, and the call fails with a *LoginRefusedError that wraps it.
	AfterLogin func(ctx context.Context, l *Login) error

	// BeforeSave is given the claims of a user that are about to be stored, and returns those that are: at a login, before
	// AfterLogin, and at a refresh where WithUserUpdates has the claims of its ID token replace them. It can
	// neither add nor change nor drop the claims that say who signed in, when and how: iss, sub, aud, iat, exp, sid, auth_time, acr, amr, org_id and session_expiry.
	//
	// An error refuses a login, as one of AfterLogin does. At a refresh the user then stays as it was; so it does where
	// BeforeSave takes more than a second, for until it returns the new refresh token is not saved.
	BeforeSave func(ctx context.Context, user User) (User, error)

	// AfterRefresh is told of each access token that a refresh or a connection exchange has brought, once it is saved.
	AfterRefresh func(ctx context.Context, r Refreshed)

	// RefreshFailed is told of each request for a token that the provider refused or did not answer, once for all callers
	// who shared it, and after the last attempt of WithRetry.
	RefreshFailed func(ctx context.Context, f RefreshFailure)

	// SessionEnded is told of each end of a session that this process had in memory, or has deleted at its ceiling or by a
	// logout: once, and once more only where its record could not be deleted and was read again past its ceiling. An end in
	// another process is told once this one notices it, if it has the session in memory. A cookie that lapses unused is not told.
	// To act on an end, take this; to count ends, observe.Observer.Ended, which drops none. Stats.Ceilings counts those at a ceiling.
	SessionEnded func(ctx context.Context, e SessionEnd)

	// SaveFailed is told of each session whose state could not be saved at the first try, on a goroutine of its own. The write is
	// tried again by itself. err is what the store returned, as it is and so no ErrStore: of its own types, store.ErrConflict, or
	// context.DeadlineExceeded after Limits.StoreTimeout. Stats.SaveErrors counts.
	SaveFailed func(ctx context.Context, session Key, err error)
}

// WithHooks has the client call functions of the application.
func WithHooks(h Hooks) Option { return func(o *options) { o.hooks = h } }

// Login is a login whose session is about to be stored.
type Login struct {
	User     User            // a copy of the claims that are stored
	AppState json.RawMessage // of StartInteractiveLogin; nil when none was given
	Data     SessionData     `json:"-"` // the values that the session begins with, never nil; the hook may change them
}

// Format prints l without its user.
func (l Login) Format(f fmt.State, _ rune) { fmt.Fprint(f, "tokenward.Login") }

// Refreshed is an access token that has come.
type Refreshed struct {
	Session    Key
	Audience   string // of the token; default where none is configured
	Connection string // set where the token is of an upstream connection
	ExpiresAt  time.Time
}

// RefreshFailure is a request for a token that has failed.
type RefreshFailure struct {
	Session    Key
	Audience   string
	Connection string
	Err        error // what the callers got; CodeOf tells why, LoginRequired whether the user must sign in again

	// Lost says that a crash has cost the refresh token: it had been presented, its successor is not known, and the provider refuses it.
	Lost bool
}

// Reason is the word, a string, for why a session has ended: [ReasonLogout], [ReasonBackchannelLogout], [ReasonAdministration],
// [ReasonCeiling], [ReasonRevoked], [ReasonReplaced] or [ReasonLifetime].
type Reason = session.Reason

// The reasons for which sessions end.
const (
	ReasonLogout            Reason = "logout"             // the user signed out
	ReasonBackchannelLogout Reason = "backchannel_logout" // the provider said so, by a back-channel or front-channel logout
	ReasonAdministration    Reason = "administration"     // EndSession, EndSessions or EndSessionsOf: an operator, or package signals
	ReasonCeiling           Reason = "ceiling"            // session_expiry was reached
	ReasonRevoked           Reason = "revoked"            // the provider refuses the refresh token for good (WithEndOnDeadToken)
	ReasonReplaced          Reason = "replaced"           // a new login took its place
	ReasonLifetime          Reason = "lifetime"           // Cookies.Absolute was over
)

// SessionEnd is the end of a session.
type SessionEnd struct {
	Session Key
	Reason  Reason

	// Whose session it was: sub and sid of its ID token and its issuer, as Session.Domain has it. They are empty where the session
	// was not in memory.
	Subject, SID, Domain string
}

// LoginRefusedError says that a hook has refused a login.
type LoginRefusedError struct{ Err error } // what the hook returned

// ErrorCode returns login_refused.
func (e *LoginRefusedError) ErrorCode() Code { return session.CodeLoginRefused }

// Error implements error.
func (e *LoginRefusedError) Error() string {
	text := string(session.CodeLoginRefused) + ": the application does not let this user in"
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns what the hook returned.
func (e *LoginRefusedError) Unwrap() error { return e.Err }

// beforeSaveTime is how long BeforeSave may take at a refresh.
const beforeSaveTime = time.Second

// keptClaims are what BeforeSave cannot change: what says who signed in, when and how.
var keptClaims = []string{"iss", "sub", "aud", "iat", "exp", "sid", "auth_time", "acr", "amr", "org_id", "session_expiry"}

// hooked calls a hook. A panic in it is an ErrInternal.
func (c *Client) hooked(name string, hook func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.stats.Failures.Add(1)
			c.log.Error("a hook of the application panicked", zap.String("hook", name), zap.String("panic", fmt.Sprintf("%T", r)), zap.Stack("stack"))
			err = session.ErrInternal
		}
	}()
	return hook()
}

// refusedBy makes err the error of a login that a hook has refused.
func refusedBy(ctx context.Context, err error) error {
	if err == nil || err == session.ErrInternal || err == ctx.Err() { //nolint:errorlint // of hooked, and the call's own
		return err
	}
	return &LoginRefusedError{Err: err}
}

// beforeSave returns the claims that are to be stored of a user.
func (c *Client) beforeSave(ctx context.Context, claims User) (User, error) {
	if c.opts.hooks.BeforeSave == nil {
		return claims, nil
	}
	var user User
	err := c.hooked("BeforeSave", func() (err error) {
		user, err = c.opts.hooks.BeforeSave(ctx, claims.Clone())
		return err
	})
	if err != nil {
		return nil, err
	}
	user = maps.Clone(user)
	if user == nil {
		user = User{}
	}
	for _, name := range keptClaims {
		if claim, is := claims[name]; is {
			user[name] = claim
		} else {
			delete(user, name)
		}
	}
	return user, nil
}

// beforeUpdate is beforeSave at a refresh. It leaves the user as it is where the hook fails or takes too long.
func (c *Client) beforeUpdate(ctx context.Context, t *session.TokenResponse) {
	if c.opts.hooks.BeforeSave == nil || !c.opts.updateUser || t.IDClaims == nil {
		return
	}
	ctx, cancel := clock.WithTimeout(ctx, c.clock, beforeSaveTime)
	defer cancel()
	done := make(chan User, 1)
	claims := User(t.IDClaims.All).Clone()
	c.runner.Go(func() {
		var user User
		defer func() { done <- user }() // also where the hook ends its goroutine
		if changed, err := c.beforeSave(ctx, claims); err == nil {
			user = changed
		}
	})
	kept := *t.IDClaims
	select {
	case kept.All = <-done:
	case <-ctx.Done():
		kept.All = nil
	}
	if kept.All == nil {
		c.log.Warn("the user's claims stay as they were, for the hook BeforeSave has failed or takes too long")
	}
	t.IDClaims = &kept
}

// afterLogin lets the application look at a login that is about to be stored.
func (c *Client) afterLogin(ctx context.Context, state *session.State, appState json.RawMessage) error {
	if c.opts.hooks.AfterLogin == nil {
		return nil
	}
	l := &Login{User: state.Claims(), AppState: appState, Data: state.Data.Data()}
	if err := c.hooked("AfterLogin", func() error { return c.opts.hooks.AfterLogin(ctx, l) }); err != nil {
		return refusedBy(ctx, err)
	}
	raw, err := c.rawData(l.Data)
	state.Data = raw
	return err
}

// newHooks returns the queue of what the application is told, nil where it wants to hear nothing.
func (c *Client) newHooks() *hooks.Queue {
	if h := &c.opts.hooks; h.AfterRefresh == nil && h.RefreshFailed == nil && h.SessionEnded == nil {
		return nil
	}
	return hooks.New(c.runner.Go, c.tellHost, c.pending.Add, &c.stats.HooksDropped)
}

// saveFailed returns what tells the application of a session that could not be saved, nil where it wants to hear nothing.
func (c *Client) saveFailed() func(Key, error) {
	hook := c.opts.hooks.SaveFailed
	if hook == nil {
		return nil
	}
	return func(key Key, failed error) {
		ctx, cancel := clock.WithTimeout(c.runner.Context(), c.clock, c.opts.limits.StoreTimeout)
		defer cancel()
		_ = c.hooked("SaveFailed", func() error { hook(ctx, key, failed); return nil })
	}
}

// tellHost tells the application what has happened to a session.
func (c *Client) tellHost(e hooks.Event) {
	ctx, cancel := clock.WithTimeout(c.runner.Context(), c.clock, c.opts.limits.StoreTimeout)
	defer cancel()
	h := &c.opts.hooks
	switch {
	case e.Kind == hooks.Ended && h.SessionEnded != nil:
		end := SessionEnd{Session: e.Key, Reason: e.Reason}
		if e.Named != nil {
			end.Subject, end.SID, end.Domain = e.Named.User.Sub(), e.Named.Internal.SID, e.Named.Domain
		}
		_ = c.hooked("SessionEnded", func() error { h.SessionEnded(ctx, end); return nil })
	case e.Kind == hooks.Refreshed && h.AfterRefresh != nil:
		r := Refreshed{Session: e.Key, Audience: e.Query.Key.Audience, Connection: e.Query.Key.Connection, ExpiresAt: e.Expires}
		_ = c.hooked("AfterRefresh", func() error { h.AfterRefresh(ctx, r); return nil })
	case e.Kind == hooks.RefreshFailed && h.RefreshFailed != nil:
		f := RefreshFailure{Session: e.Key, Audience: e.Query.Key.Audience, Connection: e.Query.Key.Connection, Err: e.Err, Lost: e.Lost}
		_ = c.hooked("RefreshFailed", func() error { h.RefreshFailed(ctx, f); return nil })
	}
}
