package tokenward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// User holds the claims of the user who is signed in, unknown ones verbatim, numbers as json.Number. Its methods read the
// usual ones; a claim that is absent, or not of its type, reads as the zero value.
//
//	func (u User) Sub() string             // who the user is at the provider
//	func (u User) Name() string
//	func (u User) GivenName() string
//	func (u User) FamilyName() string
//	func (u User) Nickname() string
//	func (u User) Email() string
//	func (u User) EmailVerified() bool     // the text "true" counts, too
//	func (u User) Picture() string         // a URL
//	func (u User) OrgID() string           // of the organization that the user signed in to
//	func (u User) OrgName() string
//	func (u User) StepUpAfter() int64  // in seconds since 1970; see Client.AskStepUp
//	func (u User) SessionExpiry() Ceiling  // in seconds since 1970, 0 for none
//	func (u User) Clone() User             // a deep copy
type User = session.User // a map[string]any

// Session is a copy of the data of a session, which GetSession returns: StoreOptions name one, and a Handle is one to call APIs with. Printed, logged or as JSON it shows hashes in the tokens' place, and none of Data.
type Session struct {
	User                User
	IDToken             string
	RefreshToken        string
	TokenSets           []session.TokenSet           // access tokens, by audience and scope
	ConnectionTokenSets []session.ConnectionTokenSet // tokens of connections
	Domain              string                       // where the user signed in: an Auth0 domain or an issuer URL
	Data                SessionData                  // what UpdateSession keeps there; nil where it keeps nothing
}

// Format prints s without its secrets and the application's values.
func (s Session) Format(f fmt.State, verb rune) { session.Session(s).Format(f, verb) }

// LogValue returns s without its secrets and the application's values.
func (s Session) LogValue() slog.Value { return session.Session(s).LogValue() }

// MarshalJSON returns s without its secrets and the application's values.
func (s Session) MarshalJSON() ([]byte, error) { return session.Session(s).MarshalJSON() }

// SessionData holds the values that the application keeps in a session, each as JSON under a name of its own. See UpdateSession.
//
//	func (d SessionData) Get(name string, v any) (ok bool, err error) // decodes the value called name into v; ok: there is one
//	func (d SessionData) Set(name string, v any) error                // encodes v
type SessionData = session.Data // a map[string]json.RawMessage

// Key names a session in a store and in a listing: a hash of its id, which may be logged.
//
//	func (k Key) String() string // 64 hexadecimal digits
//	func (k Key) IsZero() bool   // it names none
type Key = session.Key // a [32]byte

// GetUser returns the claims of the user who is signed in, or nil when there is no
// session, or when its ceiling is reached: then the session is deleted first. It never
// asks the provider and never waits for a refresh.
//
// It fails when the store does not answer (ErrStore), with ErrOverloaded and
// ErrClosed, with ctx.Err(), and with an *InvalidArgumentError where the call names no
// session: neither an id nor a request, nor does the context.
func (c *Client) GetUser(ctx context.Context, o StoreOptions) (User, error) {
	s, err := c.read(ctx, o)
	if s == nil || err != nil {
		return nil, err
	}
	return s.Claims(), nil
}

// GetSession returns a copy of the session, or nil when there is none. It behaves
// like GetUser in all else.
func (c *Client) GetSession(ctx context.Context, o StoreOptions) (*Session, error) {
	s, err := c.read(ctx, o)
	if s == nil || err != nil {
		return nil, err
	}
	return (*Session)(s.Session()), nil
}

// GetSessionData returns a copy of the values that the application keeps in the session: empty where it keeps none, nil
// where there is no session. It behaves like GetUser in all else.
func (c *Client) GetSessionData(ctx context.Context, o StoreOptions) (SessionData, error) {
	s, err := c.read(ctx, o)
	if s == nil || err != nil {
		return nil, err
	}
	return s.Data.Data(), nil
}

// UpdateSession changes the values that the application keeps in the session. It calls update with a copy of them, which
// update changes, and returns once the store has what came of it:
//
//	err := client.UpdateSession(ctx, func(data tokenward.SessionData) error {
//		return data.Set("theme", "dark")
//	}, o)
//
// An update is a compare-and-swap. Where another call, here or in another process that shares the store, has changed the
// values in between, update is called again with those: so none is lost, and update should do nothing but change data. It
// runs on the caller's goroutine. An error of update ends the call, and changes nothing.
//
// The values live as long as the session: refreshes leave them, its end takes them, a login of another user gets none. A
// login of the same user (issuer, client id and sub) in a browser, or under a session id, whose session lives keeps them. They are sealed in the store
// as tokens are, and an update neither refreshes the session nor prolongs it.
//
// UpdateSession fails with ErrMissingSession and ErrSessionExpired, also where the session ends before the store has the
// values; with an *InvalidArgumentError where they are more than Limits.SessionDataBytes or no JSON, or do not fit into the cookies of
// WithStatelessSessions; as GetUser does; and with the store's error (ErrStore). With that, and with ctx.Err(), the values may have been changed all
// the same: after ErrStore they stay in memory and are written again with the next save.
func (c *Client) UpdateSession(ctx context.Context, update func(data SessionData) error, o StoreOptions) error {
	o = c.resolve(ctx, o)
	defer c.renew(ctx, o)
	if o.id == "" {
		return c.noSession(o, asItIs, session.ErrMissingSession)
	}
	current, err := c.currentFor(ctx, o, asItIs)
	if err != nil {
		return err
	}
	caller := &lookup.Caller{Ctx: ctx, ID: o.id, Options: o.options(), Current: current}
	return c.lookup.Update(caller, func(from session.RawData) (session.RawData, error) {
		data := from.Data()
		if err := update(data); err != nil {
			return "", err
		}
		return c.rawData(data)
	})
}

