package directory

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Call is what one caller lends to work that is done within its own call: a load, a login, a
// logout, a deletion by a read. It lends its context and its store options, among them perhaps an
// HTTP request, which may not be touched once the handler has returned.
//
// So a call is in one of these states. The caller may abandon it while it is waiting. Once the
// work has begun with the loan (running), the caller waits until the work has ended.
//
//	waiting ──Begin──► running ──End──► ending ──► ended
//	   └────Abandon──► abandoned ──End──┘
//
// A nil call is one without a caller: the work runs in the background.
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
	callAbandoned
	callEnding // err is being set
	callEnded
)

// NewCall returns a call that lends ctx and o.
func NewCall(ctx context.Context, o store.Options) *Call {
	return &Call{ctx: ctx, options: o, done: make(chan struct{})}
}

// Begin returns the context and the options that the work runs with: those that the caller lends,
// or background ones where there is no caller, or it has abandoned the call.
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

// Abandoned reports whether the caller has gone without waiting for the work.
func (c *Call) Abandoned() bool { return c != nil && c.state.Load() == callAbandoned }

// End tells the caller how the work ended. Only the first call counts.
func (c *Call) End(err error) {
	if c == nil {
		return
	}
	for {
		s := c.state.Load()
		if s == callEnding || s == callEnded {
			return
		}
		if c.state.CompareAndSwap(s, callEnding) {
			c.err = err
			c.state.Store(callEnded)
			close(c.done)
			return
		}
	}
}

// Values are the free values among the options of c. They may be used at any time.
func (c *Call) Values() map[string]any {
	if c == nil {
		return nil
	}
	return c.options.Values
}

// OvertakenError ends the call of an UpdateSession that was made from values which another caller has changed since.
type OvertakenError struct{ Newest session.RawData }

// Error implements error.
func (*OvertakenError) Error() string { return "the session's values were changed by another caller" }

// Format prints e without the values.
func (e *OvertakenError) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.Error()) }

// Done is closed when the work has ended.
func (c *Call) Done() <-chan struct{} { return c.done }

// Ended reports whether the work has ended, and how.
func (c *Call) Ended() (ended bool, err error) {
	if c.state.Load() != callEnded {
		return false, nil
	}
	return true, c.err
}

// Abandon takes the loan back, and reports whether it could. It cannot once the work has begun
// with it: such work ends with the caller's context, and the caller waits for Done.
func (c *Call) Abandon() bool { return c.state.CompareAndSwap(callWaiting, callAbandoned) }
