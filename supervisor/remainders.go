package supervisor

import (
	"slices"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Remainders. A session that its ceiling has ended may leave connection tokens for a while. A logout token that names
// the session ends those too (behaviour of back-channel logout). The store does not have the record any more, so the
// index values of a remainder, keyed hashes of its sid and subject, are kept here.

// indexRemainder has sl found under names, and under no others.
func (s *Supervisor) indexRemainder(sl *resident, names []store.IndexValue) {
	s.unindexRemainder(sl)
	sl.more().indexValues = names
	for _, n := range names {
		if s.remainders[n] == nil {
			s.remainders[n] = make(map[session.Key]*resident, 1)
		}
		s.remainders[n][sl.entry.Key] = sl
	}
}

// unindexRemainder has sl found under no index value any more.
func (s *Supervisor) unindexRemainder(sl *resident) {
	for _, n := range sl.known().indexValues {
		if s.remainders[n][sl.entry.Key] == sl {
			delete(s.remainders[n], sl.entry.Key)
		}
		if len(s.remainders[n]) == 0 {
			delete(s.remainders, n)
		}
	}
	if sl.detail != nil {
		sl.detail.indexValues = nil
	}
}

// findRemainders answers a back-channel logout: the remainders that its logout token names. Those of a user who signed in
// after that token was issued are left alone.
func (s *Supervisor) findRemainders(m *messages.FindLeft) {
	var refs []store.Ref
	for _, n := range m.Named {
		for key, sl := range s.remainders[n] {
			also := len(m.And) == 0 || slices.ContainsFunc(sl.known().indexValues, func(n store.IndexValue) bool { return slices.Contains(m.And, n) })
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
