package actors

import (
	"errors"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/store"
)

// noteVanished reports a record that was found to be gone although the session has not ended: no tombstone says so, one that
// has lapsed would have been seen before, and the record's TTL has not passed.
func (a *Session) noteVanished(m *opDone) {
	if a.env.Vanished == nil || !errors.Is(m.err, store.ErrNotFound) || errors.As(m.err, new(*store.GoneError)) {
		return
	}
	if !isRead(m.op) && !isBegin(m.op) { // after the others the record is read again
		return
	}
	s, now := a.entry.Snapshot(), a.env.Clock.Now()
	if s.Phase == directory.Ready && a.env.outlasts(a.entry, s, now) {
		a.env.Vanished()
	}
}

// outlasts reports whether the store must have the record of a session that is alive, or a tombstone.
//
// It errs on the side of no: a record whose time may have run out, or whose tombstone may have, is not reported as lost.
func (env *Env) outlasts(e *directory.Entry, s *directory.Snapshot, now time.Time) bool {
	if !env.Rules.Exclusive && !env.Fresh.Stood(e, env.Clock.Mono(), store.DefaultTombstoneLife) {
		return false
	}
	if s.Ceiling.Legal() && s.Ceiling.Reached(now) || s.Over(now) {
		return false
	}
	if s.EndsAt == 0 || env.Inactivity == 0 {
		return true
	}
	// The login gave it that much, and each write and use more.
	return now.Before(time.Unix(s.State().Internal.CreatedAt, 0).Add(env.Inactivity))
}
