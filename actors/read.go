package actors

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// readOp reads the record again. Its generation is that of the session which the read is about.
type readOp struct {
	waiters
	why        readReason
	generation session.Generation
	save       *saveOp // conflict: the save that was refused
}

// readReason says why a record is read again.
type readReason uint8

const (
	asked          readReason = iota // a caller wants to know whether another process has written
	notified                         // the change feed says that one has
	loginUncertain                   // a login failed, and may have been written; it is read until the store answers
	conflict                         // a save was refused
	refusedToken                     // the provider refused a refresh token that another process may have rotated
	moved                            // a begin found another version, and brought it
)

// fromFeed reports whether the store has, or may have, something that was written behind this
// process's back: then it is read whatever has become of the session here.
func (r readReason) fromFeed() bool { return r == notified || r == loginUncertain }

// A read that a notice asks for is about whatever session is there when it runs: it may be of a login that took the
// place of the one which was shown when the notice came.
func (o *readOp) start(c *core, _ time.Time) bool {
	if o.why.fromFeed() {
		o.generation = c.generation
	}
	if o.generation == c.generation && (c.life == live || o.why.fromFeed() && c.life.over()) {
		return true
	}
	var err error
	if c.life == failed {
		err = session.ErrInternal // it starts again after a panic, and how old its snapshot is cannot be said
	}
	c.endCalls(o, err) // the session ended; whose flight it was has been answered
	return false
}

func (o *readOp) askStore(ctx context.Context, s *storeCall, m *opDone) (err error) {
	m.grace = s.env.Fresh.MayRecover(s.env.Clock.Mono())
	m.found, err = s.readRecord(ctx)
	return err
}

func (o *readOp) done(c *core, m *opDone, now time.Time) {
	c.reconcile(o, m, now)
	c.completeCovered(now)
	c.endCalls(o, m.err)
}

// queueRead queues a reading of the record, unless that version is known here already.
//
// It goes before a Begin that waits for its turn. So a caller who reads waits for one operation that is running and for its
// own, however slow the store is; and the Begin may find that the record answers its flight.
func (c *core) queueRead(m *messages.ReadRecord) {
	why := asked
	if m.Call == nil {
		why = notified
	}
	switch {
	case c.life == failed:
		m.Refuse(session.ErrInternal)
		return
	case why == notified && !m.Version.IsZero() && c.knows(m.Version):
		return
	case why == notified && m.Version.IsZero() && c.life.over() && !c.signingIn():
		return // it was deleted
	}
	if o := c.reading(m.Recent); o != nil {
		o.calls = append(o.calls, calls(m.Call)...)
		if why == notified && o.why == asked {
			o.why = notified
		}
		return
	}
	o := &readOp{waiters: waiters{calls: calls(m.Call)}, why: why, generation: c.generation}
	if i := slices.IndexFunc(c.ops, isBegin); i >= 0 { // a caller who reads waits for one operation and its own; and a begin may be spared
		c.ops = slices.Insert(c.ops, i, op(o))
		return
	}
	c.enqueue(o)
}

// reading returns a read that a further caller can wait for: one that has not begun, or, where
// that will do, the one that is running.
func (c *core) reading(running bool) *readOp {
	match := func(o op) bool {
		r, ok := o.(*readOp)
		return ok && r.completion == nil && r.save == nil && r.generation == c.generation
	}
	if running && c.running != nil && match(c.running) {
		return c.running.(*readOp)
	}
	if i := slices.IndexFunc(c.ops, match); i >= 0 {
		return c.ops[i].(*readOp)
	}
	return nil
}

// signingIn reports whether a login is on its way, or may be read.
func (c *core) signingIn() bool {
	return c.queued(func(o op) bool { return isLogin(o) || isRead(o) })
}

// reconcile decides what the record means that was read for o. Each row of what it may say is a
// function of its own.
//
// A session that has ended here is told apart first. Its record is about to be deleted, or gone; a record of another login
// is news, and is shown.
func (c *core) reconcile(o *readOp, m *opDone, now time.Time) {
	if c.life.over() && (o.why.fromFeed() || m.err == nil) {
		c.begunElsewhere(m)
		return
	}
	if o.generation != c.generation || c.life != live {
		return
	}
	c.readWhileWaiting(m)
	gone := errors.Is(m.err, store.ErrNotFound)
	switch {
	case gone:
		c.recordGone(o, m.err, now)
	case m.err != nil:
		c.recordUnread(o, m.err)
	case m.found.incarnation != c.incarnation:
		c.recordReplaced(o, m.found)
	case m.found.version == c.version:
		c.recordUnchanged(o, now)
	default:
		if i := slices.IndexFunc(c.tried, func(a attempt) bool { return a.version == m.found.version }); i >= 0 {
			c.recordWritten(o, c.tried[i], now)
			return
		}
		c.recordElsewhere(o, m.found, now)
	}
}

