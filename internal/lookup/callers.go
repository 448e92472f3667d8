package lookup

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Callers is what all calls of a client have in common. A call that the cache does not
// answer is taken step by step (Look, TokenCall, ConnectionCall, ReadCall, Order): no step
// waits, each says what to wait for. Whoever takes the steps does the waiting.
type Callers struct {
	Dir       *directory.Directory
	Clock     clock.Clock
	Buffer    time.Duration // a token counts as expired this long before it does
	Questions int           // flights of one session, in the air and queued
	Name      string        // the identifier under which sessions are kept
	Resolving bool          // a session must be of the registration that the call is for
	ClientID  string        // of sessions that have none of their own
	Boss      *actor.PID
	Send      func(to *actor.PID, message any)
	Fresh     *directory.Freshness

	closed atomic.Bool
}

// Close refuses every call from here on, hits included.
func (c *Callers) Close() { c.closed.Store(true) }

// Closed reports whether calls are refused.
func (c *Callers) Closed() bool { return c.closed.Load() }

// Key names the record of the session id.
func (c *Callers) Key(id string) session.Key { return session.KeyOf(c.Name, id) }

// Hit finds the answer in what the session shows, fills in token and reports whether there was one. It takes no lock,
// sends no message and allocates nothing.
func (c *Callers) Hit(e *directory.Entry, q *session.TokenQuery, token *session.Token) bool {
	s := e.Snapshot()
	if s.Phase != directory.Ready || c.closed.Load() {
		return false
	}
	now := c.Clock.Now()
	if s.Ceiling.Reached(now) || s.Over(now) || !c.Fresh.MayShow(e, c.Clock) || !s.Tokens.Lookup(q, now, c.Buffer, token) {
		return false
	}
	e.Use(now.Unix())
	return true
}

// Foreign says why a session is not of a registration: missing_session_domain, also where its client id is not
// known, or domain_mismatch, also where only the client id differs; "" when it is. Without a resolver every session is
// ours.
func (c *Callers) Foreign(s *directory.Snapshot, current session.RegistrationID) session.Code {
	if !c.Resolving {
		return ""
	}
	of := session.RegistrationID{Issuer: s.State().SessionDomain(""), ClientID: s.State().SessionClient(c.ClientID)}
	switch {
	case of.Issuer == "" || of.ClientID == "":
		return session.CodeMissingSessionDomain
	case !of.Same(current):
		return session.CodeDomainMismatch
	}
	return ""
}

func (c *Callers) ask(m messages.Awaited) { c.Send(c.Boss, m) }

// Caller is one call: its context, whose session it is about, and what the stores are given.
type Caller struct {
	Ctx     context.Context //nolint:containedctx // a Caller is one call
	ID      string
	Options store.Options
}

// Wait is what a call waits for before its next step: whichever of these comes first,
// or its context's end, or that of the client. Done goes before the others.
type Wait struct {
	Done  <-chan struct{}
	Entry <-chan *directory.Entry
	Gone  <-chan struct{}

	// Bound says that what the caller lent is in use: it waits for Done alone.
	Bound bool
}

// Came is what a wait ended with.
type Came struct {
	What  Event
	Entry *directory.Entry // for EntryCame
}

// Event is a kind of end of a wait.
type Event uint8

// What a wait may end with.
const (
	Begin     Event = iota // there was none: the first step
	DoneCame               // Done is closed
	EntryCame              // Entry brought one
	GoneCame               // Gone is closed
	LeftCame               // the caller's context has ended
	EndCame                // the client is no more
)

// awaitCall goes on once the work that was lent call has ended, or could be left.
func awaitCall(ctx context.Context, call *directory.Call, came Came) (w Wait, more bool, err error) {
	var left error
	switch came.What {
	case LeftCame:
		left = ctx.Err()
	case EndCame:
		left = session.ErrClosed
	default:
		_, err := call.Ended()
		return Wait{}, false, err
	}
	if call.Abandon() {
		return Wait{}, false, left
	}
	return Wait{Done: call.Done(), Bound: true}, true, nil
}

// given returns the error that a wait for a channel ended with, nil when that was closed.
func given(ctx context.Context, came Came) error {
	switch came.What {
	case LeftCame:
		return ctx.Err()
	case EndCame:
		return session.ErrClosed
	default:
		return nil
	}
}

// Order sends a message and is over when the work that it lends its call to has ended. When
// the caller leaves first, that is before the work began, Err says so.
type Order struct {
	Caller  Caller
	Message messages.Awaited
	Call    *directory.Call // that of Message
	Err     error
}

// Step takes the next step and reports whether there is more to wait for.
func (o *Order) Step(c *Callers, came Came) (w Wait, more bool) {
	if came.What == Begin {
		c.ask(o.Message)
		return Wait{Done: o.Call.Done()}, true
	}
	w, more, o.Err = awaitCall(o.Caller.Ctx, o.Call, came)
	return w, more
}
