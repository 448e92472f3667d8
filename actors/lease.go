package actors

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/store"
)

// lease holds all that is known of the session's lease and its intent.
type lease struct {
	epoch    int64         // of the lease that is held, which each write names; 0: none is
	lapses   time.Time     // when the lease lapses, counted from before it was asked for
	renewing bool          // a renewal is under way
	intent   *store.Intent // stands in the store, as far as is known
	unspent  bool          // the request that intent was written for did not spend its token
}

// renewDue says that the lease is to be renewed.
type renewDue struct{ messages.Redacted }

// renewedLease brings what the store said to that.
type renewedLease struct {
	messages.Redacted
	epoch  int64
	err    error
	at     time.Time // when it was asked
	lapses time.Time
}

// pollDue says that another process may have let go of the lease.
type pollDue struct{ messages.Redacted }

// noteLease notes that m's operation took the lease, and reports whether it took one that has been
// taken anew since: a renewal was quicker.
func (c *core) noteLease(m *opDone) (stale bool) {
	if m.epoch == 0 {
		return false
	}
	if m.epoch < c.lease.epoch {
		return true
	}
	c.hold(m.epoch, m.at, m.lapses)
	return false
}

// hold notes that the lease was taken, not before at. It may have been given at once, however long
// the store took to say so.
//
// A renewal and a Begin may be on their way at once, and come back in any order. So the later end counts, unless the epoch
// is a new one: then the old end says nothing.
func (c *core) hold(epoch int64, at, lapses time.Time) {
	c.polls = 0
	if c.lease.epoch == 0 {
		c.do(renewIn{at})
	}
	if epoch > c.lease.epoch || lapses.After(c.lease.lapses) {
		c.lease.lapses = lapses
	}
	c.lease.epoch = epoch
}

// lapsed reports whether the lease may be another process's at now.
//
// A lease lapses for its owner first, for the owner counts from before it asked, and the store from when it answered. In
// between no process has it.
func (c *core) lapsed(now time.Time) bool {
	return c.lease.epoch != 0 && !c.lease.lapses.IsZero() && !now.Before(c.lease.lapses)
}

// renewDue renews the lease while it is needed: it is short, and a request can take longer.
func (c *core) renewDue() {
	if c.lease.epoch != 0 && !c.lease.renewing {
		c.lease.renewing = true
		c.do(renewLease{c.lease.epoch})
	}
}

// renewed takes the answer to a renewal. Where another process has taken the lease, a
// write under the old epoch will be refused. An answer about an earlier lease says nothing of the one that was begun since.
//
// A renewal that failed for any other reason is tried again in time: the lease still stands for two thirds of its life.
func (c *core) renewed(m *renewedLease) {
	c.lease.renewing = false
	switch same := m.epoch == c.lease.epoch; {
	case c.lease.epoch == 0:
	case same && errors.Is(m.err, store.ErrConflict):
		c.lease.epoch = 0
	default:
		if same && m.err == nil {
			c.lease.lapses = m.lapses
		}
		c.do(renewIn{m.at})
	}
}

// returnLease gives the lease back, and clears the intent, once nothing is under way for which they
// are needed. A rotated refresh token that is not saved yet needs them.
//
// Most leases are not given back here but by the save itself (saveOp.free). Left are flights that ended without a
// save: a refusal, a Begin that came to nothing, a session that has ended.
func (c *core) returnLease() {
	l := &c.lease
	switch {
	case l.epoch == 0 && l.intent == nil, l.renewing, c.request != nil, c.running != nil, len(c.ops) > 0:
		return
	case c.life == live && c.state.RefreshToken != c.saved.RefreshToken:
		return
	case c.life == live && len(c.queue) > 0 && !c.step.holdsNothing():
		return // the next flight goes on with them
	}
	o := &releaseOp{intent: l.intent, epoch: l.epoch}
	l.epoch, l.intent = 0, nil
	c.enqueue(o)
}

// releaseOp clears the intent and gives the lease back. What fails lapses by itself.
type releaseOp struct {
	waiters
	intent *store.Intent
	epoch  int64 // 0: there is no lease to give back
}

func (*releaseOp) start(*core, time.Time) bool { return true }

func (o *releaseOp) askStore(ctx context.Context, s *storeCall, _ *opDone) (err error) {
	if o.intent != nil {
		err = s.env.Intents.ClearIntent(ctx, s.key, *o.intent, s.options)
	}
	if o.epoch != 0 {
		err = errors.Join(err, s.env.Leaser.Release(ctx, s.key, s.env.Owner, o.epoch, s.options))
	}
	return err
}