// recordUnread: the store does not answer. A login that may have been written is looked for until it
// does; what else waits is told, and tried later.
func (c *core) recordUnread(o *readOp, err error) {
	if o.why == loginUncertain {
		c.backlog = append(c.backlog, o)
		c.later()
		return
	}
	if l := o.completion; l != nil && l.mayBeSpent && l.refused != nil {
		c.lease.intent = nil // it stands, for what the refusal means is not decided
	}
	if c.nothingToSay(o) {
		c.complete(&o.waiters)
		return
	}
	c.saveFailed(o.save, &o.waiters, err)
}

// recordGone: the session was ended elsewhere. There is nothing left to delete.
func (c *core) recordGone(o *readOp, err error, now time.Time) {
	why := reasonOf(err)
	if why == session.ReasonCeiling && !c.state.Internal.Ceiling.Reached(now.Add(session.CeilingLeeway)) {
		// Not its own ceiling, however much the clocks differ: another login took the
		// session's place in between, and has reached its own. So nothing of this one stays.
		why = session.ReasonReplaced
	}
	c.finishGeneration(why, now)
	if l := o.completion; l != nil {
		c.completeFlight(l.flight, c.overtaken(l, why))
		o.completion = nil
	}
	c.settled()
}

// reasonOf returns why a session has ended whose record is not there; a logout where no tombstone says so.
func reasonOf(err error) session.Reason {
	var gone *store.GoneError
	if errors.As(err, &gone) {
		return gone.Reason
	}
	return session.ReasonLogout
}

// settled notes of an end that there is nothing to be deleted.
func (c *core) settled() {
	c.ending.settle()
	c.do(setUnsaved(directory.Saved))
}

// recordReplaced: another login took the session's place. Its tokens stay as they are.
//
// Nothing is merged: the two logins may be of two users.
func (c *core) recordReplaced(o *readOp, r record) {
	c.sayEnded(c.state, session.ReasonReplaced)
	c.answerAll(c.state, c.generation, session.ReasonReplaced)
	if l := o.completion; l != nil {
		c.completeFlight(l.flight, c.overFor(l.flight, session.ReasonReplaced))
		o.completion = nil
	}
	c.began(r)
}

// recordUnchanged: no other process wrote. A refusal stands, and a write is still to be done. If that
// was refused all the same, the lease had lapsed and was taken anew: here, or by another
// process.
func (c *core) recordUnchanged(o *readOp, now time.Time) {
	if l := o.completion; l != nil && l.refused != nil {
		if c.state.RefreshToken != l.spent { // another process's came while this request was on the wire
			c.requeue(o)
			return
		}
		if c.dropRefreshToken(l, now) {
			return
		}
	}
	if o.save != nil && c.state != c.saved {
		c.lease.epoch = 0 // so the next save takes it, and no renewal begins in between
	}
	if c.nothingToSay(o) {
		c.complete(&o.waiters)
		return
	}
	c.lease.epoch = 0
	tries := 0
	if o.save != nil {
		tries = o.save.tries
	}
	if tries < triesUnderLease {
		c.enqueue(&saveOp{waiters: waiters{completion: o.completion.again()}, generation: c.generation, tries: tries + 1})
		return
	}
	c.saveFailed(o.save, &o.waiters, store.ErrConflict)
}

// recordWritten: a write of unknown outcome had happened. More may have been learnt since.
func (c *core) recordWritten(o *readOp, a attempt, now time.Time) {
	c.saved, c.version, c.tried = a.state, a.version, nil
	c.saveRest(o, now)
}

// recordElsewhere: another process wrote. Whether it has spent the refresh token decides.
//
// Example without a rotation: process B has added a token for another audience while A refreshed. A's refresh token is newer than
// the record's, and goes on top; B's token stays beside it.
//
// A request for an older token may have been refused besides. Where the record still has the token that was read since and spent here, no other
// process has spent it: the newer one goes on top, and the refused flight asks again.
//
// Example with one: A was paused with its answer in hand, and B presented the same token within the provider's overlap. B's save came
// first. A's token may be revoked by now, so B's stays, and A's callers ask again.
func (c *core) recordElsewhere(o *readOp, r record, now time.Time) {
	base, spent, mine := c.saved, c.saved.RefreshToken, ""
	if o.completion != nil && o.completion.spent != "" {
		spent = o.completion.spent
	}
	dropped := c.state.RefreshToken == "" && c.saved.RefreshToken != "" // and that is not saved yet
	if c.state.RefreshToken != c.saved.RefreshToken {
		mine = c.state.RefreshToken
	}
	if l := o.completion; l != nil && l.refused != nil && mine != "" && r.state.RefreshToken == c.saved.RefreshToken {
		c.requeue(o) // for it was about a token before that
		spent = c.saved.RefreshToken
	}
	c.saved, c.version, c.tried = r.state, r.version, nil
	c.overtakeUpdates(r.state)
	if r.state.RefreshToken == spent || r.state.RefreshToken == "" && mine != "" {
		if next := c.merged(o, base, r.state, mine, now); dropped && next.RefreshToken == spent {
			next = next.Clone()
			next.RefreshToken = ""
			c.change(next)
		} else {
			c.change(next)
		}
		c.saveRest(o, now)
		return
	}
	c.recordRotated(o, base, r.state, now)
}

