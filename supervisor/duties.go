package supervisor

import (
	"runtime"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/hooks"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// The supervisor's timer, what it does when a deadline has come, and what it does about reports: of session actors, and of the change feed.

// dueNow says that a deadline may have come.
type dueNow struct{ messages.Redacted }

// arm sets the one timer to the earliest second that has a deadline in it. The timer only says when to look at the clock again, which is
// after a minute at most: then a clock that was set forward is noticed, too.
//
// The timer is given a time, not a wait (clock.At). A fake clock may be moved on between the reading of now and the arming: a wait that
// was reckoned before would end so much too late.
func (s *Supervisor) arm() {
	if s.turn {
		return // dueNow is on its way
	}
	second, ok := s.nextDue()
	if !ok || second == s.armed {
		return
	}
	s.armed = second
	if s.timer != nil {
		s.timer.Stop()
	}
	at, now := time.Unix(second, 0), s.now()
	if latest := now.Add(longestWait); at.After(latest) {
		at = latest
	}
	if !at.After(now) { // it is due already: a message handles it, without a timer
		s.turn = true
		s.send(s.self, &dueNow{})
		return
	}
	self, send := s.self, s.env.Send
	s.timer = clock.At(s.env.Clock, at, func() { send(self, &dueNow{}) })
}

// nextDue returns the earliest second that has a deadline in it. Non-resident sessions that are due wait while there is no
// headroom for them. They are left out here, or the supervisor would find them due in turn after turn without an end; backOff has
// timed the next try.
func (s *Supervisor) nextDue() (second int64, ok bool) {
	earliest := func(other int64, some bool) {
		if some && (!ok || other < second) {
			second, ok = other, true
		}
	}
	earliest(s.due.next())
	earliest(s.ceilings.next())
	earliest(s.idle.next())
	if other, some := s.absentees.next(); s.headroom() > 0 || other > s.now().Unix() {
		earliest(other, some)
	}
	return second, ok
}

// lookBack notices that the clock was set back. A timer that was to fire a while after an event then fires within that
// while from now, instead of when the clock shows its second once more. Ceilings and expiries stay: they are times of
// the wall clock.
//
// Example: the clock is set back by three hours while a session is in quarantine. Its callers would get internal_error for three hours
// and a half minute. TestSetBack_nothingWaitsForTheStep tells more such cases.
func (s *Supervisor) lookBack() {
	now := s.now().Unix()
	back := now < s.seen
	s.seen = now
	if !back {
		return
	}
	for _, d := range s.due.all() {
		if most := s.most(d); most > 0 && d.second > now+most {
			s.due.add(d, now+most)
		}
	}
	for _, sl := range slices.Backward(s.idle.all()) { // backward, for a bucket is taken last in, first out
		if sl.entry.Used() > now {
			sl.entry.Use(now)
		}
		s.watchIdle(sl)
	}
	s.intents.skip = nil
}

// most returns how many seconds ahead d is set at most, 0 for a timer whose second comes from the wall clock. Of one that is further
// ahead than that, the clock must have been set back since.
func (s *Supervisor) most(d *timer) int64 {
	switch d.kind {
	case forgetTimer:
		return int64(s.env.Rules.RememberMissing/time.Second) + 1
	case quarantineTimer:
		return int64(quarantine / time.Second)
	case claimAgainTimer:
		return claimAgain
	case listTimer:
		return int64(listEvery / time.Second)
	case intentsTimer:
		return intentsEvery
	case unreadableTimer:
		return unreadableEvery
	case releaseTimer:
		return releaseAfter
	case nonResidentTimer, claimTimer:
	}
	return 0
}

// dueNow fires the timers that are due, a bounded number in one turn, so that calls do not wait behind a million ceilings.
// Between two turns it yields: a goroutine that runs on makes the timers of its processor late, until it is preempted.
func (s *Supervisor) dueNow() {
	s.armed, s.turn = 0, false
	now := s.now().Unix()
	for range chunk {
		if !s.doOne(now) {
			return
		}
	}
	s.turn = true
	s.send(s.self, &dueNow{})
	runtime.Gosched()
}

// doOne does one thing that is due, and reports whether there was one.
//
// The order decides what comes first in one second. Ceilings do: an idle session whose ceiling and idle time come together ends in memory,
// instead of being claimed from the store after it has left. Sessions that are not in memory come last, and only where there is headroom, so
// that they hold up no others.
func (s *Supervisor) doOne(now int64) bool {
	if sl, ok := s.ceilings.take(now); ok {
		s.ceilingDue(sl)
		return true
	}
	if d, ok := s.due.take(now); ok {
		s.fire(d)
		return true
	}
	if sl, ok := s.idle.take(now); ok {
		s.checkIdle(sl)
		return true
	}
	second, some := s.absentees.next()
	switch {
	case !some || second > now:
		return false
	case s.headroom() <= 0:
		s.backOff()
		return false
	}
	d, _ := s.absentees.take(now)
	s.fire(d)
	return true
}

// fire does what d is for. The timer has left its wheel, so what it calls may set it again. A resident whose timer it is has not been
// dropped, for drop cancels its timers.
func (s *Supervisor) fire(d *timer) {
	switch d.kind {
	case releaseTimer:
		s.askRelease(d.resident)
	case forgetTimer:
		s.drop(d.resident)
	case quarantineTimer:
		s.recover(d.resident)
	case nonResidentTimer:
		delete(s.nonResident, d.ref.key)
		s.endAbsentees([]store.Ref{{
			Key: d.ref.key, Incarnation: d.ref.only, Ceiling: session.Ceiling(d.second) + session.Ceiling(session.CeilingLeeway/time.Second),
		}})
	case claimTimer:
		delete(s.claims, d.second)
		s.claimAfterEnds()
	case claimAgainTimer:
		s.claim()
	case listTimer:
		s.listDue()
	case intentsTimer:
		s.lookForIntents()
	case unreadableTimer:
		s.sayUnreadable()
	}
}

// began notes a session's new generation, and watches its ceiling. The report of an actor that was stopped since says nothing of the
// resident that is there now; that goes for sessionEnded, too.
//
// Example: an actor is there only to delete a session whose ceiling has come, and the store fails. The user signs in again. From here on
// the session counts like any other: it may leave memory when it is unused, and no more when its deletion is done.
func (s *Supervisor) began(m *messages.SessionBegan) {
	sl := s.residents.get(m.Key)
	if sl == nil || sl.pid() == nil {
		return
	}
	s.notDeleting(sl)
	s.forgetAbsentee(m.Key)
	s.watchCeiling(sl, m.Ceiling)
	s.watchIdle(sl)
}

// watchCeiling has the session end once its ceiling is reached.
func (s *Supervisor) watchCeiling(sl *resident, c session.Ceiling) {
	s.ceilings.cancel(sl)
	if c != 0 {
		s.ceilings.add(sl, c.Deadline().Unix())
	}
}

// sessionEnded notes that an active session has ended. The observer, the application and the figures hear of it here, once, whichever
// of its causes came first. Its actor stays until the record is deleted, and says then that it is at rest.
func (s *Supervisor) sessionEnded(m *messages.SessionEnded) {
	s.env.Telemetry.Ended(m.Reason)
	s.env.Hooks.Tell(hooks.Event{Kind: hooks.Ended, Key: m.Key, Reason: m.Reason, Named: m.Named})
	if m.Reason == session.ReasonCeiling {
		s.env.Stats.Ceilings.Add(1)
	}
	if sl := s.residents.get(m.Key); sl != nil && sl.pid() != nil {
		s.ceilings.cancel(sl)
	}
}

// ceilingReached passes on what a reader found. Where the session is being ended already, or has left memory, the reader is answered at
// once: it looks at the entry again, and waits there until the deletion was tried.
func (s *Supervisor) ceilingReached(m *messages.CeilingReached) {
	if sl := s.residents.get(m.Key); sl != nil && (sl.pid() != nil || sl.idles()) {
		s.command(sl, m)
		return
	}
	m.Call.End(nil)
}

// readRecord passes on that the store may hold something newer. A session that is not in memory is read anyway when it is
// asked for.
func (s *Supervisor) readRecord(m *messages.ReadRecord) {
	if sl := s.residents.get(m.Key); sl != nil && (sl.pid() != nil || sl.idles()) {
		s.command(sl, m)
		return
	}
	m.Call.End(nil)
}

// changed passes on that a session's record was written or ended, maybe by this process. An idle session is outdated,
// unless it shows that version; a marker is forgotten; and a load under way is begun anew.
//
// Nothing is read here. Notices come for each write of each process, and most sessions that they name are not asked for any more.
//
// Example of the load: the store is asked, another process signs the user out, the notice comes, and then the answer from before the
// logout. If that were shown, no later notice would correct it. A stale intent that waits for the load waits for the next one.
func (s *Supervisor) changed(m *messages.Changed) {
	sl := s.residents.get(m.Key)
	switch {
	case sl == nil || s.closing: // the next caller loads it
	case sl.pid() != nil:
		s.command(sl, &messages.ReadRecord{Key: m.Key, Version: m.Version})
	case sl.idles():
		if m.Version != sl.version {
			sl.entry.Outdate() // the next caller has it read
		}
	case sl.ending: // its deletion is on its way; a caller who looks afterwards has the store read
	case sl.known().load != nil: // what it finds may be older than the write
		intent := sl.known().load.intent
		sl.more().load = nil
		s.fail(sl, nil)
		if intent != nil {
			s.recoverIntent(intent)
		}
	default: // a marker: another process may have signed the user in
		s.drop(sl)
	}
}

// forgetAt has a marker dropped at the given time.
func (s *Supervisor) forgetAt(sl *resident, at time.Time) {
	d := &sl.more().other
	d.kind, d.resident = forgetTimer, sl
	s.due.add(d, secondAfter(at))
}

// secondAfter returns the first whole second that is not before t, so that what is armed for it never comes early.
func secondAfter(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

// sessionFailed lets the session start again at once, or, after the third failure
// in a minute, half a minute later: a message that fails each time it is sent must not keep a processor busy. The count begins anew with
// the quarantine. A client that closes waits for no quarantine.
func (s *Supervisor) sessionFailed(m *messages.SessionFailed) {
	sl := s.residents.get(m.Key)
	if sl == nil || sl.pid() == nil {
		return
	}
	now := s.now().Unix()
	recent := sl.known().failed[:0]
	for _, at := range sl.known().failed {
		if at <= now && now-at < failureWindow { // one that lies ahead is of before the clock was set back
			recent = append(recent, at)
		}
	}
	sl.more().failed = append(recent, now)
	if len(sl.known().failed) <= failuresAllowed || s.closing {
		s.recover(sl)
		return
	}
	s.env.Log.Error("a session failed three times in a minute and is left alone for a while", zap.Stringer("session", m.Key))
	sl.more().failed = nil
	d := &sl.more().other
	d.kind, d.resident = quarantineTimer, sl
	s.due.add(d, now+int64(quarantine/time.Second))
}

// recover lets a failed session start again from what it had saved.
func (s *Supervisor) recover(sl *resident) {
	if sl.pid() != nil {
		s.send(sl.pid(), &messages.Recover{})
	}
}
