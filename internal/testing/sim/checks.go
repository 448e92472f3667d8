package sim

import (
	"math"
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// checkSpend holds a request that has just been sent against P1 to P3.
func (w *World) checkSpend(j *job, r *request) {
	p, f, n, key := j.p, r.family, r.spent, r.key
	if r.recovers = w.recoveringFor(p, r); r.recovers {
		p.recovering[f.subject] = false
	}
	w.checkAnswered(p, f, n)
	s := f.subject
	if s.onWire[p] > 0 {
		w.fail("P1", "two requests of %s are on the wire", s.id)
	}
	w.checkCoalesced(j, r)
	w.checkLease(j, r)
	newest, known := p.held[f]
	if f == j.family {
		newest = j.newest // who sent it may have learnt more since
	}
	snap := j.snapshot
	switch {
	case snap == nil:
		w.fail("P1", "a request that no session sends")
		return
	case !known || n != newest:
		w.fail("P3", "%s is spent, and the newest is %s", f.token(n), f.token(newest))
	case s.stored.family == f && !s.stored.unreadable && s.stored.refresh < n:
		w.fail("P3", "%s is spent while the store has %s", f.token(n), f.token(s.stored.refresh))
	}
	defer w.noteDemanded(j, r)
	switch snap.Phase {
	case directory.Ready:
		if snap.State().Internal.SID != f.name {
			w.fail("P6", "%s spends a refresh token of %s", snap.State().Internal.SID, f.name)
		}
		if r.recovers {
			break
		}
		if !key.ForConnection() {
			w.checkDemanded(j, r, snap.State())
		} else if _, ok := snap.State().FindConnection(key, j.decided); ok {
			w.fail("P2", "a token %s is asked for, and there is one", queryName(key))
		}
	case directory.Ended:
		if snap.Reason != session.ReasonCeiling || !key.ForConnection() {
			w.fail("P7", "a request for %s, which is over", f.name)
		}
	default:
		w.fail("P1", "a request of a session that is not known")
	}
}

// checkCoalesced holds that no request is sent for callers who were waiting when the last one
// for the same query ended: its answer was for them too (P2). Where another process wrote in
// between, a query may be sent twice. A recovery has no callers: those who asked while it was under way have a flight of their own,
// and it is their first request that follows, unless the product says that it sends one again.
func (w *World) checkCoalesced(j *job, r *request) {
	at := asked{j.p, r.family, r.key}
	before := w.last[at]
	w.last[at] = r
	if w.config.retry && before != nil && before.failed && before.answeredIn != 0 && (j.again || !before.recovers) {
		if waits, since := w.waiting(r, before); waits && !since {
			w.checkAgain(r, before)
		}
		return
	}
	if before == nil || before.answeredIn == 0 || w.wonElsewhere > 0 || !before.grant && !w.config.exclusive || before.recovers {
		return // or it was refused, and is sent once more; or no caller had asked that
	}
	if waits, since := w.waiting(r, before); waits && !since {
		w.fail("P2", "a token %s is asked for again, and its callers had joined the request before", queryName(r.key))
	}
}

// waiting reports whether calls wait for the answer to r, and whether one of them has joined since before was over.
func (w *World) waiting(r, before *request) (waits, since bool) {
	for _, c := range w.calls {
		if c.p != r.p || c.subject != r.family.subject || c.joined == 0 || c.ready() || c.query.Key != r.key {
			continue
		}
		if waits = true; c.joined >= before.answeredIn {
			return true, true
		}
	}
	return waits, false
}

// checkAgain holds a request that is sent again for the same callers, as before failed. Where their request has rotated
// its token it is within the overlap, else the provider would revoke the session (P3).
func (w *World) checkAgain(r, before *request) {
	f := r.family
	w.saw[sentAgain]++
	r.chain = before.spent == r.spent && (before.chain || before.grant)
	if r.chain && f.current > r.spent && !w.fake.Now().Before(f.replaced.Add(w.stated)) {
		w.fail("P3", "%s is spent again by itself, and the overlap is over", f.token(r.spent))
	}
}

// hold is an answer that asks to wait: until when its session sends nothing more.
type hold struct {
	until time.Time
	step  int
}

// noteAnswer notes that a session has learnt that it is to wait, or that its token is dead.
func (p *process) noteAnswer(m *mailbox, r *request) {
	if m.entry == nil || p.defects > 0 {
		return
	}
	s := m.entry.Snapshot()
	if s.Phase != directory.Ready || s.State().Internal.SID != r.family.name {
		return
	}
	if r.waits {
		p.throttled[r.family] = hold{p.now().Add(throttle), p.w.step}
	}
	if r.dead && !r.key.ForConnection() && p.w.config.exclusive { // else another process may have the session
		p.dead[r.family] = r.spent
	}
}

// isToWait reports whether the provider has asked that nothing more be sent for s yet.
func (p *process) isToWait(s *subject) bool {
	for f, h := range p.throttled {
		if f.subject == s && p.now().Before(h.until) {
			return true
		}
	}
	return false
}

// checkAnswered holds that a session that is to wait does, and that it spends no token that was
// refused for good, unless a defect has made it forget.
func (w *World) checkAnswered(p *process, f *family, n int) {
	if spent, ok := p.dead[f]; ok && spent == n && p.defects == 0 {
		w.fail("P2", "%s is spent once more, and was refused for good", f.token(n))
	}
	if h, ok := p.throttled[f]; ok && p.now().Before(h.until) && p.setBack < h.step && p.defects == 0 {
		w.fail("P2", "a request of %s, and the provider is not to be asked for %v", f.name, h.until.Sub(p.now()))
	}
}

// asked is a query that a process had the provider asked.
type asked struct {
	p      *process
	family *family
	key    session.FlightKey
}

// covered reports whether s has a token for key. It is written apart from the product's
// way to find one.
func (w *World) covered(p *process, s *session.State, key session.FlightKey) bool {
	now := p.moment()
	return slices.ContainsFunc(s.TokenSets, func(t session.TokenSet) bool { return w.covers(&t, key, now) })
}

// covers reports whether t answers key at now.
func (w *World) covers(t *session.TokenSet, key session.FlightKey, now time.Time) bool {
	if t.Audience != key.Audience || t.ExpiresAt <= now.Add(w.config.buffer).Unix() {
		return false
	}
	want := session.ParseScope(key.Scopes)
	return session.ParseScope(t.Scope).Covers(want) || session.ParseScope(t.RequestedScope).Equal(want)
}

// checkSupervised holds what the supervisor of p shows of sessions without an actor, in the turn that is over, to what
// holds for actors.
func (p *process) checkSupervised() {
	w := p.w
	load := p.loaded
	p.loaded = nil
	for _, s := range w.subjects {
		e := p.lookup.Directory.Lookup(s.id)
		if e == nil {
			continue
		}
		m := p.supervised[s]
		if m == nil || m.entry != e {
			m = &mailbox{w: w, p: p, name: "supervisor", subject: s, entry: e, shown: &directory.Snapshot{}}
			p.supervised[s] = m
		}
		shown := e.Snapshot()
		if load != nil && load.about == s && shown != p.loadedOver && shown.Phase == directory.Ready {
			for _, learn := range load.learns {
				learn()
			}
		}
		if e.PID() != nil {
			m.shown = shown // the actor's doing, but for what it was activated with
			continue
		}
		w.checkShown(m)
		w.checkDelivered(m)
		if shown.Phase == directory.Ended && e.Unsaved() == directory.Saved && p.over[s] == math.MaxInt {
			p.over[s] = w.step
		}
	}
}

// checkDelivered notes which tokens come from the cache only, from now on.
func (w *World) checkDelivered(m *mailbox) {
	kept := m.fresh[:0]
	for _, is := range m.fresh {
		if is.request != nil && m.entry.Find(is.request.key) != nil {
			kept = append(kept, is)
		} else {
			is.cached[m.p] = w.step
		}
	}
	m.fresh = kept
}

// checkWrite holds a write that has just been sent against P3.
func (w *World) checkWrite(_ *process, r store.Record, s *session.State) {
	f := w.byIncarnation[r.Incarnation]
	if f == nil || s == nil || !w.mayKeep(f, s) || s.Internal.SID != f.name {
		w.fail("P6", "the store is to keep what nobody issued")
		return
	}
	if r.Ceiling != f.ceiling {
		w.fail("P4", "%s is to be kept with a ceiling that it never had", f.name)
	}
}

// updated counts updates against the requests that they save.
func (w *World) updated(f *family) {
	if f.subject.updates++; f.subject.updates > f.subject.completions {
		w.fail("P2", "%s was updated %d times for %d requests", f.subject.id, f.subject.updates, f.subject.completions)
	}
}

// handled takes note of the message that an actor is about to handle.
func (w *World) handled(m *mailbox, msg any) {
	for i, l := range w.deliveries {
		if l.message != msg {
			continue
		}
		w.deliveries = append(w.deliveries[:i], w.deliveries[i+1:]...)
		if m.entry != nil {
			for _, learn := range l.job.learns {
				learn()
			}
		} else {
			m.p.loaded = l.job // void where it comes too late: see checkSupervised
			m.p.loadedOver = nil
			if about := l.job.about; about != nil {
				if e := m.p.lookup.Directory.Lookup(about.id); e != nil {
					m.p.loadedOver = e.Snapshot()
				}
			}
		}
		l.job.p.askedLease(l.job)
		r := l.job.request
		if r == nil {
			return
		}
		r.answeredIn = w.step
		l.job.p.noteAnswer(m, r)
		r.family.subject.completions++
		if is := r.issued; is != nil { // a token's life counts from its receipt
			is.expires = time.Unix(l.job.p.now().Unix()+is.life, 0)
		}
		return
	}
	switch msg := msg.(type) {
	case *messages.NeedToken:
		if msg.Flight.Query != nil {
			w.sawQueue(m, msg.Flight)
		}
	case *messages.UpdateSession:
		if m.entry != nil {
			m.subject.completions++
		}
	case *messages.RecoverIntent:
		m.p.recovering[m.subject] = true
	case *messages.AtRest:
		w.saw[atRestSaid]++
	case *messages.Busy:
		w.saw[busySaid]++
	case *messages.SessionFailed:
		w.saw[failureSaid]++
	case *messages.Recover:
		w.saw[recoverSaid]++
	case *messages.CeilingReached:
		w.saw[ceilingSaid]++
	}
}

// checkRest holds what must be so when nothing is under way and store and provider have
// worked for a while.
func (w *World) checkRest() {
	for _, c := range w.calls {
		w.fail("P5", "call %d (%s, %s) is never answered", c.n, c.name, c.subject.id)
		return
	}
	for _, p := range w.processes {
		if p.permits != 0 && !p.closing {
			w.fail("P9", "%d permits are held by nobody", p.permits)
		}
		if len(p.jobs) > 0 {
			w.fail("P5", "work is never done")
		}
	}
	now := w.fake.Now()
	for _, s := range w.subjects {
		f := s.stored.family
		if f != nil && !s.stored.unreadable && !f.over(now) && !f.dead {
			for _, p := range w.processes {
				if n, ok := p.held[f]; ok && n > s.stored.refresh && n != noToken {
					w.fail("P3", "the store has %v, and the newest is %s", s.stored, f.token(n))
				}
			}
		}
		if !s.certain || s.stored.unreadable {
			continue
		}
		switch {
		case s.current == nil && f != nil:
			w.fail("P7", "%s is signed out, and the store has %v", s.id, s.stored)
		case s.current != nil && f != s.current && !s.current.over(w.latest()) && s.current.endsAt == 0 && (!w.config.endOnDead || !s.current.refused):
			w.fail("P3", "%s is signed in, and the store has %v", s.current.name, s.stored)
		}
	}
}

// checkCeilings holds that no session is left past its ceiling once some minutes have
// passed.
func (w *World) checkCeilings() {
	for _, s := range w.subjects {
		if !w.config.index && (w.started > 1 || !s.certain) {
			continue // no process can know of what a process left, or wrote without knowing
		}
		if f := s.stored.family; f != nil && f.over(w.fake.Now()) && !s.stored.unreadable {
			w.fail("P4", "%s is past its ceiling, and the store still has it", f.name)
		}
	}
}

// checkClosed holds P12: whatever the store lacks was named.
func (w *World) checkClosed(p *process) {
	for _, s := range w.subjects {
		f := s.stored.family
		if f == nil || s.stored.unreadable || f.dead || f.over(w.fake.Now()) {
			continue
		}
		newest := p.held[f]
		if newest == noToken { // another process may have had one
			continue
		}
		if w.wonElsewhere == 0 {
			newest = max(newest, p.got[f])
		}
		if newest <= s.stored.refresh {
			continue
		}
		if !p.cut {
			w.fail("P12", "closed, and the store has %v instead of %s", s.stored, f.token(newest))
		} else if !slices.Contains(p.unsaved, s.key) {
			w.fail("P12", "cut off, and nobody says that %s is unsaved", s.id)
		}
	}
	if n := p.permits; n != 0 && !p.cut {
		w.fail("P9", "closed, and %d permits are held", n)
	}
}

// sawQueue counts the ways in which a query meets others.
func (w *World) sawQueue(m *mailbox, f *directory.Flight) {
	if m.entry == nil {
		return
	}
	switch flights := m.entry.Flights(); {
	case m.subject.onWire[m.p] > 0 && len(flights) > 1:
		w.saw[queuedBehind]++
	case len(flights) > 1:
		w.saw[queuedBeside]++
	}
	if s := m.entry.Snapshot(); s.Phase == directory.Ready && !f.Query.Key.ForConnection() && w.covered(m.p, s.State(), f.Query.Key) {
		w.saw[answeredFromCache]++
	}
}
