package sim

import (
	"context"
	"slices"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// elsewhere is a write by a process that is not simulated itself, where the store is
// shared: it writes the session, and half of the time it has spent its refresh token for
// that, as it may while no other process does.
func (w *World) elsewhere(s *subject) { w.writeElsewhere(s, func() bool { return w.choose.odds(75) }) }

// writeElsewhere is elsewhere. It asks refreshes, where there is a session to be written, whether the token is to be spent.
func (w *World) writeElsewhere(s *subject, refreshes func() bool) {
	f := s.stored.family
	if f == nil || s.stored.unreadable || f.over(w.fake.Now()) {
		return
	}
	r, err := w.store.Load(context.Background(), s.key, store.Options{})
	if err != nil {
		return
	}
	state := w.contents(s.key, r)
	onWire := slices.ContainsFunc(w.processes, func(p *process) bool { return s.onWire[p] > 0 })
	if refreshes() && !onWire && !f.revoked && w.config.rotates && s.stored.refresh == f.current {
		f.current++
		f.replaced = w.fake.Now()
		state = state.WithRefreshToken(f.token(f.current))
		w.note("elsewhere %s is refreshed, to %s", f.name, state.RefreshToken)
	} else {
		w.note("elsewhere %s is written", f.name)
	}
	next, err := w.codec.Encode(s.key, state, session.NewVersion(w.random), r.Incarnation)
	if err != nil {
		panic(err)
	}
	if err := w.store.Update(context.Background(), s.key, r.Version, next, store.Options{}); err != nil {
		panic(err)
	}
	w.observe(s)
}
