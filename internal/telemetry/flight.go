package telemetry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
)

// Flight tells of one flight. Its methods may be called in any order and more than once: the start is told once, and
// the end once after it, or neither. A nil one tells nothing.
type Flight struct {
	t       *Telemetry
	query   *session.TokenQuery
	callers atomic.Int64

	mu     sync.Mutex
	over   bool
	ctx    context.Context //nolint:containedctx // the first caller's, then what the observer made of it
	end    func(observe.FlightEnd)
	active bool // the start was told

	began, sent, asked time.Duration // by the monotonic clock; asked is a sum
	asks               bool          // a request was sent, at first then
	out                bool          // one is under way
}

// NewFlight returns what tells of a flight for q, should it start. ctx is the caller's.
func (t *Telemetry) NewFlight(ctx context.Context, q *session.TokenQuery) *Flight {
	if t == nil || t.observer.Flight == nil && t.observer.Call == nil {
		return nil
	}
	return &Flight{t: t, query: q, ctx: ctx}
}

// Recovery returns what tells of a flight for q that no caller waits for.
func (t *Telemetry) Recovery(q *session.TokenQuery) *Flight {
	f := t.NewFlight(context.Background(), q)
	f.start(observe.Recovery)
	return f
}

// Start tells that f starts.
func (f *Flight) Start() {
	if f == nil {
		return
	}
	kind := observe.Refresh
	if f.query != nil && f.query.Key.ForConnection() {
		kind = observe.Exchange
	}
	f.start(kind)
}

func (f *Flight) start(kind string) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active || f.over {
		return
	}
	f.active, f.began = true, f.t.clock.Mono()
	if f.t.observer.Flight == nil {
		f.ctx = nil
		return
	}
	given := f.ctx
	f.ctx, f.end = begin(given, f.t.observer.Flight, observe.Flight{Kind: kind, Audience: f.t.audience(f.query), At: f.t.clock.Now()})
	if f.ctx == given { // the observer put nothing in it, and a caller's values are not to outlive the call
		f.ctx = nil
	}
}

// Sent tells that f's request is sent now.
func (f *Flight) Sent() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.t.clock.Mono()
	if !f.asks {
		f.asks, f.sent = true, now
	}
	f.asked -= now
	f.out = true
}

// Answered tells that f's request was answered, or has failed.
func (f *Flight) Answered() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answered()
}

func (f *Flight) answered() {
	if f.out {
		f.asked += f.t.clock.Mono()
		f.out = false
	}
}

// End tells how f has ended. An end before the start tells neither.
func (f *Flight) End(outcome string, err error) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return
	}
	f.over = true
	f.answered() // cut off
	if !f.active || f.end == nil {
		return
	}
	now := f.t.clock.Mono()
	e := observe.FlightEnd{
		At: f.t.clock.Now(), Outcome: outcome, Code: code(err), OAuth: oauth(err), Callers: int(f.callers.Load()),
		Queued: since(f.began, now), Asked: max(0, f.asked),
	}
	if f.asks {
		e.Queued = since(f.began, f.sent)
	}
	f.end(e)
	f.end = nil
}

// Context returns ctx with the values that the observer gave to f.
func (f *Flight) Context(ctx context.Context) context.Context {
	if values := f.values(); values != nil {
		return &valued{ctx, values}
	}
	return ctx
}

func (f *Flight) values() context.Context {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.active {
		return nil
	}
	return f.ctx
}

// valued is a context with more values. It ends with its own, never with that of the values.
type valued struct {
	context.Context                 //nolint:containedctx // it is one
	values          context.Context //nolint:containedctx // of which only values are used
}

// Value implements context.Context.
func (v *valued) Value(key any) any {
	if own := v.Context.Value(key); own != nil {
		return own
	}
	return v.values.Value(key)
}

// Call tells of one operation of a host. A nil one tells nothing.
type Call struct {
	t       *Telemetry
	end     func(observe.CallEnd)
	outcome string
	flight  *Flight
}

// Calls reports whether calls are told of.
func (t *Telemetry) Calls() bool { return t != nil && t.observer.Call != nil }

// During does an operation, which asks q where that is not nil, and tells of its start and its end. A panic counts as
// internal_error, and goes on.
func During[R any](ctx context.Context, t *Telemetry, op observe.Operation, q *session.TokenQuery, do func(context.Context, *Call) (R, error)) (r R, err error) {
	if !t.Calls() {
		return do(ctx, nil)
	}
	c := &Call{t: t}
	if op == observe.Token || op == observe.ConnectionToken {
		c.outcome = observe.None
	}
	ctx, c.end = begin(ctx, t.observer.Call, observe.Call{Operation: op, Audience: t.audience(q), At: t.clock.Now()})
	failed := session.CodeInternalError
	defer func() { c.over(err, failed) }()
	r, err = do(ctx, c)
	failed = ""
	return r, err
}

// over tells how the operation has ended: with err, or with the code of a panic.
func (c *Call) over(err error, panicked session.Code) {
	if c.end == nil {
		return
	}
	e := observe.CallEnd{At: c.t.clock.Now(), Outcome: c.outcome, Code: code(err)}
	if panicked != "" {
		e.Code = string(panicked)
	}
	if c.flight != nil {
		e.Flight = c.flight.values()
	}
	c.end(e)
}

// Hit tells that the answer was in the cache after all.
func (c *Call) Hit() {
	if c != nil {
		c.outcome, c.flight = observe.Hit, nil
	}
}

// Join tells that the call waits for f, which it has started or not.
func (c *Call) Join(f *Flight, first bool) {
	if f != nil {
		f.callers.Add(1)
	}
	if c == nil {
		return
	}
	if c.outcome, c.flight = observe.Join, f; first {
		c.outcome = observe.Miss
	}
}
