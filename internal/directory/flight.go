package directory

import (
	"sync/atomic"

	"github.com/tokenward/tokenward/internal/telemetry"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Flight is one request for a token that needs the session's refresh token, shared by all callers
// who join it. Closing its done channel once releases them all, so ten thousand callers cost one close.
//
// A flight goes from open to completing to completed, once. The answer is set while it is
// completing, and read only after it is completed.
type Flight struct {
	Query    *session.TokenQuery
	Options  store.Options     // free values of the call that started it; no request, no response
	Demand   session.Demand    // of the call that started it
	Observed *telemetry.Flight // what is told of it; nil: nothing

	early  bool        // it refreshes a token before it expires: no caller waits, until one joins
	joined atomic.Bool // a caller has joined an early flight

	done   chan struct{}
	state  atomic.Int32
	answer Answer

	// alone is the entry's list of flights when this is the only one, as it mostly is. It is kept
	// here so that joining allocates nothing more than the flight.
	alone []*Flight
	self  [1]*Flight
}

const (
	open int32 = iota
	completing
	completed
)

// Answer is how a flight ended. It points to values that are not to be changed.
type Answer struct {
	Token      *session.Token           // where the query names an audience
	Connection *session.ConnectionToken // where the query names a connection
	Err        error
	Ceiling    session.Ceiling // of the session that the token belongs to
	Cached     bool            // it came from the cache and so must not be handed out after its expiry
	Restart    bool            // nothing was decided: look at the session once more
}

// NewFlight returns a flight for q. Of o it keeps the free values.
func NewFlight(q *session.TokenQuery, o store.Options) *Flight {
	f := &Flight{Query: q, Options: store.Options{Values: o.Values}, done: make(chan struct{})}
	f.self[0] = f
	f.alone = f.self[:]
	return f
}

// NewEarlyFlight returns a flight that refreshes a token before it expires. No caller waits for it.
func NewEarlyFlight(q *session.TokenQuery, values map[string]any) *Flight {
	f := NewFlight(q, store.Options{Values: values})
	f.early = true
	return f
}

// Early reports whether f refreshes a token before it expires.
func (f *Flight) Early() bool { return f.early }

// Unawaited reports whether no caller waits for f.
func (f *Flight) Unawaited() bool { return f.early && !f.joined.Load() }

// Await notes that a caller waits for f.
func (f *Flight) Await() {
	if f.early {
		f.joined.Store(true)
	}
}

// Refusal returns the answer that f was not asked because of err, as the type of error that fits f's
// query.
func (f *Flight) Refusal(err error) Answer {
	code := session.CodeOf(err)
	if q := f.Query; q != nil && q.Key.ForConnection() {
		return Answer{Err: &session.ConnectionTokenError{Code: code}}
	}
	return Answer{Err: &session.AccessTokenError{Code: code}}
}

// Done is closed when the flight is completed, with a token or with an error.
func (f *Flight) Done() <-chan struct{} { return f.done }

// Answer returns how the flight ended. It may be called once Done is closed.
func (f *Flight) Answer() Answer { return f.answer }

// Completed returns how the flight ended, nil when it has not. It is nil for a nil flight.
func (f *Flight) Completed() *Answer {
	if f == nil || f.state.Load() != completed {
		return nil
	}
	return &f.answer
}

// tell tells how f has ended.
func (f *Flight) tell(a *Answer) {
	outcome := observe.Refreshed
	switch {
	case a.Err != nil:
		outcome = observe.Failed
	case a.Restart:
		outcome = observe.Unasked
	case a.Cached:
		outcome = observe.Cached
	}
	f.Observed.End(outcome, a.Err)
}

// complete sets the answer, and reports whether it is the first. If so, the caller closes done.
func (f *Flight) complete(a Answer) bool {
	if !f.state.CompareAndSwap(open, completing) {
		return false
	}
	f.answer = a
	f.state.Store(completed)
	return true
}
