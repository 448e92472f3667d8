package directory

import (
	"sync/atomic"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Flight is one question that needs the refresh token, and everyone who waits for
// its answer. One close of its done channel releases them all.
type Flight struct {
	Question *session.Question
	Options  store.Options // free values of the call that started it; no request, no response

	done   chan struct{}
	state  atomic.Int32
	answer Answer

	alone []*Flight // a list of this flight only: most sessions have one at a time
	self  [1]*Flight
}

const (
	flying int32 = iota
	landing
	landed
)

// Answer is how a flight ended. What it points to is not to be changed.
type Answer struct {
	Token      *session.Token           // for a question about an audience
	Connection *session.ConnectionToken // for a question about a connection
	Err        error
	Ceiling    session.Ceiling // of the session that the token belongs to
	Cached     bool            // it came from the cache and so must not be handed out after its expiry
	Again      bool            // nothing was decided: look at the session once more
}

// NewFlight returns a flight for q. Of o it keeps the free values.
func NewFlight(q *session.Question, o store.Options) *Flight {
	f := &Flight{Question: q, Options: store.Options{Values: o.Values}, done: make(chan struct{})}
	f.self[0] = f
	f.alone = f.self[:]
	return f
}

// Refusal is the answer that f was not asked because of err, as the type of error that f's
// question has.
func (f *Flight) Refusal(err error) Answer {
	code := session.CodeOf(err)
	if q := f.Question; q != nil && q.Key.ForConnection() {
		return Answer{Err: &session.ConnectionTokenError{Code: code}}
	}
	return Answer{Err: &session.AccessTokenError{Code: code}}
}

// Done is closed when the flight has landed, well or badly.
func (f *Flight) Done() <-chan struct{} { return f.done }

// Answer returns how the flight ended. It may be called once Done is closed.
func (f *Flight) Answer() Answer { return f.answer }

// Landed returns how the flight ended, nil when it has not.
func (f *Flight) Landed() *Answer {
	if f.state.Load() != landed {
		return nil
	}
	return &f.answer
}

// land sets the answer, and reports whether it is the first. Whoever did that closes done.
func (f *Flight) land(a Answer) bool {
	if !f.state.CompareAndSwap(flying, landing) {
		return false
	}
	f.answer = a
	f.state.Store(landed)
	return true
}
