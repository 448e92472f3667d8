package actors

import (
	"context"
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// ending is the end of a generation. Its channel is closed once its deletion was tried.
type ending struct {
	settled chan struct{}  // nil: it was tried
	of      *session.State // by what a logout finds the remainder; nil: not known

	stored *session.Version // of the remainder in the store's tombstone, zero without one; nil: the store lacks the tombstone
}

func newEnding() *ending { return &ending{settled: make(chan struct{})} }

func (e *ending) settle() {
	if e.settled != nil {
		close(e.settled)
		e.settled = nil
	}
}

// deleteOp puts a tombstone in the place of the record of one incarnation, or of any; after a ceiling the
// connection tokens that remain are in it. It is tried until it succeeds; its
// callers are told after the first attempt.
type deleteOp struct {
	waiters
	only     session.Incarnation // zero: any
	why      session.Reason
	remains  *session.State  // of a ceiling: the connection tokens in hand, and by what a logout finds them; nil: none
	made     session.Version // of the record that remains was made from
	ceiling  session.Ceiling // at which it was due; 0: for another reason, or counted already
	attempts int
	ends     []*ending // settled once it was tried
}

// delete queues a deletion, with which the end that is shown settles.
func (c *core) delete(o *deleteOp) {
	if c.ending != nil {
		o.ends = append(o.ends, c.ending)
	}
	if c.life.over() {
		c.do(setUnsaved(directory.Saving)) // until it is deleted
	}
	c.enqueue(o)
}

// covers reports whether a deletion of only is about the incarnation in hand.
func (c *core) covers(only session.Incarnation) bool { return only.IsZero() || only == c.incarnation }

// Example: a logout is queued behind a login that is being written. It names any incarnation, so it is about that login too, which
// has begun by the time that the deletion runs.
func (o *deleteOp) start(c *core, now time.Time) bool {
	if c.life == live && c.covers(o.only) { // a login that came while the logout waited
		c.finishGeneration(o.why, now)
		o.ends = append(o.ends, c.ending)
	}
	if e := c.ending; o.why == session.ReasonCeiling && c.life.over() && e != nil && e.of != nil && len(c.state.ConnectionTokenSets) > 0 {
		o.remains, o.made = e.of.JoinRemainder(c.state), c.version
		if e.stored != nil {
			o.made = *e.stored
		}
	}
	return true
}

func (o *deleteOp) askStore(ctx context.Context, s *storeCall, m *opDone) error {
	err := s.endRecord(ctx, o, m)
	if err != nil && s.call != nil && s.call.Over() {
		m.left = s.call
	}
	return err
}

// settle says that o was tried.
func (o *deleteOp) settle() {
	for _, e := range o.ends {
		e.settle()
	}
	o.ends = nil
}

// A deletion that failed because its own caller has gone says nothing of the store. It runs again at once, with a
// context of its own.
func (o *deleteOp) done(c *core, m *opDone, _ time.Time) {
	if m.left != nil { // the failure says nothing of the store
		o.calls = slices.DeleteFunc(o.calls, func(call *directory.Call) bool { return call == m.left })
		c.do(endCall{m.left, m.err})
		c.next(o)
		return
	}
	waiting := o.calls
	o.calls = nil
	if m.err == nil && m.before != "" && c.life.over() && c.covers(o.only) {
		c.endedBefore(m.before)
	}
	o.settle()
	if m.err == nil {
		if e := c.ending; e != nil && c.covers(o.only) {
			version := m.remainder
			e.stored = &version
		}
		if o.ceiling != 0 {
			c.do(deletedAt(o.ceiling))
		}
		c.deleted()
	} else {
		c.notDeleted(o, m.err)
	}
	for _, call := range waiting { // last, so that Ready knows of a failure before the caller does
		c.do(endCall{call, m.err})
	}
}

// deleted notes that a deletion has happened. With the last of them the store lacks nothing.
//
// Several may be queued: a logout beside a ceiling, or one for each incarnation that a logout token named. Only the last says that Close need
// not wait.
func (c *core) deleted() {
	if c.life.over() && c.persistence() != deleting {
		c.failures = 0
		c.do(setUnsaved(directory.Saved))
	}
}

// notDeleted has a deletion tried again.
//
// Of a session that was never read it is not known whether it is the one to be deleted. Its callers have waited for the
// store to say; now that it does not answer, the session counts as ended.
func (c *core) notDeleted(o *deleteOp, err error) {
	if o.attempts == 0 {
		c.do(report{"an ended session could not be deleted", err})
	}
	o.attempts++
	if c.life == unknown && c.incarnation.IsZero() { // its callers are kept waiting no longer
		c.presume(o.why)
		c.ending.settle()
	}
	c.backlog = append(c.backlog, o)
	if c.life.over() {
		c.do(setUnsaved(directory.SaveFailing))
	}
	c.later()
}

// ceilingReached ends the session if its ceiling is reached now; a timer may be
// early, late or of an older generation.
//
// The predicate is the same that every read asks (session.Ceiling.Reached), so that the timer and the readers never
// disagree about the second in which a session ends.
func (c *core) ceilingReached(m *messages.CeilingReached, now time.Time) {
	if c.life == live && m.Generation == c.generation && c.state.Internal.Ceiling.Reached(now) {
		c.end(session.ReasonCeiling, m.Call, now)
		return
	}
	if m.Call == nil {
		return
	}
	// A reader found the ceiling reached while the session was being ended: it waits for the same deletion.
	var o *deleteOp
	c.queued(func(have op) bool {
		d, ok := have.(*deleteOp)
		if ok = ok && d.attempts == 0 && c.covers(d.only); ok { // not that of an earlier login
			o = d
		}
		return ok
	})
	if o != nil && c.life != failed {
		o.calls = append(o.calls, m.Call)
		return
	}
	c.do(endCall{m.Call, nil})
}

// endSession ends what m names. The generation in hand ends at once; a login that
// is still being written ends when its turn has come. Of a session that was not loaded it cannot
// be known whether it is the one that m names: its callers wait until the store was
// told, and then look again.
//
// Deletions that failed before are tried at once with the new one: the store is asked anyway. One that the supervisor has
// just tried waits with them.
func (c *core) endSession(m *messages.EndSession, now time.Time) {
	switch {
	case c.life == failed:
		c.oweDeletion(m)
		return
	case c.life == unknown && m.Named != nil && !c.toBeDeleted(m.Only):
		c.do(tell{&messages.SessionEnded{Reason: m.Why, Named: m.Named}})
	}
	switch {
	case !c.covers(m.Only):
	case c.life == live:
		c.finishGeneration(m.Why, now)
	case c.life == expiring:
		c.completeFlight(c.request.flight, c.overFor(c.request.flight, m.Why))
		c.presume(m.Why)
	default:
		c.presume(m.Why)
	}
	o := &deleteOp{waiters: waiters{calls: calls(m.Call)}, only: m.Only, why: m.Why, ceiling: m.Ceiling}
	if m.Failed != nil {
		if c.ending != nil {
			c.ending.settle()
		}
		c.notDeleted(o, m.Failed)
		return
	}
	c.ops, c.backlog = append(c.ops, c.backlog...), nil
	c.delete(o)
}

// presume takes a session whose record was not read for ended.
//
// No deadline and no caller belongs to that generation, so nothing is told to the supervisor, and no flight is answered.
func (c *core) presume(why session.Reason) {
	c.generation++
	c.life = ended
	c.state = &session.State{}
	c.saved = c.state
	c.ending = newEnding()
	c.showEnd(why)
}

// endedBefore drops what a ceiling left of a session that another process had ended before.
//
// Example: a user signs out in one process, and the other does not hear of it. There the session reaches its ceiling, and goes on
// showing connection tokens until the store is asked.
func (c *core) endedBefore(why session.Reason) {
	if c.life == expiring {
		c.completeFlight(c.request.flight, c.overFor(c.request.flight, why))
	}
	c.presume(why)
	c.ending.settle()
}

// end ends the session in hand and has its record deleted, that incarnation only.
func (c *core) end(why session.Reason, call *directory.Call, now time.Time) {
	o := &deleteOp{waiters: waiters{calls: calls(call)}, only: c.incarnation, why: why}
	if why == session.ReasonCeiling {
		o.ceiling = c.state.Internal.Ceiling
	}
	c.finishGeneration(why, now)
	c.delete(o)
}

// finishGeneration ends the generation: the snapshot says so first, then those who
// wait are answered. A request under way for it counts no more, but for a
// connection's exchange when the ceiling comes. The caller has the
// record deleted, which settles c.ending.
func (c *core) finishGeneration(why session.Reason, now time.Time) {
	old, of := c.state, c.generation
	named := old.Named()
	c.life = ended
	c.state = &session.State{}
	if why == session.ReasonCeiling {
		c.state = remainder(old, now)
	}
	c.saved, c.tried, c.failures = c.state, nil, 0
	c.backlog = slices.DeleteFunc(c.backlog, isRead)
	c.generation++
	c.ending = newEnding()
	c.ending.of = named
	c.showEnd(why)
	c.do(setUnsaved(directory.Saving)) // until it is deleted
	c.do(tell{&messages.SessionEnded{Reason: why, Named: named}})
	c.answerAll(old, of, why)
	if c.rules.Revoke && why == session.ReasonLogout {
		c.revokeNewest(old, of)
	}
}

// sayEnded reports the end of a session whose state was old, and in whose place there is another.
func (c *core) sayEnded(old *session.State, why session.Reason) {
	c.do(tell{&messages.SessionEnded{Reason: why, Named: old.Named()}})
}

// revokeNewest makes the refresh token of a session that was logged out useless (RFC
// 7009): the newest, so where one is being rotated right now it waits for what comes.
//
// To revoke the token before the answer has come would be in vain where the provider rotates: the new one would live.
func (c *core) revokeNewest(old *session.State, of session.Generation) {
	if a := c.request; c.step == onTheWire && a.generation == of {
		a.revoke = true
	} else if old.RefreshToken != "" {
		c.revoke(c.rules.registrationOf(old), old.RefreshToken, old)
	}
}

// revoke has token revoked, once. No call waits for it; a failure is logged, without what old had.
func (c *core) revoke(of session.RegistrationID, token string, old *session.State) {
	c.revocations++
	c.do(revoke{of, token, c.held.Later(old)})
}

// remainder is what stays of s after its ceiling; never nil.
func remainder(s *session.State, now time.Time) *session.State {
	if r := s.Remainder(now); r != nil {
		return r
	}
	return &session.State{Domain: s.SessionDomain(""), Internal: session.Internal{ClientID: s.Internal.ClientID}}
}

// answerAll answers those who wait for the generation of, whose state was old. At a ceiling a connection's
// exchange goes on, and the session expires rather than ends.
//
// The snapshot says ended already. So a caller who is answered here and asks again finds that, and does not come
// back to the queue.
func (c *core) answerAll(old *session.State, of session.Generation, why session.Reason) {
	c.queued(func(o op) bool {
		if w := o.waiting(); w.completion != nil {
			c.completeFlight(w.completion.flight, c.overtaken(w.completion, why))
			w.completion = nil
		}
		return false
	})
	for _, f := range c.queue {
		c.completeFlight(f, c.overFor(f, why))
	}
	c.queue = nil
	c.endAllUpdates(session.ErrMissingSession)
	c.leaseMayBeFree()
	a := c.request
	if a == nil || a.generation != of {
		return
	}
	if why != session.ReasonCeiling || !a.flight.Query.Key.ForConnection() || c.step == waitingForPermit && c.rules.Leases {
		// Where other processes may have spent the token in between, only the record tells, and it is
		// deleted before a permit may come: a flight that waits for one has come too late.
		c.completeFlight(a.flight, c.overFor(a.flight, why))
		return
	}
	if c.step != onTheWire {
		a.token, a.of, a.state = old.RefreshToken, c.rules.registrationOf(old), old
	}
	c.life, a.generation = expiring, c.generation
}

// overtaken is the answer to l's flight, which the provider had answered, when the session has ended
// for why: a ceiling does not take back a connection's token.
func (c *core) overtaken(l *completion, why session.Reason) directory.Answer {
	if why == session.ReasonCeiling && l.answer.Err == nil && l.flight.Query.Key.ForConnection() {
		return l.answer
	}
	return c.overFor(l.flight, why)
}

// begunElsewhere takes the record of a session that has ended here: its user may
// have signed in under its id since, in another process.
//
// A record of the incarnation that has ended here is no news: its deletion is on its way. So is one that a queued deletion is
// about.
func (c *core) begunElsewhere(m *opDone) {
	switch {
	case m.err != nil, m.found.incarnation == c.incarnation, c.toBeDeleted(m.found.incarnation):
	default:
		c.replaced(m.found)
	}
}

// toBeDeleted reports whether a deletion that is still to happen is about the incarnation in.
func (c *core) toBeDeleted(in session.Incarnation) bool {
	match := func(o op) bool {
		d, ok := o.(*deleteOp)
		return ok && (d.only.IsZero() || d.only == in)
	}
	return c.queued(match) || slices.ContainsFunc(c.backlog, match)
}
