package idp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

// class says for whom a request is made.
type class int

const (
	// strangers can cause it: anybody can begin a login, call back with a made-up code or post a
	// logout token. It takes a permit by Config.Limit.
	strangers class = iota
	// users are signed in, and their requests hold a permit already. Discovery and keys that they
	// wait for run in that permit.
	users
)

// overloadedFor is how long a request that was turned away should stay away.
const overloadedFor = 2 * time.Second

// errNoPermit says that a request that is not turned away waited in vain.
var errNoPermit = errors.New("too many requests wait for the provider")

// admit takes a permit for a request that strangers can cause. It waits for one no longer than for
// the provider. Where it fails nothing was sent: with an APIError of the code overloaded, which is
// session.ErrOverloaded and, where ctx ended, its error too; or with session.ErrClosed.
func (c *Client) admit(ctx context.Context) (release func(), err error) {
	release, err = c.permit(ctx, false)
	switch {
	case err == nil || errors.Is(err, session.ErrClosed):
		return release, err
	case !errors.Is(err, session.ErrOverloaded):
		err = fmt.Errorf("%w: %w", session.ErrOverloaded, err)
	}
	return nil, &session.APIError{Code: session.CodeOverloaded, RetryAfter: overloadedFor, Err: err}
}

// admitFirst takes a permit for a request that others wait for, or that goes with a code that was
// spent: it is not turned away. An error is not session.ErrOverloaded, for that says that a login
// can be tried again with its code.
func (c *Client) admitFirst(ctx context.Context) (release func(), err error) {
	release, err = c.permit(ctx, true)
	switch {
	case err == nil || errors.Is(err, session.ErrClosed):
		return release, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, errNoPermit
}

// permit waits for a permit, where there is a limit, for as long as a request may take.
func (c *Client) permit(ctx context.Context, first bool) (release func(), err error) {
	if c.limit == nil {
		return func() {}, nil
	}
	wait, cancel := clock.WithTimeout(ctx, c.clock, c.timeout)
	defer cancel()
	return c.limit(wait, first)
}

// admitFlight takes a permit for discovery or keys that strangers wait for, unless a signed-in user
// comes to wait too: then it goes at once, in the permit of that user's request.
func (c *Client) admitFlight(f *flight) (release func(), err error) {
	if !f.forUser.Load() {
		release, err = c.admitFirst(f.queued)
	}
	if f.forUser.Load() && release == nil {
		return func() {}, nil
	}
	return release, err
}
