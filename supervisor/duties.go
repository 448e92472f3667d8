package supervisor

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// dueNow says that a deadline may have come.
type dueNow struct{ messages.Redacted }

// arm sets the one timer to the earliest second that has a deadline in it.
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
	wait := min(clock.Until(s.env.Clock, time.Unix(second, 0)), longestWait)
	if wait <= 0 { // it was heard of late: no timer that the clock's next move would have to find
		s.turn = true
		s.send(s.self, &dueNow{})
		return
	}
	self, send := s.self, s.env.Send
	s.timer = s.env.Clock.AfterFunc(wait, func() { send(self, &dueNow{}) })
}

// nextDue returns the earliest second that has a deadline in it. Non-resident sessions that are due wait while there is no
// headroom for them.
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
	for _, sl := range slices.Backward(s.idle.all()) { // of one second the last is taken first
		if sl.entry.Used() > now {
			sl.entry.Use(now)
		}
		s.watchIdle(sl)
	}
	s.intents.skip = nil
}

// most returns how many seconds ahead d is at most, 0 for what has a time of its own.
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
}

// doOne does one thing that is due, and reports whether there was one.
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

// fire does what d is for.
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
		s.endAbsentees([]absentee{d.ref})
	case claimTimer:
		delete(s.claims, d.second)
		s.claim()
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

