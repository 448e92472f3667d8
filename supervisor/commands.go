package supervisor

import (
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// How a login, a logout and new values of the application reach their session, whether or not it is in memory. All three are written by
// the session's actor. So two of them that come at once are in the order of that actor's mailbox, and of its store operations.

// owner returns the resident of a session to send commands to. Where there is
// none it makes one whose actor knows nothing of the session yet; a load under way is voided.
//
// A login replaces the record and a logout deletes it, whatever the record says. So neither waits for a read, and the answer of one that was
// under way is dropped: it may be of the record before. Those who waited for that read wait on, at the same entry, until the store has
// answered the login.
//
// A marker is dropped, not turned into the session: its snapshot says missing or ended, and callers would be told so while the login is
// being written. The new entry is opening.
func (s *Supervisor) owner(id string, key session.Key) *resident {
	sl := s.residents.get(key)
	if sl != nil && sl.known().load == nil && sl.resident() {
		s.name(sl, id)
		return sl
	}
	if sl != nil && sl.known().load == nil {
		s.drop(sl)
		sl = nil
	}
	if sl == nil {
		sl = s.enter(id, key)
	}
	sl.more().load = nil
	s.name(sl, id)
	s.activate(sl)
	sl.entry.Use(s.now().Unix())
	s.watchIdle(sl)
	return sl
}

// replace passes a login on to its session, whether or not there was one before. The new login needs nothing of the old
// record, so it is not read. It needs room as a load does, where it adds to the sessions in memory.
func (s *Supervisor) replace(m *messages.ReplaceSession) {
	sl := s.residents.get(m.Key)
	switch {
	case s.closing:
		m.Call.End(session.ErrClosed)
	case (sl == nil || !sl.resident()) && !s.room():
		m.Call.End(session.ErrOverloaded)
	default:
		s.command(s.owner(m.ID, m.Key), m)
	}
}

// update passes new values of the application on. A session that is not in memory is looked for again by its caller: the values are
// compared with those that are there, so the record has to be read first. Example: the session leaves memory between the caller's read and
// its update.
func (s *Supervisor) update(m *messages.UpdateSession) {
	switch sl := s.residents.get(m.Key); {
	case s.closing:
		m.Refuse(session.ErrClosed)
	case sl != nil && (sl.pid() != nil || sl.idles()):
		s.command(sl, m)
	default:
		m.Refuse(session.ErrMissingSession)
	}
}

// end passes the end of a session on. An actor does the deletion, also where the session is not in memory, because a
// deletion that fails is tried until it succeeds. It needs no room, as a login does: a logout must not fail for want of memory.
//
// The deadline of a session that has left memory goes, for the actor deletes that session. Where the end is about another login, it stays.
//
// While the client closes, only a session that has an actor still takes a logout: Close waits for that actor anyway. Any other is refused:
// with new actors all the time Close would come to no end.
func (s *Supervisor) end(m *messages.EndSession) {
	sl := s.residents.get(m.Key)
	if s.closing && (sl == nil || sl.pid() == nil) {
		m.Call.End(session.ErrClosed)
		return
	}
	if d := s.nonResident[m.Key]; d != nil && (m.Only.IsZero() || m.Only == d.ref.only) {
		s.forgetAbsentee(m.Key)
	}
	if m.InStore && sl == nil { // a load that begins after this finds the tombstone
		m.Call.End(nil)
		return
	}
	s.command(s.owner(m.ID, m.Key), m)
}
