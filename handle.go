package tokenward

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/session"
)

// Handle is one session, for loops that ask for it again and again and for requests with its token. That of
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
	q := h.c.queries.Find(r.query())
	if q == nil || r.demands() {
		err = h.c.demandedToken(ctx, &r, q, h.o, &t)
		return t, err
	}
	if e := h.entry.Load(); e != nil && !h.c.lookup.Resolving {
		if h.c.lookup.Hit(e, q, h.o.values(), &t) {
			return t, nil
		}
	}
	err = h.c.token(ctx, q, nil, h.o, &t)
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
	return &oauth2.Token{AccessToken: t.AccessToken, TokenType: "Bearer", Expiry: s.h.c.lookup.KeepUntil(id, q, &t)}, nil
}
