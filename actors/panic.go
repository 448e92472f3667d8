package actors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A panic in the core, or in what carries its effects out, is contained here. The adapter throws
// the core away and makes a new one in the life failed, out of what it kept after the last
// message that went well: above all the newest refresh token. That core waits until all that is out
// has come back, and until the supervisor lets it, and then reads the record like any
// session that is loaded.

// survivor is what outlives a panic.
type survivor struct {
	life          life
	generation    session.Generation
	incarnation   session.Incarnation
	reason        session.Reason
	newest, saved string   // refresh tokens: the newest, and that which the store is known to hold
	request       *request // whose answer belongs to the session as it is; nil: there is none
}

// keep returns the part that is to outlive a panic in the next message.
//
// It is called after each message that went well, so it copies little: tokens and identity, no collections. What is
// in the store queue is read off the broken core, for a pointer in a list is not harmed by a panic elsewhere.
func (c *core) keep(last survivor) survivor {
	if c.life == failed {
		last.newest, last.request = c.state.RefreshToken, c.request
		if c.before != live {
			last.life, last.reason = c.before, c.reason()
		}
		return last
	}
	s := survivor{life: c.life, generation: c.generation, incarnation: c.incarnation, reason: c.reason()}
	if s.life == released {
		s.life = c.before
	}
	if c.life == live {
		s.newest, s.saved = c.state.RefreshToken, c.saved.RefreshToken
		if a := c.request; a != nil && c.current(a) && !c.wonElsewhere(a) {
			s.request = a
		}
	}
	return s
}

// fail ends m, and everyone who waits, after a panic. Its value is not printed, for
// it may hold anything.
//
// The message in hand is given to the new core as well: a request's answer has to be kept, a deletion that succeeded must not be
// done again, a logout must not be forgotten. All of that is the column "failed" of the table.
func (a *Session) fail(m, reason any, handled uint64) {
	a.env.Stats.Failures.Add(1)
	a.env.Log.Error("a defect in a session was contained", zap.Stringer("session", a.entry.Key),
		zap.String("panic", fmt.Sprintf("%T", reason)), zap.String("message", fmt.Sprintf("%T", m)), zap.Stack("stack"))
	broken, next := a.core, a.revive()
	next.closing, next.handled = broken.closing, handled
	a.core = next
	for _, e := range broken.out { // those that were not carried out, which broken believes done
		if e, ok := e.(endCall); ok {
			e.call.End(session.ErrInternal)
		}
	}
	for _, call := range broken.updates.waiting {
		call.End(session.ErrInternal)
	}
	queuedOps := slices.Concat(broken.backlog, broken.ops)
	if broken.running != nil {
		queuedOps = append(queuedOps, broken.running)
	}
	if m, ok := m.(*opDone); ok {
		a.release(m.op, session.ErrInternal)
	}
	for _, o := range queuedOps {
		if d, ok := o.(*deleteOp); ok && o != next.running && !isDone(m, o) {
			next.backlog = append(next.backlog, d)
			next.do(setUnsaved(directory.Saving))
		}
		a.release(o, session.ErrInternal)
	}
	next.take(m, time.Time{})
	if next.step != onTheWire {
		next.request = nil
	}
	a.kept = next.keep(a.kept) // the next message may meet a defect, too
	a.carryOut(next.out)
	a.entry.Outdate() // what is told until it starts again is not heard
	for _, f := range a.entry.Flights() {
		a.entry.Complete(f, f.Refusal(session.ErrInternal))
	}
	if a.entry.Snapshot().Phase == directory.Opening {
		a.entry.Publish(directory.NewSnapshot(directory.Failed, directory.Outcome{Err: session.ErrInternal}))
	}
	a.tell(&messages.SessionFailed{})
}

// isDone reports whether m brings the answer of o.
func isDone(m any, o op) bool {
	d, ok := m.(*opDone)
	return ok && d.op == o
}

// revive returns a core in the life failed. It knows of all that is out: a permit that was asked for, a
// request, a store operation. A permit that is held for a request which will not be sent goes
// back.
//
// The two states hold refresh tokens and nothing else. Whatever else the broken core knew may be what it broke on.
func (a *Session) revive() *core {
	k, c := a.kept, newCore(&a.env.Rules)
	c.life, c.before, c.generation, c.incarnation = failed, k.life, k.generation, k.incarnation
	c.state, c.saved = &session.State{RefreshToken: k.newest}, &session.State{RefreshToken: k.saved}
	if s := a.entry.Snapshot(); k.life.over() {
		c.visible = directory.NewEnded(k.generation, k.incarnation, &session.State{}, &directory.Outcome{Reason: k.reason})
	} else if s.Phase == directory.Ready {
		c.visible = s
	}
	if a.step == beginning {
		a.step = noRequest
		a.env.Runner.Release(a.permit, session.NoOutcome)
	}
	c.step, c.request = a.step, k.request
	if a.running != nil {
		if c.running = a.running.op; isReload(c.running) {
			c.running = stray{c.running} // this core has not asked for it, so it starts nothing
		}
	}
	return c
}

// stray is a store operation that a core before this one has asked for.
type stray struct{ op }

// latePermit gives a permit back that was asked for before a panic. Its flight has been answered with internal_error, so there is nothing to
// be sent with it.
func (c *core) latePermit(m *permitGranted) {
	if c.step == waitingForPermit && m.err == nil {
		c.do(dropPermit{})
	}
	c.step = noRequest
}

