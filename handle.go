package tokenward

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// Handle is one session, for loops that ask for it again and again. It is safe for
// concurrent use, stays valid when the session ends or begins anew, and costs
// nothing to drop.
type Handle struct {
	c     *Client
	o     StoreOptions
	entry atomic.Pointer[directory.Entry]
}

// Session returns a handle of the session with that id. Of an empty one all calls fail.
func (c *Client) Session(id string) *Handle { return &Handle{c: c, o: SessionID(id)} }

// SessionOf returns a handle of the session that o is about, nil when o names none. So a
// server that asks many times within one request opens the browser's cookie once. The
// handle itself writes nothing to the browser: a call with HTTP does, before or after.
func (c *Client) SessionOf(ctx context.Context, o StoreOptions) *Handle {
	o = c.resolve(ctx, o)
	if o.id == "" {
		return nil
	}
	h := c.Session(o.id)
	if values := o.options().Values; values != nil {
		h.o = h.o.With(values)
	}
	return h
}

// Format prints h without the session's id.
func (h *Handle) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "tokenward.Handle(%s)", h.c.key(h.o.id))
}

// GetAccessToken is Client.GetAccessToken for this session.
func (h *Handle) GetAccessToken(ctx context.Context, r TokenRequest) (t Token, err error) {
	q := h.c.queries.Find(r.query())
	if q == nil || r.demands() {
		return h.c.otherToken(ctx, r, q, h.o)
	}
	if e := h.entry.Load(); e != nil && !h.c.resolving() {
		if h.c.lookup.Hit(e, q, &t) {
			return t, nil
		}
	}
	t, err = h.c.token(ctx, q, session.Demand{}, h.o)
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

// TokenSource returns a source for golang.org/x/oauth2 whose tokens are those of
// GetAccessToken. ctx ends its waiting.
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
	return &oauth2.Token{AccessToken: t.AccessToken, TokenType: "Bearer", Expiry: t.ExpiresAt}, nil
}
