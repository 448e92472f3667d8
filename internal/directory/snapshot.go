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
	Ended                // it is over, for Reason; what remains of it is its State
	Missing              // the store has none
	Failed               // it could not be loaded, for Err
	Moved                // the entry is of no more use: wait for Gone, look in the directory again
)

// Snapshot is what callers see of a session. It is never changed once published. What a hit reads comes first, in one cache
// line: no other memory of the session is read but its entry.
type Snapshot struct {
	Phase       Phase
	connections bool // see HoldsConnections
	Ceiling     session.Ceiling
	EndsAt      int64 // Ready: as in the state; here so that a hit need not load the state's cache line
	Tokens      session.TokenCache

	Generation  session.Generation
	Incarnation session.Incarnation

	state  *session.State // nil where it is packed
	packed session.Packed

	*Outcome // never nil
}

// Outcome says more of a session that is not Ready, or whose tokens are refreshed early.
type Outcome struct {
	Reason  session.Reason // Ended
	Err     error          // Failed; Missing: why the record cannot be read, nil where there is none
	Settled chan struct{}  // Opening: closed when there is more to see; Ended: closed when the deletion was tried once, nil when none is due
	Until   time.Time      // Ended, Missing: how long it is remembered

	renewals []*renewal // Ready: of Tokens, one for each; nil: none of them is refreshed early
}

var noOutcome Outcome

// NewReady returns the snapshot of a session that lives, whose state is s.
func NewReady(g session.Generation, in session.Incarnation, s *session.State) *Snapshot {
	shown := &Snapshot{
		Phase: Ready, Generation: g, Incarnation: in, Ceiling: s.Internal.Ceiling, EndsAt: s.Internal.EndsAt,
		state: s, connections: len(s.ConnectionTokenSets) > 0, Outcome: &noOutcome,
	}
	shown.Tokens.Fill(s)
	return shown
}

// NewEnded returns the snapshot of a session of which only remains, which is not nil, is left.
func NewEnded(g session.Generation, in session.Incarnation, remains *session.State, o *Outcome) *Snapshot {
	return &Snapshot{
		Phase: Ended, Generation: g, Incarnation: in, state: remains, connections: len(remains.ConnectionTokenSets) > 0, Outcome: o,
	}
}

// NewSnapshot returns a snapshot that shows no session.
func NewSnapshot(p Phase, o Outcome) *Snapshot { return &Snapshot{Phase: p, Outcome: &o} }

// State returns the session that is Ready, or the connection tokens that remain of one that has Ended; else nil. That of an
// idle session is made anew by each call. It is not to be changed.
func (s *Snapshot) State() *session.State {
	if s.state == nil && !s.packed.IsZero() {
		return s.packed.State()
	}
	return s.state
}

// Shows reports whether s, which may be nil, was made of that state.
func (s *Snapshot) Shows(state *session.State) bool { return s != nil && s.state == state }

// HoldsConnections reports whether State has connection tokens.
func (s *Snapshot) HoldsConnections() bool { return s.connections }

// Idle returns s, which is Ready, in the form in which it takes the least memory.
func (s *Snapshot) Idle() *Snapshot {
	if s.state == nil {
		return s
	}
	packed, ok := s.state.Pack()
	if !ok {
		return s
	}
	idle := *s
	idle.state, idle.packed, idle.Tokens = nil, packed, session.TokenCache{}
	idle.Tokens.Fill(packed.State())
	return &idle
}

// Over reports whether the own lifetime of a session that is Ready is over at now.
func (s *Snapshot) Over(now time.Time) bool { return s.EndsAt != 0 && now.Unix() >= s.EndsAt }