func (*releaseOp) done(*core, *opDone, time.Time) {}

const (
	pollFirst = 50 * time.Millisecond
	pollMost  = time.Second
)

// waitForOwner has the flight of a give its permit back and wait, at the head of the queue, until another
// process has let go of the session: its writes are told, or are found when the lease is asked for again.
func (c *core) waitForOwner(a *request) {
	wait := c.nextPoll()
	c.giveUp()
	if c.recovers(a.flight) {
		c.recovery = nil // the owner of the lease settles the intent
		return
	}
	c.queue = slices.Insert(c.queue, 0, a.flight)
	c.waitForLease(wait)
}

// waitForLease has the queue wait until another process may have let go of the session.
//
// It does nothing while a request is under way: that one finds out by its own Begin.
func (c *core) waitForLease(wait time.Duration) {
	if c.step == noRequest {
		c.step = waitingForLease
		c.do(pollIn{wait})
	}
}

// waitForSave has the flight of a wait, in the grace period after an outage, for the process that has spent the token: it
// may be about to save its new one. A notice of that save may fall into a gap of the feed, so the record
// is read now and then until the grace period is over. That takes no lease, which the owner's save needs.
func (c *core) waitForSave(a *request, grace time.Duration) {
	c.giveUp()
	if c.recovers(a.flight) {
		c.recovery = nil // that process settles the intent
		return
	}
	c.queue = slices.Insert(c.queue, 0, a.flight)
	c.step = waitingForSave
	c.do(pollIn{min(grace, pollMost)})
}

// pollDue has the queue go on, or the record read, for which it was waiting.
func (c *core) pollDue() {
	if c.step == waitingForSave {
		c.enqueue(&readOp{why: asked, generation: c.generation})
		return
	}
	c.leaseMayBeFree()
}

// readWhileWaiting has the queue go on once the record was read again, unless it waits for a save that has not
// come yet.
func (c *core) readWhileWaiting(m *opDone) {
	waits := c.step == waitingForSave
	switch {
	case waits && m.grace > 0 && (m.err != nil || m.found.version == c.version):
		c.do(pollIn{min(m.grace, pollMost)})
	case waits, m.err == nil:
		c.leaseMayBeFree()
	}
}

// leaseMayBeFree ends the wait for another process. That the lease is free is not known: the next Begin finds out, and waits again where it
// is not.
func (c *core) leaseMayBeFree() {
	if c.step.waiting() {
		c.step = noRequest
	}
}

// nextPoll returns how long to wait until the lease is asked for again: 50 ms, doubling to a
// second.
func (c *core) nextPoll() time.Duration {
	wait := pollFirst << min(c.polls, 10)
	c.polls++
	return min(wait, pollMost)
}

// recovery is an intent of which no outcome is known, and the flight that finds it out.
type recovery struct {
	intent  store.Intent
	flight  *directory.Flight
	cleared bool // perhaps, by a save in between
}

// recovers reports whether f finds out what came of an intent.
func (c *core) recovers(f *directory.Flight) bool {
	return c.recovery != nil && c.recovery.flight == f
}

// recoverIntent presents the refresh token of an intent that a process left behind. Where the
// provider has rotated it, its overlap decides whether the session goes on.
//
// It is a flight like any other, but for three things: no caller waits for it, the cache does not answer it, and its tries
// are counted in the intent, so that all processes together keep to eight in an hour (backoff.go).
func (c *core) recoverIntent(m *messages.RecoverIntent) {
	switch {
	case c.life != live, c.closing, c.recovery != nil, c.request != nil, len(c.queue) > 0:
		return // over, or about to present it anyway
	case c.state.RefreshToken != c.saved.RefreshToken:
		return // it is this process's own: what came of it is being saved
	case c.lease.intent != nil && c.lease.intent.Matches(m.Intent):
		return
	}
	f := directory.NewFlight(c.rules.DefaultQuery, store.Options{})
	c.recovery = &recovery{intent: m.Intent, flight: f}
	c.queue = append(c.queue, f)
}

// recovered notes that f is over. If it was a recovery, and the session has another refresh
// token by now, the intent that it was about goes.
//
// Example: the recovery was refused, but a read then found that another process had rotated the token. What the intent was
// about is settled by that, and it is cleared with the lease.
func (c *core) recovered(f *directory.Flight) {
	if !c.recovers(f) {
		return
	}
	if in := c.recovery.intent; c.lease.intent == nil && sha256.Sum256([]byte(c.state.RefreshToken)) != in.Token {
		c.lease.intent = &in
	}
	c.recovery = nil
}
