package supervisor

import (
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// How a session gives its actor back, and how an idle session leaves memory.
//
// An active session is asked to be idle after two seconds (askRelease). If it has something under way it says Busy and is asked again two
// seconds later; else it says AtRest, and its actor is stopped (atRest). An idle session leaves memory when it was unused for
// PassivateAfter (checkIdle), or when there are too many (evict). An active one that is to leave is asked first (leaving).

// releaseAfter is how many seconds an actor stays at least: so that a burst of work pays once for an activation.
const releaseAfter = 2

// watchRelease has the session give its actor back after a moment, if it is idle then.
func (s *Supervisor) watchRelease(sl *resident) {
	d := &sl.more().release
	d.kind, d.resident = releaseTimer, sl
	s.due.add(d, s.now().Unix()+releaseAfter)
}

// watchIdle looks again once the session may have been unused for long enough. One that is in memory only to be deleted stays until
// that is done, however long the store refuses it.
func (s *Supervisor) watchIdle(sl *resident) {
	s.idle.cancel(sl)
	if sl.deleting {
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

// askRelease asks a session to give its actor back if it is idle. AtRest or Busy is the answer, and until it comes the session is not asked
// once more.
func (s *Supervisor) askRelease(sl *resident) {
	if !sl.asked {
		sl.asked = true
		s.command(sl, &messages.Passivate{})
	}
}

// passivate has a session leave memory: at once where it is idle, else once it is. What is lost with it is a copy: the store holds what an
// idle session shows. Its ceiling goes on being watched.
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
		s.endAbsentees([]store.Ref{{Key: key, Incarnation: last.Incarnation, Ceiling: last.Ceiling}})
	case s.index == nil: // the store cannot name it when its second has come
		s.remindOf(absentee{key, last.Incarnation}, last.Ceiling.Deadline().Unix())
	default:
		s.claimAt(last.Ceiling)
	}
}

// remindOf keeps the deadline of a session that is not in memory, where the store has no index. It is kept until the session is in
// memory again and there watched, or has ended (forgetAbsentee). A load that fails keeps it: the session is in the store as before.
func (s *Supervisor) remindOf(r absentee, second int64) {
	d := &timer{kind: nonResidentTimer, ref: r}
	s.nonResident[r.key] = d
	s.absentees.add(d, second)
}

// evict asks the least recently used session to go.
//
// The deadlines of the wheel are those of the last look, for a hit moves none. A session that was used since gets its new deadline
// here, and the next one is looked at: 64 at most, so that a crowd of busy sessions costs one turn a bounded time.
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

// busy keeps a session active that had something under way. It is asked again after a while.
func (s *Supervisor) busy(m *messages.Busy) {
	if sl := s.residents.get(m.Key); sl != nil && sl.pid() != nil {
		s.stays(sl)
	}
}

// stays keeps an active session that is not idle. If it was to leave memory, that is off: a caller has used it since, or its store is
// failing, and the next evict asks another one first.
func (s *Supervisor) stays(sl *resident) {
	sl.asked = false
	if sl.leaving {
		sl.leaving = false
		sl.entry.Use(s.now().Unix()) // so that it is not asked again at once
		s.watchIdle(sl)
	}
	s.watchRelease(sl)
}

// atRest takes back the entry of a session that has given it up, unless a command is on its way to it. One that lives is
// idle then. Of any other, in this order: the entry is unlinked, gone is closed, the actor stopped, once.
//
// Example: an actor reports that it is at rest while a logout is being sent to it. The counts differ, so the actor stays, and the
// logout wakes it. Were the actor stopped here, the logout would be lost, or a second actor would own the entry.
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
		s.noteEnded(m.Key, last.Incarnation)
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

// deactivate notes that a session has no actor any more. From here on callers send NeedToken to the supervisor. It comes before the actor
// is stopped, for the library drops a message to a stopped actor.
func (s *Supervisor) deactivate(sl *resident) {
	sl.entry.SetPID(nil)
	sl.asked = false
	s.active--
	s.due.cancel(&sl.more().release)
}

// released makes a session idle. A flight that was joined too late for its actor is answered by another.
//
// A caller joins a flight on its own goroutine, and sends NeedToken to the actor that the entry names. Between the actor's last turn and
// this one such a message may go to an actor that answers nothing any more. So the flights of the entry are looked at once more.
func (s *Supervisor) released(sl *resident, m *messages.AtRest) {
	pid, leaving := sl.pid(), sl.leaving
	s.deactivate(sl)
	sl.version, sl.leaving = m.Version, false
	sl.more().held, sl.more().demanded = m.Held, m.Demanded
	sl.trim()
	idle := sl.entry.Snapshot().Idle()
	sl.entry.Publish(idle)
	s.dir.NoteShown(&sl.entry, idle)
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
