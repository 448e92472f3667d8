package supervisor

import (
	"slices"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// What a session leaves at its ceiling, connection tokens, ends with a logout token that
// names it. The store has forgotten the session by then, so its names are kept here.

// stay puts sl under names.
func (s *Supervisor) stay(sl *slot, names []store.IndexValue) {
	s.leave(sl)
	sl.more().signs = names
	for _, n := range names {
		if s.left[n] == nil {
			s.left[n] = make(map[session.Key]*slot, 1)
		}
		s.left[n][sl.entry.Key] = sl
	}
}

func (s *Supervisor) leave(sl *slot) {
	for _, n := range sl.known().signs {
		if s.left[n][sl.entry.Key] == sl {
			delete(s.left[n], sl.entry.Key)
		}
		if len(s.left[n]) == 0 {
			delete(s.left, n)
		}
	}
	if sl.detail != nil {
		sl.detail.signs = nil
	}
}

func (s *Supervisor) findLeft(m *messages.FindLeft) {
	var refs []store.Ref
	for _, n := range m.Named {
		for key, sl := range s.left[n] {
			also := len(m.And) == 0 || slices.ContainsFunc(sl.known().signs, func(n store.IndexValue) bool { return slices.Contains(m.And, n) })
			e := &sl.entry
			if sl.known().load != nil { // it is looked for again
				e = sl.known().load.ended.entry
			}
			left := e.Snapshot()
			of := left.State().SessionClient(s.env.Rules.ClientID)
			if also && slices.Contains(m.ClientIDs, of) && left.State().LoggedInAt() <= m.LoggedInBy {
				refs = append(refs, store.Ref{Key: key, Incarnation: left.Incarnation})
			}
		}
	}
	m.Reply <- refs
}
