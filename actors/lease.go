package actors

import (
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Before a request is sent where several processes write to the store, the session's
// lease is taken and its record read again (claim); where the store outlives the process,
// what is about to be spent is written down (intend). Both are store work of the lane, and
// the flight holds its slot meanwhile.

// lease is what is known of the session's lease and its intent.
type lease struct {
	held     bool
	epoch    int64 // under which is written
	renewing bool
	intent   *store.Intent // stands in the store, as far as is known
	unspent  bool          // no request has spent its token: what was sent was refused, or brought no other
}

// prepare does what comes between the slot and the request.
func (c *core) prepare(a *airborne, now time.Time) {
	switch {
	case a.lasting: // nothing of the session is left that could be written
		c.fly(a)
	case c.rules.Leases:
		c.lane = append(c.lane, &write{kind: claim, generation: c.generation})
	default:
		c.goOn(a, now)
	}
}

// claimDone takes the answer to a claim: the lease, and the record as it is under it.
func (c *core) claimDone(w *write, m *written, now time.Time) {
	a := c.air
	late := m.epoch != 0 && c.lease.held && m.epoch < c.lease.epoch
	if m.epoch != 0 && !late {
		c.hold(m.epoch, m.at)
	}
	switch {
	case a.lasting:
		c.lastClaimDone(w, m, late, now)
	case late && c.current(a):
		c.claimAgain()
	case errors.Is(m.err, store.ErrLeased) && c.current(a):
		c.deny(a)
	case m.err == nil || errors.Is(m.err, store.ErrNotFound):
		c.rereadDone(w, m, now)
		c.goOn(a, now)
	case c.current(a):
		c.storeFailed(a, m.err)
	default:
		c.giveUp()
	}
}

// lastClaimDone is claimDone for a request that outlives the ceiling. The deletion is behind it in
// the lane, so the record still says what may be spent.
func (c *core) lastClaimDone(w *write, m *written, late bool, now time.Time) {
	a := c.air
	if m.err == nil {
		c.rereadDone(w, m, now) // another login may have taken the session's place
	}
	switch {
	case !c.current(a):
		c.giveUp()
	case errors.Is(m.err, store.ErrLeased), errors.Is(m.err, store.ErrNotFound):
		c.tooLate(a)
	case m.err != nil:
		c.storeFailed(a, m.err)
	case late, m.incarnation != c.incarnation, m.state.RefreshToken == "":
		c.tooLate(a)
	default:
		a.token = m.state.RefreshToken
		c.fly(a)
	}
}

// claimAgain takes the lease and reads the record once more: the lease had lapsed and was
// taken anew, and another process may have spent the refresh token in between.
func (c *core) claimAgain() {
	c.lease.held = false
	c.lane = append(c.lane, &write{kind: claim, generation: c.generation})
}

// goOn looks once more whether the request is needed, for the record was read again.
func (c *core) goOn(a *airborne, now time.Time) {
	switch {
	case !c.current(a):
		c.giveUp()
		return
	case a.lasting:
		c.fly(a)
		return
	}
	f := a.flight
	connection := f.Query.Key.ForConnection()
	why := session.Reason("")
	switch {
	case c.state.Internal.Over(now):
		why = session.ReasonLifetime
	case !connection && c.state.Internal.Ceiling.Reached(now):
		why = session.ReasonCeiling
	}
	if why != "" {
		c.giveUp()
		c.queue = slices.Insert(c.queue, 0, f)
		c.end(why, nil, now) // answers the queue
		return
	}
	if answer, ok := c.answered(f, now); ok {
		c.giveUp()
		c.land(f, answer)
		return
	}
	if c.state.RefreshToken != c.saved.RefreshToken {
		c.giveUp()
		c.queue = slices.Insert(c.queue, 0, f) // behind the save
		return
	}
	a.token, a.of = c.state.RefreshToken, c.rules.registrationOf(c.state)
	if !c.rules.Intents {
		c.fly(a)
		return
	}
	in := &store.Intent{Token: sha256.Sum256([]byte(a.token)), Epoch: c.lease.epoch, At: now.Unix()}
	if c.recovers(f) {
		in.Tries = c.recovery.intent.Tries + 1
		in.Next = now.Add(untilNext(in.Tries)).Unix()
	}
	c.lane = append(c.lane, &write{kind: intend, generation: c.generation, intent: in})
}

// answered says what can be said of f without a request.
func (c *core) answered(f *directory.Flight, now time.Time) (directory.Answer, bool) {
	if c.recovers(f) {
		return directory.Answer{}, sha256.Sum256([]byte(c.state.RefreshToken)) != c.recovery.intent.Token
	}
	if a, ok := c.fromCache(f, now); ok {
		return a, true
	}
	if c.state.RefreshToken == "" {
		return c.failure(f, session.CodeMissingRefreshToken, nil), true
	}
	return directory.Answer{}, false
}

// intendDone sends the request once what it spends is written down.
func (c *core) intendDone(w *write, m *written, now time.Time) {
	a := c.air
	overtaken := errors.Is(m.err, store.ErrConflict) || errors.Is(m.err, store.ErrNotFound)
	have := c.lease.intent // what stood may be this process's own, under the same lease
	ours := have != nil && have.Token == w.intent.Token && have.Epoch == w.intent.Epoch
	again := m.again || m.err == nil && c.recovers(a.flight) && c.recovery.cleared && w.intent.Token == c.recovery.intent.Token
	theirs, unspent := again && !ours, !again || ours && c.lease.unspent
	if m.err == nil && c.recovers(a.flight) {
		c.recovery.intent = *w.intent
	}
	if !overtaken {
		c.lease.intent = w.intent // perhaps, if the store did not answer
	}
	if theirs || m.err != nil && !overtaken && c.recovers(a.flight) {
		c.lease.intent = nil // what a process left behind stands, in its words or in ours, until its token is sent
	}
	switch {
	case !c.current(a):
		c.giveUp()
	case a.lasting && c.rules.Leases && (overtaken || m.err == nil && (!c.lease.held || c.lease.epoch > w.intent.Epoch)):
		c.tooLate(a)
	case a.lasting && (m.err == nil || !c.rules.Leases):
		c.fly(a)
	case c.rules.Leases && (m.err == nil || overtaken) && c.lease.held && c.lease.epoch > w.intent.Epoch:
		c.claimAgain()
	case overtaken:
		if errors.Is(m.err, store.ErrConflict) {
			c.lease.held = false
		} else { // there is no record: a reading ends the session
			c.lane = append(c.lane, &write{kind: reread, generation: c.generation})
		}
		c.deny(a)
	case errors.Is(m.err, store.ErrPresented): // by the recovery of another process, which has let go since
		c.giveUp()
		c.land(a.flight, directory.Answer{})
	case m.err != nil:
		c.storeFailed(a, m.err)
	case c.rules.Leases && !c.lease.held:
		c.claimAgain()
	case c.state.RefreshToken != a.token, c.state.Internal.Over(now):
		c.goOn(a, now) // another process's came meanwhile, or the session's end
	case c.recovers(a.flight) && !m.again && !c.recovery.cleared: // nothing is left to find out
		c.lease.unspent = true
		c.giveUp()
		c.land(a.flight, directory.Answer{})
	case theirs && m.unsettled > 0:
		c.lease.intent = nil // it stands: whoever spent the token may be about to save what came of it
		c.awaitOwner(a, m.unsettled)
	case c.saving(): // which would clear what was written down
		c.lease.unspent = unspent
		c.giveUp()
		c.queue = slices.Insert(c.queue, 0, a.flight)
	default:
		c.lease.unspent = unspent
		if answer, ok := c.answered(a.flight, now); ok { // by what was saved meanwhile
			c.giveUp()
			c.land(a.flight, answer)
			return
		}
		a.again, c.lease.unspent, c.lease.intent = !unspent, false, w.intent
		c.fly(a)
	}
}

// fly sends the request.
func (c *core) fly(a *airborne) {
	a.sent = true
	if c.state == c.saved && c.phase == directory.Ready {
		c.do(setUnsaved(directory.Saving)) // what comes back may be a new refresh token
	}
	scope := ""
	if !a.lasting { // else the token was put aside when the session ended
		a.token, a.of, a.state = c.state.RefreshToken, c.rules.registrationOf(c.state), c.state
		scope = c.state.RefreshScope(a.flight.Query)
	}
	c.do(spend{a.flight.Query, scope, a.of, a.token, a.flight.Options})
}

// giveUp gives the slot of a request back that was not sent.
func (c *core) giveUp() {
	c.air = nil
	c.do(dropSlot{})
}

// tooLate answers a flight that outlives the ceiling and may not spend the refresh token: nothing is
// left that could be read again.
func (c *core) tooLate(a *airborne) {
	c.giveUp()
	c.land(a.flight, c.over(a.flight, session.ReasonCeiling))
}

// deny has a flight wait until another process has let go of the session: its writes are
// told, or are found when the lease is asked for again.
func (c *core) deny(a *airborne) {
	c.denyFor(a, c.nextPoll())
}

// nextPoll returns how long to wait until the lease is asked for again.
func (c *core) nextPoll() time.Duration {
	wait := pollFirst << min(c.polls, 10)
	c.polls++
	return min(wait, pollMost)
}

// denyFor is deny for a time that is known.
func (c *core) denyFor(a *airborne, wait time.Duration) {
	c.giveUp()
	if c.recovers(a.flight) {
		c.recovery = nil // whoever has the lease is at it
		return
	}
	c.queue = slices.Insert(c.queue, 0, a.flight)
	c.forSave = false
	c.waitForLease(wait)
}

// awaitOwner has a flight wait, in the grace period after an outage, for the process that has spent the token: it
// may be about to save what came of it. A notice of that save may fall into a gap of the feed, so the record
// is read now and then until the grace period is over. That takes no lease, which the owner's save needs.
func (c *core) awaitOwner(a *airborne, grace time.Duration) {
	c.denyFor(a, min(grace, pollMost))
	c.forSave = c.denied
}

// pollDue has the queue go on, or the record read, for which it was waiting.
func (c *core) pollDue() {
	if c.denied && c.forSave {
		c.lane = append(c.lane, &write{kind: reread, generation: c.generation})
		return
	}
	c.denied = false
}

// readWhileDenied has the queue go on once the record was read again, unless it waits for an owner who has not
// saved yet.
func (c *core) readWhileDenied(m *written) {
	waits := c.denied && c.forSave
	switch {
	case waits && m.unsettled > 0 && (m.err != nil || m.version == c.version):
		c.waitForLease(min(m.unsettled, pollMost))
	case waits, m.err == nil:
		c.denied = false
	}
}

// waitForLease has the queue wait until another process may have let go of the session.
func (c *core) waitForLease(wait time.Duration) {
	c.denied = true
	c.do(pollIn{wait})
}

const (
	pollFirst = 50 * time.Millisecond
	pollMost  = time.Second
)

// storeFailed answers everyone who waits for a request that the store must be asked for first.
func (c *core) storeFailed(a *airborne, err error) {
	c.giveUp()
	for _, f := range append([]*directory.Flight{a.flight}, c.queue...) {
		c.land(f, c.failure(f, session.CodeStoreError, err))
	}
	c.queue = nil
}

// hold notes that the lease was taken, not before at. It may have been given at once, however long
// the store took to say so.
func (c *core) hold(epoch int64, at time.Time) {
	c.lease.epoch = epoch
	c.polls = 0
	if !c.lease.held {
		c.lease.held = true
		c.do(renewIn{at})
	}
}

// renewDue renews the lease while it is needed: it is short, and a request can take longer.
func (c *core) renewDue() {
	if c.lease.held && !c.lease.renewing {
		c.lease.renewing = true
		c.do(renewLease{})
	}
}

// renewed takes the answer to a renewal. A lease that another process has taken is not ours
// any more, and what is written under its epoch will be refused.
func (c *core) renewed(m *renewedLease) {
	c.lease.renewing = false
	switch {
	case !c.lease.held:
	case errors.Is(m.err, store.ErrLeased):
		c.lease.held = false
	default:
		if m.err == nil {
			c.lease.epoch = m.epoch
		}
		c.do(renewIn{m.at})
	}
}

// letGo gives the lease back, and clears the intent, once nothing is under way for which they
// are needed. A rotated refresh token that is not saved yet needs them.
func (c *core) letGo() {
	l := &c.lease
	switch {
	case !l.held && l.intent == nil, l.renewing, c.air != nil, len(c.lane) > 0:
		return
	case c.phase == directory.Ready && c.state.RefreshToken != c.saved.RefreshToken:
		return
	case c.phase == directory.Ready && len(c.queue) > 0 && !c.denied:
		return // the next flight goes on with them
	}
	w := &write{kind: release, intent: l.intent}
	if l.held {
		w.epoch = l.epoch
	}
	l.held, l.intent = false, nil
	c.lane = append(c.lane, w)
}

// recovery is an intent of which nobody knows what came, and the flight that finds out.
type recovery struct {
	intent  store.Intent
	flight  *directory.Flight
	cleared bool // perhaps, by a save in between
}

// recovers reports whether f finds out what came of an intent.
func (c *core) recovers(f *directory.Flight) bool {
	return c.recovery != nil && c.recovery.flight == f
}

// followUp presents the refresh token of an intent that a process left behind. Where the
// provider has rotated it, its overlap decides whether the session goes on.
func (c *core) followUp(m *messages.RecoverIntent) {
	switch {
	case c.phase != directory.Ready, c.closing, c.recovery != nil, c.air != nil, len(c.queue) > 0:
		return // over, or about to present it anyway
	case c.state.RefreshToken != c.saved.RefreshToken:
		return // it is this process's own: what came is being saved
	case c.lease.intent != nil && c.lease.intent.Matches(m.Intent):
		return
	}
	f := directory.NewFlight(c.rules.DefaultQuery, store.Options{})
	c.recovery = &recovery{intent: m.Intent, flight: f}
	c.queue = append(c.queue, f)
}

// recovered notes that f is over. If it was a recovery, and the session has another refresh
// token by now, the intent that it was about goes.
func (c *core) recovered(f *directory.Flight) {
	if !c.recovers(f) {
		return
	}
	if in := c.recovery.intent; c.lease.intent == nil && sha256.Sum256([]byte(c.state.RefreshToken)) != in.Token {
		c.lease.intent = &in
	}
	c.recovery = nil
}

// reread queues a reading of the record, unless what was written is known here already.
func (c *core) reread(m *messages.Reread) {
	told := m.Call == nil
	switch {
	case told && !m.Version.IsZero() && c.knows(m.Version):
		return
	case told && m.Version.IsZero() && c.phase == directory.Ended && !c.signingIn():
		return // it was deleted
	}
	for i, w := range c.lane {
		running := i == 0 && c.laneBusy
		if w.kind == reread && w.flight == nil && w.generation == c.generation && (!running || m.Recent) {
			w.calls = append(w.calls, calls(m.Call)...)
			w.told = w.told || told
			return
		}
	}
	c.lane = append(c.lane, &write{kind: reread, generation: c.generation, told: told, calls: calls(m.Call)})
}

// signingIn reports whether a login is on its way, or may be read.
func (c *core) signingIn() bool {
	return slices.ContainsFunc(c.lane, func(w *write) bool { return w.kind == replace || w.kind == reread })
}

// knows reports whether v was read or written here.
func (c *core) knows(v session.Version) bool {
	return v == c.version || slices.Contains(c.own[:], v) || c.laneBusy && c.lane[0].version == v
}