// merged returns what goes on top of a record whose writer spent no refresh token, or gave it up, for it
// was refused there: the refresh token mine, unless it is empty, and whatever else waits to be saved. The tokens that a failed save has
// handed out are among that, though no caller waits for them any more. Base is the record that they came on top of.
func (c *core) merged(o *readOp, base, next *session.State, mine string, now time.Time) *session.State {
	next = c.reapply(o.completion, next)
	for _, later := range c.ops {
		next = c.reapply(later.waiting().completion, next)
	}
	return next.WithTokensSince(base, c.state, now, c.rules.applyOptions()).WithRefreshToken(mine)
}

// recordRotated: the other process spent the refresh token too, and its new one stays. Those who wait
// look among its tokens, else ask again; so do those whose answers were still to be saved.
//
// The tokens that a failed save has handed out come beside its tokens, as in merged, for the provider granted both requests. All that is
// shown of this state is in the store, or the store was asked to keep it before, so it need not be saved first.
func (c *core) recordRotated(o *readOp, base, next *session.State, now time.Time) {
	c.change(next.WithTokensSince(base, c.visible.State(), now, c.rules.applyOptions()))
	c.publish(c.state)
	c.do(setUnsaved(c.unsaved()))
	for _, later := range slices.Backward(c.ops) {
		if s, ok := later.(*saveOp); ok && s.generation == c.generation && s.completion != nil {
			c.queue = slices.Insert(c.queue, 0, s.completion.flight)
			s.completion = nil
		}
	}
	c.requeue(o)
	if c.state != c.saved && !c.saving() {
		c.save(nil)
	}
}

// triesUnderLease is how often a save is tried again that was refused although no other process had
// written. Nothing is wrong with the store then, so its callers wait until it has the new
// token. A renewal that is on its way can refuse one more try, and not two.
const triesUnderLease = 2

// nothingToSay reports whether a read that brought nothing is no failure to save: there
// is nothing to be saved, or that is still to be tried.
func (c *core) nothingToSay(o *readOp) bool {
	return o.why == moved || o.why == refusedToken || c.state == c.saved || o.completion == nil && c.saving() ||
		o.completion == nil && o.save == nil && len(c.updates.waiting) > 0
}

// saveRest writes what the store, as it was read again, lacks, or answers o's flight where that is
// nothing. That another process wrote takes nothing from a refusal of the same token.
func (c *core) saveRest(o *readOp, now time.Time) {
	if l := o.completion; l != nil && l.refused != nil && c.dropRefreshToken(l, now) {
		return
	}
	if c.state != c.saved {
		c.save(o.completion.again())
		return
	}
	c.failures = 0
	c.publish(c.state)
	c.do(setUnsaved(c.unsaved()))
	c.complete(&o.waiters)
}

// requeue has o's flight ask again, with the refresh token that another process got: once,
// where the provider refused this process's.
//
// Once is enough: refused twice with two different tokens, the grant itself is gone, and to go on would ask the provider
// for ever.
func (c *core) requeue(o *readOp) {
	l := o.completion
	switch {
	case l == nil:
		return
	case l.refused != nil && c.retried == l.flight:
		c.complete(&o.waiters)
		return
	case l.refused != nil:
		c.retried = l.flight
	}
	c.queue = slices.Insert(c.queue, 0, l.flight)
	o.completion = nil
}

// reapply updates base by the response that l brought, if it brought one and was not answered
// for another reason in between.
func (c *core) reapply(l *completion, base *session.State) *session.State {
	if l == nil || l.response == nil || l.answer.Err != nil || l.refused != nil {
		return base
	}
	var next *session.State
	if l.flight.Query.Key.ForConnection() {
		next, _, _ = base.ApplyConnection(l.flight.Query.Key, *l.response, l.received, c.rules.applyOptions())
	} else {
		next, _, _ = c.applyRefresh(base, l.flight, *l.response, l.received)
	}
	return next
}
