package supervisor

import (
	"context"
	"errors"
	"slices"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// What a session leaves at its ceiling, connection tokens, ends with a logout token that
// names it. The store has forgotten the session by then, so its names are kept here.

// stay puts sl under names.
func (s *Supervisor) stay(sl *slot, names []store.IndexValue) {
	s.leave(sl)
	sl.signs = names
	for _, n := range names {
		if s.left[n] == nil {
			s.left[n] = make(map[session.Key]*slot, 1)
		}
		s.left[n][sl.entry.Key] = sl
	}
}

func (s *Supervisor) leave(sl *slot) {
	for _, n := range sl.signs {
		if s.left[n][sl.entry.Key] == sl {
			delete(s.left[n], sl.entry.Key)
		}
		if len(s.left[n]) == 0 {
			delete(s.left, n)
		}
	}
	sl.signs = nil
}

// endRead says what the store holds of a session whose end is remembered.
type endRead struct {
	messages.Redacted
	entry *messages.Entry
	err   error
}

// verify has the store asked whether what a session has left at its ceiling still stands, and
// reports whether it left something.
func (s *Supervisor) verify(sl *slot) bool {
	snapshot, entry, env := sl.entry.Snapshot(), sl.entry, s.env
	if snapshot.Phase != messages.Ended || len(snapshot.State.ConnectionTokenSets) == 0 {
		return false
	}
	env.Runner.Run(messages.StoreWork, func(ctx context.Context) any {
		ctx, cancel := clock.WithTimeout(ctx, env.Clock, env.StoreTimeout)
		defer cancel()
		_, _, _, err := env.SafeLoad(ctx, entry.Key, store.Options{Background: true})
		return &endRead{entry: entry, err: err}
	}, func(m any) { s.send(s.self, m) })
	return true
}

// verified forgets what a session has left once it was signed out or signed in since.
func (s *Supervisor) verified(m *endRead) {
	sl := s.slots[m.entry.Key]
	if sl == nil || sl.entry != m.entry || sl.pid != nil || sl.load != nil {
		return
	}
	var gone *store.GoneError
	if !errors.As(m.err, &gone) || gone.Reason != session.ReasonCeiling {
		s.drop(sl)
	}
}

func (s *Supervisor) findLeft(m *messages.FindLeft) {
	var refs []store.Ref
	for _, n := range m.Named {
		for key, sl := range s.left[n] {
			also := len(m.And) == 0 || slices.ContainsFunc(sl.signs, func(n store.IndexValue) bool { return slices.Contains(m.And, n) })
			if also {
				refs = append(refs, store.Ref{Key: key, Incarnation: sl.entry.Snapshot().Incarnation})
			}
		}
	}
	m.Reply <- refs
}