// lateAnswer keeps the refresh token that a request of before a panic brings, if it is the session's. The access token in it goes to no
// caller. Example of one that is not the session's: a login or a logout came while the request was on the wire, and before the panic.
func (c *core) lateAnswer(m *providerAnswered) {
	a := c.request
	if c.request = nil; c.step == onTheWire {
		c.step = noRequest
	}
	if t := m.response.RefreshToken; t != "" && a != nil && c.before == live {
		c.state = c.state.WithRefreshToken(t)
	}
}

// lateOp takes in what came of a store operation of before a panic. A deletion that has happened is
// not done again: the user may have signed in since.
func (c *core) lateOp(m *opDone, now time.Time) {
	asked := c.running == m.op
	if s, ok := c.running.(stray); asked || ok && s.op == m.op {
		c.running = nil
	}
	if o, ok := m.op.(*reloadOp); ok && asked {
		o.done(c, m, now)
	}
	o, ok := m.op.(*deleteOp)
	switch {
	case !ok:
	case m.err != nil:
		c.backlog = append(c.backlog, o)
		c.do(setUnsaved(directory.Saving))
	default:
		o.settle()
		c.backlog = slices.DeleteFunc(c.backlog, func(have op) bool { return have == o })
	}
}

// oweDeletion ends a failed session for all callers, at once; its record is deleted when it starts
// again.
//
// The caller hears internal_error, and not that the logout is done: until the record is gone another process may still
// serve the session.
func (c *core) oweDeletion(m *messages.EndSession) {
	o := &deleteOp{only: m.Only, why: m.Why}
	c.do(setUnsaved(directory.Saving))
	switch {
	case c.covers(m.Only):
		if c.before == live {
			c.do(tell{&messages.SessionEnded{Reason: m.Why}})
		}
		c.before = ended
		c.visible = directory.NewEnded(c.generation, c.incarnation, &session.State{}, &directory.Outcome{Reason: m.Why})
		c.do(publish{c.visible})
		if c.reloading() { // there is nothing to be read any more
			c.ops, c.backlog = slices.DeleteFunc(c.ops, isReload), slices.DeleteFunc(c.backlog, isReload)
			c.postponed = true
		}
		c.backlog = append(c.backlog, o)
	case c.reloading():
		c.enqueue(o)
	default:
		c.backlog = append(c.backlog, o)
	}
	m.Refuse(session.ErrInternal)
}

// mayRestart lets a failed session start again, once all that is out has come back.
func (c *core) mayRestart() {
	switch {
	case c.life != failed:
	case c.reloading():
		c.retry()
	default:
		c.postponed = true
	}
}

// reloading reports whether the record is being read, or will be, after a panic. Until then the snapshot is not shown (fail has outdated the
// entry), for a notice that comes in between is not heard. The user may have signed out elsewhere.
func (c *core) reloading() bool {
	return c.queued(isReload) || slices.ContainsFunc(c.backlog, isReload)
}

// restart has a failed session that may start again read its record, or finish its deletions.
//
// A session that was never read, or that ends, is not read: there is nothing to be handed out of it.
func (c *core) restart() {
	if c.life != failed || !c.postponed || c.step != noRequest || c.running != nil {
		return
	}
	c.postponed = false
	owed := c.backlog
	c.backlog = nil
	covered := slices.ContainsFunc(owed, func(o op) bool { d, ok := o.(*deleteOp); return ok && c.covers(d.only) })
	if c.before == live && !covered {
		c.enqueue(&reloadOp{})
		c.ops = append(c.ops, owed...)
		return
	}
	why := cmp.Or(c.reason(), session.ReasonLogout)
	for _, o := range owed {
		if d, ok := o.(*deleteOp); ok {
			why = d.why
		}
	}
	c.presume(why)
	if len(owed) == 0 {
		c.settled()
		return
	}
	for _, o := range owed {
		if d, ok := o.(*deleteOp); ok {
			c.delete(d)
		}
	}
}

// reloadOp reads the record after a panic.
type reloadOp struct{ waiters }

func (*reloadOp) start(c *core, _ time.Time) bool { return c.life == failed && c.before == live }

func (*reloadOp) askStore(ctx context.Context, s *storeCall, m *opDone) (err error) {
	m.found, err = s.readRecord(ctx)
	return err
}

// done goes on with the session as the store holds it, and puts the newest refresh token on top: unless
// another process, or another login, has put a different one there.
//
// Example: a refresh was answered, its save failed, and then came the panic. The record has the token that was spent (saved), or another
// process has saved values of the application beside it. The newest token goes on top in both cases, and is saved.
func (o *reloadOp) done(c *core, m *opDone, _ time.Time) {
	r := m.found
	switch {
	case c.before != live: // it was ended since
	case m.err == nil:
		mine, saved, newest := c.state.RefreshToken, c.saved.RefreshToken, r.state
		if t := r.state.RefreshToken; mine != saved && r.incarnation == c.incarnation && (t == saved || t == "") {
			newest = newest.WithRefreshToken(mine)
		}
		if v := c.visible; v != nil && v.State().RefreshToken == mine { // it was shown already, and is not taken back
			c.start(r, newest)
		} else {
			c.began(r)
			c.change(newest)
		}
		if newest != r.state {
			c.save(nil)
		}
	case errors.Is(m.err, store.ErrNotFound):
		why := reasonOf(m.err)
		c.do(tell{&messages.SessionEnded{Reason: why}})
		c.presume(why)
		c.settled()
	default:
		c.backlog = append(c.backlog, o) // tried again like a deletion
	}
	if len(c.backlog) > 0 {
		c.later()
	}
}
