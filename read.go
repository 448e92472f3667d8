package tokenward

import (
	"context"

	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/session"
)

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
	return s.User.Claims(), nil
}

// GetSession returns a copy of the session, or nil when there is none. It behaves
// like GetUser in all else.
func (c *Client) GetSession(ctx context.Context, o StoreOptions) (*Session, error) {
	s, err := c.read(ctx, o)
	if s == nil || err != nil {
		return nil, err
	}
	return s.Session(), nil
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
