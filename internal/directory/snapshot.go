package directory

import (
	"time"

	"github.com/tokenward/tokenward/session"
)

// Phase says what a snapshot is about.
type Phase uint8

// The phases of a session as callers see it.
const (
	Opening Phase = iota // it is being loaded or a login is being written: wait for Settled
	Ready                // it lives
	Ended                // it is over, for Reason; what stays of it is in State
	Missing              // the store has none
	Failed               // it could not be loaded, for Err
	Moved                // the entry is of no more use: wait for Gone, look in the directory again
)

// Snapshot is what callers see of a session. It is never changed once published.
type Snapshot struct {
	Phase       Phase
	Generation  session.Generation
	Incarnation session.Incarnation
	Ceiling     session.Ceiling
	EndsAt      int64          // Ready: as in State; here so that a hit need not go there, which is far away
	State       *session.State // Ready: the session; Ended: the connection tokens that stay (never nil)
	Tokens      *session.TokenCache
	Reason      session.Reason // Ended
	Err         error          // Failed; Missing: why what is there cannot be read, nil when nothing is
	Settled     chan struct{}  // Opening: closed when there is more to see; Ended: closed when the deletion was tried once, nil when none is due
	Until       time.Time      // Ended, Missing: how long it is remembered
}

// NewReady returns the snapshot of a session that lives, whose state is s.
func NewReady(g session.Generation, in session.Incarnation, s *session.State) *Snapshot {
	return &Snapshot{
		Phase: Ready, Generation: g, Incarnation: in, Ceiling: s.Internal.Ceiling, EndsAt: s.Internal.EndsAt,
		State: s, Tokens: session.NewTokenCache(s),
	}
}

// Over reports whether the own lifetime of a session that is Ready is over at now.
func (s *Snapshot) Over(now time.Time) bool { return s.EndsAt != 0 && now.Unix() >= s.EndsAt }
