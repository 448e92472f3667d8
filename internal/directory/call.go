package directory

import (
	"context"
	"sync/atomic"

	"github.com/tokenward/tokenward/store"
)

// Call is a caller who waits for work that is done within its own call: a load, a
// login, a logout, a deletion by a read. It lends its context and its store
// options to that work until it leaves.
type Call struct {
	ctx     context.Context
	options store.Options
	state   atomic.Int32
	done    chan struct{}
	err     error
}

const (
	callWaiting int32 = iota
	callRunning
	callLeft
	callEnding // err is being set
	callDone
)

// NewCall returns a call that lends ctx and o.
func NewCall(ctx context.Context, o store.Options) *Call {
	return &Call{ctx: ctx, options: o, done: make(chan struct{})}
}

// Begin returns what the work runs with: what the caller lends, or, when there is
// no caller or it has left, a background context and options.
func (c *Call) Begin() (context.Context, store.Options) {
	if c != nil && c.state.CompareAndSwap(callWaiting, callRunning) {
		return c.ctx, c.options
	}
	o := store.Options{Background: true}
	if c != nil {
		o.Values = c.options.Values
	}
	return context.Background(), o
}

// Over reports whether the caller's own context has ended.
func (c *Call) Over() bool { return c.ctx.Err() != nil }

// Left reports whether the caller has gone without waiting for the work.
func (c *Call) Left() bool { return c != nil && c.state.Load() == callLeft }

// End tells the caller how the work ended. Only the first call counts.
func (c *Call) End(err error) {
	if c == nil {
		return
	}
	for {
		s := c.state.Load()
		if s == callEnding || s == callDone {
			return
		}
		if c.state.CompareAndSwap(s, callEnding) {
			c.err = err
			c.state.Store(callDone)
			close(c.done)
			return
		}
	}
}

// Done is closed when the work has ended.
func (c *Call) Done() <-chan struct{} { return c.done }

// Ended reports whether the work has ended, and how.
func (c *Call) Ended() (ended bool, err error) {
	if c.state.Load() != callDone {
		return false, nil
	}
	return true, c.err
}

// Leave takes back what was lent, and reports whether it could: work that has begun with
// it ends with the caller's context, and is to be waited for.
func (c *Call) Leave() bool { return c.state.CompareAndSwap(callWaiting, callLeft) }
