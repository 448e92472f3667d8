package actors

import (
	"context"
	"errors"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// retryDue says that a failed store operation may be tried again.
type retryDue struct{ messages.Redacted }

// attempt is a write of a state that may have happened, as version.
type attempt struct {
	version session.Version
	state   *session.State
}

// saveOp writes the newest state, by compare-and-swap on the record's version. The lease is taken
// first where it is not held. A save without an answered flight was asked for by a retry, or by the
// next flight, which waits until the rotated refresh token is saved.
type saveOp struct {
	waiters
	generation session.Generation
	tries      int // how often it was refused although no other process had written

	record  // to be written: its state, under its version
	prev    session.Version
	updates int // how many calls that changed values of the application are in it
	epoch   int64
	free    bool // the lease is given back in the same operation: no flight needs it
	keeps   bool // the intent stays as it is
}

// save queues a save of the state as it will be when its turn has come, after which l is answered.
func (c *core) save(l *completion) {
	c.enqueue(&saveOp{waiters: waiters{completion: l}, generation: c.generation})
}

func (o *saveOp) stamp(v session.Version)  { o.version = v }
func (o *saveOp) written() session.Version { return o.version }

// The state is taken here and not when the save was queued, so that one save takes along what several flights
// have brought, and the others find nothing left to write.
func (o *saveOp) start(c *core, _ time.Time) bool {
	if o.generation != c.generation || c.life != live {
		return false // the session has ended, and whose flight it was has been answered
	}
	if c.state == c.saved { // an earlier save took it along
		c.complete(&o.waiters)
		return false
	}
	o.state, o.prev, o.incarnation, o.epoch = c.state, c.version, c.incarnation, c.lease.epoch
	o.updates, o.keeps = len(c.updates.waiting), c.keepsIntent(o)
	o.free = c.rules.Leases && c.request == nil && len(c.queue) == 0 && len(c.ops) == 0 && !c.lease.renewing
	return true
}

func (o *saveOp) askStore(ctx context.Context, s *storeCall, m *opDone) (err error) {
	epoch := o.epoch
	if s.env.Rules.Leases && epoch == 0 {
		if epoch, err = s.lease(ctx, o.prev, m); err != nil {
			return err
		}
	}
	r, err := s.encode(o.record)
	if err != nil {
		return err
	}
	r.Epoch, r.KeepIntent = epoch, o.keeps
	if o.free {
		r.Release = s.env.Owner
	}
	return s.env.Store.Update(ctx, s.key, o.prev, r, s.options)
}

// done publishes the saved state and answers its flight, or finds out why it could not be.
//
// A save that failed may have happened. Its version is kept, so that a later reading recognises its own write and does not
// take it for another process's.
func (o *saveOp) done(c *core, m *opDone, _ time.Time) {
	c.noteLease(m)
	if c.recovery != nil && !o.keeps {
		c.recovery.cleared = true
	}
	if o.generation != c.generation || c.life != live {
		return
	}
	if m.err == nil {
		c.stored(o)
		c.complete(&o.waiters)
		return
	}
	c.mayHaveHappened(o)
	if errors.Is(m.err, store.ErrConflict) || errors.Is(m.err, store.ErrNotFound) {
		c.next(&readOp{waiters: o.waiters, why: conflict, generation: o.generation, save: o})
		return
	}
	c.saveFailed(o, &o.waiters, m.err)
}

// mayHaveHappened notes that the write may have happened, whatever the store said.
//
// Sixty-four are enough for an outage of five minutes at the longest back-off. An older write of this process that turns up after that
// is taken for another's, which costs a refresh and loses nothing.
func (c *core) mayHaveHappened(o *saveOp) {
	c.tried = append(c.tried, attempt{o.version, o.state})
	if len(c.tried) > 64 {
		c.tried = c.tried[1:]
	}
}

// stored notes that the store holds what o wrote.
func (c *core) stored(o *saveOp) {
	c.saved, c.version, c.tried = o.state, o.version, nil
	if !o.keeps {
		c.lease.intent = nil // the update has cleared it
	}
	if o.free {
		c.lease.epoch = 0
	}
	if c.failures > 0 || c.state == c.saved {
		c.failures = 0
		c.do(setUnsaved(c.unsaved()))
	}
	c.publish(o.state)
	c.endUpdates(o.updates, nil)
}

// unsaved says how far the store is behind. What a request on the wire brings may be a new
// refresh token.
//
// Readiness and Close look at it: a process that is stopped now would lose what it says is pending.
func (c *core) unsaved() directory.Unsaved {
	if c.state != c.saved || c.life == live && c.step == onTheWire && c.current(c.request) {
		return directory.Saving
	}
	return directory.Saved
}

// saveFailed keeps the state that could not be saved, hands out its tokens all the same, so far
// as the store was asked to keep it, and tries again later. The save o is nil where a read found
// that the store does not answer. Flights that waited for a save are in w, or in the queue.
//
// The callers get their token although it is not in the store: the provider has rotated the refresh token, and to withhold the
// answer would help no one. What the outage costs is bounded in another way: no further refresh token is presented until
// this one is saved.
func (c *core) saveFailed(o *saveOp, w *waiters, err error) {
	c.do(setUnsaved(directory.SaveFailing))
	leased := errors.Is(err, store.ErrLeased)
	if o != nil {
		c.publish(o.state)
	}
	c.updatesNotSaved(leased, err)
	switch {
	case w.completion != nil:
		c.do(report{"the session could not be saved", err})
		c.complete(w)
	case o == nil || len(c.queue) == 0 || c.state.RefreshToken == c.saved.RefreshToken: // no flight waits for it
	case leased:
		c.waitForLease(c.nextPoll())
	default:
		for _, f := range c.queue {
			c.completeFlight(f, c.failure(f, session.CodeStoreError, err))
		}
		c.queue = nil
	}
	switch {
	case c.saving():
	case leased: // the store is well: another process is at the session, for a moment
		c.failures++
		c.do(retryIn{c.nextPoll()})
	default:
		c.later()
	}
}

// later arms the one retry: after RetryFirst, doubling to RetryMost.
func (c *core) later() {
	wait := c.rules.RetryFirst << min(c.failures, 20)
	if wait > c.rules.RetryMost || wait <= 0 {
		wait = c.rules.RetryMost
	}
	c.failures++
	c.do(retryIn{wait})
}

// retry tries again what failed. All of it waits for one timer, since it is one store that has failed.
//
// The deletions of sessions that have ended, and reads that have to succeed, wait in the backlog for the same timer. A request on the
// wire is not waited for: its refresh token is the one that is saved already, so the save leaves its intent (keepsIntent).
func (c *core) retry() {
	if c.life == failed && !c.reloading() {
		return // it starts again first
	}
	c.ops = append(c.ops, c.backlog...)
	c.backlog, c.updates.heldUp = nil, false
	if c.life == live && c.persistence() == backingOff {
		c.save(nil)
	}
}
