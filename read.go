package tokenward

import (
	"context"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/supervisor"
)

// GetUser returns the claims of the user who is signed in, or nil when there is no
// session, or when its ceiling is reached: then the session is deleted first. It never
// asks the provider and never waits for a refresh.
//
// It fails when the store does not answer (ErrStore), with ErrOverloaded and
// ErrClosed, and with ctx.Err().
func (c *Client) GetUser(ctx context.Context, o StoreOptions) (User, error) {
	s, err := c.read(ctx, o)
	if s == nil || err != nil {
		return nil, err
	}
	return s.User.Clone(), nil
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
	defer c.leave(o)
	if o.id == "" {
		if c.callers.Closed() {
			return nil, session.ErrClosed
		}
		return nil, nil
	}
	issuer, err := c.currentFor(ctx, o, func(err error) error { return err })
	if err != nil {
		return nil, err
	}
	r := supervisor.ReadCall{Caller: caller(ctx, o), Issuer: issuer}
	for w, more := r.Step(&c.callers, supervisor.Came{}); more; {
		w, more = r.Step(&c.callers, c.wait(ctx, w))
	}
	return r.State, r.Err
}