// rawData returns data as a state keeps it, if that is not too much.
func (c *Client) rawData(data SessionData) (session.RawData, error) {
	raw, err := data.Raw()
	switch most := c.opts.limits.SessionDataBytes; {
	case err != nil:
		return "", &InvalidArgumentError{Argument: "data", Message: err.Error()}
	case len(raw) > most:
		return "", &InvalidArgumentError{Argument: "data", Message: fmt.Sprintf("is %d bytes of JSON, and Limits.SessionDataBytes allows %d", len(raw), most)}
	}
	return raw, nil
}

// keepData gives state, of a login that is about to be stored, the values of the application in the session that it takes
// the place of, if that lives and is the same user's at the same application, and the wish for a sign-in later than this one. It waits for no other call: where memory does not
// show the session it reads the record itself. It fails where that cannot be read, for the values would be overwritten and
// lost: the user can sign in once more.
func (c *Client) keepData(ctx context.Context, state *session.State, o StoreOptions) error {
	if o.id == "" {
		return nil
	}
	old, err := c.replaced(ctx, o)
	if old == nil || err != nil {
		return err
	}
	if c.ownerOf(old).Same(c.ownerOf(state)) && old.User.Sub() == state.User.Sub() {
		state.Data = old.Data
		*state = *state.WithStepUp(old.Internal.StepUpAfter, c.clock.Now())
	}
	return nil
}

// replaced returns the state of the session of o, nil where none lives.
func (c *Client) replaced(ctx context.Context, o StoreOptions) (old *session.State, err error) {
	if e := c.lookup.Directory.Lookup(o.id); e != nil {
		s := e.Snapshot()
		switch {
		case s.Phase == directory.Ready && c.env.Fresh.MayShow(e, c.clock):
			old = s.State()
		case c.env.Fresh.Remembers(e, c.clock):
			return nil, nil
		}
	}
	if old == nil {
		err = lookup.Attempt(ctx, c.env, func(ctx context.Context) (err error) {
			old, _, _, err = c.env.SafeLoad(ctx, c.key(o.id), o.options())
			return err
		})
	}
	now := c.clock.Now()
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrUnreadable):
		return nil, nil
	case err != nil, old.Internal.Ceiling.Reached(now), old.Internal.Over(now):
		return nil, err
	}
	return old, nil
}

// read returns the state of the session, or nil when it does not live.
func (c *Client) read(ctx context.Context, o StoreOptions) (*session.State, error) {
	o = c.resolve(ctx, o)
	defer c.renew(ctx, o)
	if o.id == "" {
		return nil, c.noSession(o, asItIs, nil)
	}
	current, err := c.currentFor(ctx, o, asItIs)
	if err != nil {
		return nil, err
	}
	return c.lookup.Read(&lookup.Caller{Ctx: ctx, ID: o.id, Options: o.options(), Current: current})
}

// Handle is a session to call APIs with: for loops that ask for its token again and again, and for requests that carry it. That of
// ContextSession stands for another session in each call. A Handle is safe for concurrent use, stays valid when the
// session ends or begins anew, and costs nothing to drop.
type Handle struct {
	c     *Client
	o     StoreOptions
	entry atomic.Pointer[directory.Entry]
}

// Session returns a handle of the session with that id. Of an empty one all calls fail.
func (c *Client) Session(id string) *Handle { return &Handle{c: c, o: SessionID(id)} }

// SessionOf returns a handle of the session that o is about. It fails as GetAccessToken does: with
// missing_refresh_token where the browser has no session, and with an *InvalidArgumentError where neither o nor ctx names
// one, for example because the request has not come through httpauth's Attach or Require. So a server that asks many times
// within one request opens the browser's cookie once. The handle itself writes nothing to the browser: a call with HTTP
// does, before or after.
func (c *Client) SessionOf(ctx context.Context, o StoreOptions) (*Handle, error) {
	o = c.resolve(ctx, o)
	if o.id == "" {
		return nil, c.noSession(o, lookup.TokenError, session.ErrMissingRefreshToken)
	}
	h := c.Session(o.id)
	if values := o.options().Values; values != nil {
		h.o = h.o.With(values)
	}
	return h, nil
}