// began notes a session's new generation, and watches its ceiling.
func (s *Supervisor) began(m *messages.SessionBegan) {
	sl := s.residents.get(m.Key)
	if sl == nil || sl.pid() == nil {
		return
	}
	s.erased(sl)
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

// sessionEnded notes that an active session has ended.
func (s *Supervisor) sessionEnded(m *messages.SessionEnded) {
	if m.Reason == session.ReasonCeiling {
		s.env.Stats.Ceilings.Add(1)
	}
	if sl := s.residents.get(m.Key); sl != nil {
		s.ceilings.cancel(sl)
	}
}

// ceilingReached passes on what a reader found.
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
func (s *Supervisor) changed(m *messages.Changed) {
	sl := s.residents.get(m.Key)
	switch {
	case sl == nil || s.closing:
	case sl.pid() != nil:
		s.command(sl, &messages.ReadRecord{Key: m.Key, Version: m.Version})
	case sl.idles():
		if m.Version != sl.version {
			sl.entry.Outdate() // the next caller has it read
		}
	case sl.ending:
	case sl.known().load != nil:
		intent := sl.known().load.intent
		sl.more().load = nil
		s.fail(sl, nil)
		if intent != nil {
			s.recoverIntent(intent)
		}
	default:
		s.drop(sl)
	}
}

// releaseAfter is how many seconds an actor stays at least: so that a burst of work pays once for an activation.
const releaseAfter = 2

// watchRelease has the session give its actor back after a moment, if it is idle then.
func (s *Supervisor) watchRelease(sl *resident) {
	d := &sl.more().release
	d.kind, d.resident = releaseTimer, sl
	s.due.add(d, s.now().Unix()+releaseAfter)
}

// watchIdle looks again once the session may have been unused for long enough.
func (s *Supervisor) watchIdle(sl *resident) {
	s.idle.cancel(sl)
	if sl.erasing {
		return
	}
	s.idle.add(sl, sl.entry.Used()+int64(s.env.Rules.PassivateAfter/time.Second))
}

// checkIdle has a session leave memory that was not used for PassivateAfter. A hit notes its use in the entry without a
// message, so the deadline is moved here, when it has come.
func (s *Supervisor) checkIdle(sl *resident) {
	if !sl.resident() {
		return
	}
	if due := sl.entry.Used() + int64(s.env.Rules.PassivateAfter/time.Second); due > s.now().Unix() {
		s.watchIdle(sl)
		return
	}
	s.passivate(sl)
}

// askRelease asks a session to give its actor back if it is idle.
func (s *Supervisor) askRelease(sl *resident) {
	if !sl.asked {
		sl.asked = true
		s.command(sl, &messages.Passivate{})
	}
}

// passivate has a session leave memory: at once where it is idle, else once it is.
func (s *Supervisor) passivate(sl *resident) {
	switch {
	case sl.pid() != nil:
		sl.leaving = true
		s.askRelease(sl)
	case sl.idles():
		last := sl.entry.Snapshot()
		s.awake--
		s.drop(sl)
		s.watchAbsentee(sl.entry.Key, last)
	}
}

// watchAbsentee has a session that is not in memory any more end at its ceiling.
func (s *Supervisor) watchAbsentee(key session.Key, last *directory.Snapshot) {
	switch {
	case last.Ceiling == 0, s.closing:
	case last.Ceiling.Reached(s.now()): // it left memory as that came, and a claim may have passed it over
		s.endAbsentees([]absentee{{key, last.Incarnation}})
	case s.index == nil:
		s.remindOf(absentee{key, last.Incarnation}, last.Ceiling.Deadline().Unix())
	default:
		s.claimAt(last.Ceiling)
	}
}

// remindOf keeps the deadline of a session that is not in memory, where the store has no index.
func (s *Supervisor) remindOf(r absentee, second int64) {
	d := &timer{kind: nonResidentTimer, ref: r}
	s.nonResident[r.key] = d
	s.absentees.add(d, second)
}

// evict asks the least recently used session to go; it looks at a bounded number.
func (s *Supervisor) evict() {
	for range 64 {
		second, ok := s.idle.next()
		if !ok {
			return
		}
		sl, _ := s.idle.take(second)
		if used := sl.entry.Used() + int64(s.env.Rules.PassivateAfter/time.Second); used > second {
			s.watchIdle(sl)
			continue
		}
		s.passivate(sl)
		return
	}
}

// busy keeps a session that had something under way.
func (s *Supervisor) busy(m *messages.Busy) {
	if sl := s.residents.get(m.Key); sl != nil && sl.pid() != nil {
		s.stays(sl)
	}
}

// stays keeps an active session that is not idle.
func (s *Supervisor) stays(sl *resident) {
	sl.asked = false
	if sl.leaving {
		sl.leaving = false
		sl.entry.Use(s.now().Unix()) // not at once again
		s.watchIdle(sl)
	}
	s.watchRelease(sl)
}

// atRest takes back the entry of a session that has given it up, unless a command is on its way to it. One that lives is
// idle then. Of any other, in this order: the entry is unlinked, gone is closed, the actor stopped, once.
func (s *Supervisor) atRest(m *messages.AtRest) {
	sl := s.residents.get(m.Key)
	if sl == nil || sl.pid() == nil {
		return
	}
	if sl.known().sent != m.Handled {
		s.stays(sl)
		return
	}
	last := sl.entry.Snapshot()
	if last.Phase == directory.Ready && !s.closing {
		s.released(sl, m)
		return
	}
	if last.Phase == directory.Ended {
		s.noteEnded(absentee{m.Key, last.Incarnation})
	}
	pid := sl.pid()
	s.deactivate(sl)
	s.awake--
	s.drop(sl)
	s.root.Stop(pid)
	if s.closing {
		s.closedYet()
	}
}

// deactivate notes that a session has no actor any more.
func (s *Supervisor) deactivate(sl *resident) {
	sl.entry.SetPID(nil)
	sl.asked = false
	s.active--
	s.due.cancel(&sl.more().release)
}

// released makes a session idle. A flight that was joined too late for its actor is answered by another.
func (s *Supervisor) released(sl *resident, m *messages.AtRest) {
	pid, leaving := sl.pid(), sl.leaving
	s.deactivate(sl)
	sl.version, sl.leaving = m.Version, false
	sl.more().held = m.Held
	sl.trim()
	sl.entry.Publish(sl.entry.Snapshot().Idle())
	s.root.Stop(pid)
	switch flights := sl.entry.Flights(); {
	case len(flights) > 0:
		s.watchIdle(sl)
		s.activate(sl)
		for _, f := range flights {
			s.send(sl.pid(), &messages.NeedToken{Entry: &sl.entry, Flight: f})
		}
	case leaving:
		s.passivate(sl)
	}
}

// forgetAt has a marker go.
func (s *Supervisor) forgetAt(sl *resident, at time.Time) {
	d := &sl.more().other
	d.kind, d.resident = forgetTimer, sl
	s.due.add(d, secondAfter(at))
}

// sessionFailed lets the session start again at once, or, after the third failure
// in a minute, after a while.
func (s *Supervisor) sessionFailed(m *messages.SessionFailed) {
	sl := s.residents.get(m.Key)
	if sl == nil || sl.pid() == nil {
		return
	}
	now := s.now().Unix()
	recent := sl.known().failed[:0]
	for _, at := range sl.known().failed {
		if at <= now && now-at < failureWindow {
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
