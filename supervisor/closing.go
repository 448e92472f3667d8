package supervisor

import (
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// How the supervisor ends. Close lets every session finish and save; Abort, once the time for that is over, stops them as they are.

// close begins to close: no session is opened any more. An active session finishes its flight, saves and comes to rest; a
// failed one starts again first, since it may hold a token that the store lacks. Idle sessions and markers go at
// once. Loads fail with closed, to the callers who wait for them. Then, once the last resident has gone, Done is closed.
//
// Example: a session in quarantine holds a rotated token that is not saved. Finish comes first, so that it begins no flight. Recover then
// has it read its record and save the token, where Close would otherwise wait out the quarantine.
func (s *Supervisor) close(m *messages.Close) {
	s.closing, s.closed = true, m.Done
	for sl := range s.residents.all() {
		switch {
		case sl.pid() != nil:
			s.command(sl, &messages.Finish{}) // first, so that one that starts again begins no flight
			s.recover(sl)                     // does nothing to one that has not failed
		case sl.ending: // its deletion is on its way
		case sl.idles():
			s.awake--
			s.drop(sl)
		case sl.known().load != nil:
			sl.more().load = nil
			s.fail(sl, session.ErrClosed)
		default:
			s.drop(sl)
		}
	}
	s.closedYet()
}

// closedYet tells the client, once, when every session is at rest. It is asked wherever the last resident may have gone: behind close,
// atRest, batchDone and abort.
func (s *Supervisor) closedYet() {
	if s.closed != nil && s.residents.len() == 0 {
		close(s.closed)
		s.closed = nil
	}
}

// abort stops every session as it is, because the context of Client.Close has ended. It replies with the sessions whose
// newest token, or whose deletion, the store does not have; CloseError names them by hash.
//
// A refresh token that was rotated and not saved is lost with the process, unless the provider accepts the one before once more. The next
// process finds its intent, and tries that.
//
// An idle session whose ceiling has just ended it is named too, because its entry says Saving until the batch is done. The answer of that
// batch comes too late to change anything: batchDone passes over it.
func (s *Supervisor) abort(m *messages.Abort) {
	s.closing = true
	var unsaved []session.Key
	rest := m.Rest
	if rest == nil {
		rest = &messages.AbortedRest{}
	}
	for sl := range s.residents.all() {
		key := sl.entry.Key
		switch {
		case sl.entry.Unsaved() != directory.Saved:
			unsaved = append(unsaved, key)
			if sl.entry.Snapshot().Phase == directory.Ended {
				rest.Undeleted = append(rest.Undeleted, key)
			}
		case sl.pid() != nil:
			rest.Waiting = append(rest.Waiting, key)
		}
		pid := sl.pid()
		if sl.resident() {
			s.awake--
		}
		sl.more().load, sl.ending = nil, false
		if pid != nil {
			s.deactivate(sl)
			s.root.Stop(pid)
		}
		s.drop(sl)
	}
	m.Reply <- unsaved
	s.closedYet()
}
