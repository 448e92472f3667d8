package actors

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/hooks"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// op is one store operation of a session. There is a struct for each kind: begin, save, read,
// login, delete, release and reload. They run one at a time, in the order in which they were
// queued, so a save never overtakes a login, nor a deletion a save.
//
// Two goroutines see an op. Until start has returned, and again from done on, it belongs to the
// actor's turns. In between askStore works with it elsewhere: it reads only what start has filled
// in, which no turn changes.
type op interface {
	// start fills in what the store is asked, when the op's turn has come. It reports false
	// where nothing is left to be asked; then it has dealt with those who waited.
	start(c *core, now time.Time) bool
	// askStore asks it, and fills the answer in.
	askStore(ctx context.Context, s *storeCall, m *opDone) error
	// done takes the answer in.
	done(c *core, m *opDone, now time.Time)

	waiting() *waiters
}

// waiters are those who hear how an op went.
type waiters struct {
	calls      []*directory.Call // each asked for the op, and lends it a context
	completion *completion       // a flight that the provider has answered, and whose callers wait for the op
}

func (w *waiters) waiting() *waiters { return w }

func isA[T op](o op) bool { _, ok := o.(T); return ok }

// The kinds, for those who look through the queue.
var (
	isBegin   = isA[*beginOp]
	isRead    = isA[*readOp]
	isLogin   = isA[*loginOp]
	isDelete  = isA[*deleteOp]
	isRelease = isA[*releaseOp]
	isReload  = isA[*reloadOp]
)

// stamped is an op that writes a version of its own.
type stamped interface {
	stamp(v session.Version)
	written() session.Version
}

// completion is a flight that the provider has answered. Its callers hear of it when what it brought is
// saved, for a token that is handed out must outlive a crash.
type completion struct {
	flight *directory.Flight
	answer directory.Answer

	// What the provider said, and when. It is applied again where another process has written in between, and a token's
	// life counts from then.
	response *session.TokenResponse
	received time.Time

	spent      string // the refresh token that was presented
	refused    error  // why the provider refused that; nil: it did not
	mayBeSpent bool   // an earlier request may have spent it, and was cut off
	lost       bool   // that was so: the token is of no use any more
}

// again returns l for one more save: what the refusal meant was decided. Nil is nil.
func (l *completion) again() *completion {
	if l == nil || l.refused == nil {
		return l
	}
	next := *l
	next.refused = nil
	return &next
}

// record is a session as the store holds it. A zero version says that nothing was read.
type record struct {
	version     session.Version
	incarnation session.Incarnation
	state       *session.State
}

// opDone says how a store operation went.
type opDone struct {
	messages.Redacted
	op    op
	err   error
	found record // read, reload, and a begin that found another version

	epoch  int64         // of the lease, where the op took it or found it held
	lapses time.Time     // when that lease lapses, counted from before it was asked for
	intent *store.Intent // begin: what stands now; nil where none was written
	prior  *store.Intent // begin: what stood before, of the same refresh token
	grace  time.Duration // begin, read: for so long the owner of a lapsed lease may have something to save

	remainder session.Version // delete: of the connection tokens in the tombstone; zero: none
	before    session.Reason  // delete: for what another process had ended the session before its ceiling; "": it had not

	left *directory.Call // delete: it failed because this caller's own context ended, which the caller had lent

	reading directory.Reading // of before the store was asked
	at      time.Time         // the time of that
}

// enqueue puts o at the end of the store queue.
func (c *core) enqueue(o op) { c.ops = append(c.ops, o) }

// next puts o at the front of the store queue.
func (c *core) next(o op) { c.ops = slices.Insert(c.ops, 0, o) }

// startOp starts the next op, unless one is running.
//
// An op whose time has passed is dropped by its start, and the next one is looked at. So a queue of saves that one save has
// taken along costs no operations.
func (c *core) startOp(now time.Time) {
	for c.running == nil && len(c.ops) > 0 {
		o := c.ops[0]
		c.ops = pop(c.ops)
		if c.begins(o, now) {
			c.running = o
			c.do(runOp{o})
		}
	}
}

// begins reports whether o, whose turn has come, is to be asked. An op on which start panics goes back to the queue, where
// fail finds it: its callers are answered, and a deletion is not forgotten.
func (c *core) begins(o op, now time.Time) (begins bool) {
	over := false
	defer func() {
		if !over {
			c.next(o)
		}
	}()
	begins = o.start(c, now)
	over = true
	return begins
}

// opDone takes the answer of the op that was running.
//
// A version counts as this process's own only once the store has confirmed it. Until then a notice of it is news: the write may have
// happened although its answer was lost, and then the record has to be read.
func (c *core) opDone(m *opDone, now time.Time) {
	if c.life == failed {
		c.lateOp(m, now)
		return
	}
	c.running = nil
	if s, ok := m.op.(stamped); ok && m.err == nil { // else the write may still take effect, and its notice is news
		copy(c.own[1:], c.own[:])
		c.own[0] = s.written()
	}
	m.op.done(c, m, now)
}

// endCalls answers the callers who wanted o. That there is no record is no failure to read it.
//
// The caller wanted to know that the session's snapshot is new, and it is: it says that there is no session.
func (c *core) endCalls(o op, err error) {
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	w := o.waiting()
	for _, call := range w.calls {
		c.do(endCall{call, err})
	}
	w.calls = nil
}

// complete answers the flight in w.
func (c *core) complete(w *waiters) {
	if w.completion != nil {
		c.completeAnswered(w.completion)
		w.completion = nil
	}
}

// completeAnswered answers the flight of l, and tells the application what the provider said to it.
func (c *core) completeAnswered(l *completion) {
	e := hooks.Event{Kind: hooks.Refreshed, Query: l.flight.Query}
	switch a := l.answer; {
	case a.Err != nil:
		e.Kind, e.Err, e.Lost = hooks.RefreshFailed, a.Err, l.lost
	case a.Token != nil:
		e.Expires = a.Token.ExpiresAt
	case a.Connection != nil:
		e.Expires = a.Connection.ExpiresAt
	}
	c.completeFlight(l.flight, l.answer)
	c.do(tellHost{e})
}

// knows reports whether v was read or written here.
//
// Eight versions are enough: a notice is late by an outage at most, in which few writes succeed. A notice of an older one
// costs a read.
func (c *core) knows(v session.Version) bool {
	if s, ok := c.running.(stamped); ok && s.written() == v {
		return true
	}
	return v == c.version || slices.Contains(c.own[:], v)
}

// calls is the list of the one call that a command brings, if it brings one.
func calls(c *directory.Call) []*directory.Call {
	if c == nil {
		return nil
	}
	return []*directory.Call{c}
}

// pop takes the first element off list.
func pop[T any](list []T) []T { return slices.Delete(list, 0, 1) }