// ContextSession returns a handle that stands for another session in each call: the one that ContextWith put into the
// call's context, as httpauth's Attach and Require and the interceptors of grpcauth do. So many users share one
// transport, reverse proxy or gRPC connection. A call whose context names no session fails with an
// *InvalidArgumentError.
func (c *Client) ContextSession() *Handle { return &Handle{c: c} }

// SessionID returns the id of the session, for another process on the same store: a worker (Client.Session) or a gRPC server
// (grpcauth.FromMetadata). It is a secret like a password: seal it where it waits in a queue, or have the queue hold a reference to it. It is ""
// of ContextSession's handle.
//
// With WithStatelessSessions the session is in the browser's cookie, and the id leads to it nowhere else.
func (h *Handle) SessionID() string { return h.o.id }

// Format prints h without the session's id.
func (h *Handle) Format(f fmt.State, _ rune) {
	if h.ofContext() {
		fmt.Fprint(f, "tokenward.Handle(of the context)")
		return
	}
	fmt.Fprintf(f, "tokenward.Handle(%s)", h.c.key(h.o.id))
}

func (h *Handle) ofContext() bool { return h.o.id == "" && h.o.more == nil }

// GetAccessToken is Client.GetAccessToken for this session.
func (h *Handle) GetAccessToken(ctx context.Context, r TokenRequest) (t Token, err error) {
	if h.ofContext() {
		return h.c.GetAccessToken(ctx, r, h.o)
	}
	q, token := h.c.queries.Find(r.query()), (*session.Token)(&t)
	if q == nil || r.demands() {
		err = h.c.demandedToken(ctx, &r, q, h.o, token)
		return t, err
	}
	if e := h.entry.Load(); e != nil && !h.c.lookup.Resolving {
		if h.c.lookup.Hit(e, e.Snapshot(), q, h.o.values(), token) {
			return t, nil
		}
	}
	err = h.c.token(ctx, q, nil, h.o, token)
	if e := h.c.lookup.Directory.Lookup(h.o.id); e != h.entry.Load() {
		h.entry.Store(e)
	}
	return t, err
}

// GetAccessTokenForConnection is Client.GetAccessTokenForConnection for this session.
func (h *Handle) GetAccessTokenForConnection(ctx context.Context, r ConnectionRequest) (ConnectionToken, error) {
	return h.c.GetAccessTokenForConnection(ctx, r, h.o)
}

// GetUser is Client.GetUser for this session.
func (h *Handle) GetUser(ctx context.Context) (User, error) { return h.c.GetUser(ctx, h.o) }

// GetSession is Client.GetSession for this session.
func (h *Handle) GetSession(ctx context.Context) (*Session, error) { return h.c.GetSession(ctx, h.o) }

// GetSessionData is Client.GetSessionData for this session.
func (h *Handle) GetSessionData(ctx context.Context) (SessionData, error) {
	return h.c.GetSessionData(ctx, h.o)
}

// UpdateSession is Client.UpdateSession for this session.
func (h *Handle) UpdateSession(ctx context.Context, update func(data SessionData) error) error {
	return h.c.UpdateSession(ctx, update, h.o)
}

// TokenSource is not for oauth2.NewClient, nor for anything else that keeps a token until it expires:
// oauth2.ReuseTokenSource, in which NewClient wraps each source, goes on sending it after a Logout. Use Client or
// Transport, which ask for each request.
//
// For what must have an oauth2.TokenSource, the tokens are those of GetAccessToken, and ctx ends the waiting for one. Their
// Expiry is the token's expiry or the end of the session, the earlier of the two: none that oauth2 keeps is sent past the
// ceiling.
func (h *Handle) TokenSource(ctx context.Context, r TokenRequest) oauth2.TokenSource {
	return tokenSource{h, ctx, r}
}

type tokenSource struct {
	h   *Handle
	ctx context.Context //nolint:containedctx // oauth2.TokenSource leaves no other way
	r   TokenRequest
}

// Format prints s without the session's id.
func (s tokenSource) Format(f fmt.State, _ rune) { fmt.Fprint(f, "tokenward.TokenSource") }

// Token implements oauth2.TokenSource.
func (s tokenSource) Token() (*oauth2.Token, error) {
	t, err := s.h.GetAccessToken(s.ctx, s.r)
	if err != nil {
		return nil, err
	}
	id, q := s.h.c.resolve(s.ctx, s.h.o).id, s.h.c.policy.Query(s.r.Audience, s.r.Scope)
	return &oauth2.Token{AccessToken: t.AccessToken, TokenType: "Bearer", Expiry: s.h.c.lookup.KeepUntil(id, q, (*session.Token)(&t))}, nil
}
