package store

import (
	"context"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Ending says how a session ends.
type Ending struct {
	Reason session.Reason

	// Stands is how long the tombstone stands; at least as long as the remainder and the
	// store's own tombstone life do.
	Stands time.Duration

	// Prev is the version that Remainder was made from: that of the record, or of the
	// remainder that stands (zero: none does). It is judged for session.ReasonCeiling only. The zero
	// Prev over a record says that it holds no connection tokens: Record.Connections is held
	// against that.
	Prev session.Version

	// Remainder is what outlives the end at a ceiling, nil when nothing does. It is heeded
	// for session.ReasonCeiling only.
	Remainder *Remainder
}

// Remainder is what outlives the end of a session at its ceiling: connection tokens that have
// not expired, and by what a logout finds them. Codec.EncodeRemainder makes it.
type Remainder struct {
	Version session.Version // drawn by the writer, as that of a record
	Index   []IndexValue    // in clear, as that of a record
	Sealed  []byte
	TTL     time.Duration // until its last token expires; more than 0. Load returns the rest of it
}

// GoneError is the tombstone of a session: it says that the session has ended, and why. It
// matches ErrNotFound. Load returns all of it; other operations may return the Reason alone.
type GoneError struct {
	Reason      session.Reason
	Incarnation session.Incarnation // that ended; zero where an earlier release did not write it down
	Stands      time.Duration       // how much longer, by the store's clock
	Remainder   *Remainder          // nil: none
}

// Error implements error.
func (e *GoneError) Error() string { return "store: the session has ended: " + string(e.Reason) }

// Is reports whether target is ErrNotFound.
func (e *GoneError) Is(target error) bool { return target == ErrNotFound }

// Life returns how long the tombstone of e stands in a store whose tombstones stand for least.
func (e Ending) Life(least time.Duration) time.Duration {
	life := max(e.Stands, least)
	if r := e.remainder(); r != nil {
		life = max(life, r.TTL)
	}
	return life
}

// Final reports whether e ends what a ceiling left, too: a logout from any side, and a login in the place of
// the session.
func (e Ending) Final() bool {
	switch e.Reason {
	case session.ReasonLogout, session.ReasonBackchannelLogout, session.ReasonAdministration, session.ReasonReplaced:
		return true
	}
	return false
}

func (e Ending) remainder() *Remainder {
	if e.Reason != session.ReasonCeiling {
		return nil
	}
	return e.Remainder
}

// Over returns the tombstone that stands once e has ended one incarnation (zero: any) of a session,
// of which the store has a living record, a tombstone, or neither; nil where nothing changes. It
// is what StateStore.End decides; the store makes the decision and the write one. Stands is
// at least that of e, and the caller's to raise to the store's own tombstone life.
func (e Ending) Over(only session.Incarnation, living *Record, gone *GoneError) (*GoneError, error) {
	next, changes, err := e.over(only, living, gone)
	if !changes {
		return nil, err
	}
	return &next, nil
}

// over is Over without an allocation; changes is false where it returns nil.
func (e *Ending) over(only session.Incarnation, living *Record, gone *GoneError) (next GoneError, changes bool, err error) {
	next = GoneError{Reason: e.Reason, Stands: e.Life(0), Remainder: e.remainder()}
	if living != nil {
		next.Incarnation = living.Incarnation
		switch {
		case !only.IsZero() && living.Incarnation != only:
			return next, false, nil
		case e.Reason == session.ReasonCeiling && !e.madeFrom(living):
			return next, false, ErrConflict
		}
		return next, true, nil
	}
	if gone == nil || !only.IsZero() && gone.Incarnation != only {
		return next, false, nil
	}
	next.Incarnation = gone.Incarnation
	switch {
	case e.Final() && (gone.Reason != e.Reason || gone.Remainder != nil):
		return next, true, nil
	case next.Remainder == nil || gone.Reason != session.ReasonCeiling:
		return next, false, nil
	case e.Prev != gone.remains():
		return next, false, ErrConflict
	}
	next.Stands = max(next.Stands, gone.Stands)
	return next, true, nil
}

// madeFrom reports whether what e says of the connection tokens is so of r.
func (e Ending) madeFrom(r *Record) bool {
	if e.Prev == (session.Version{}) && e.Remainder == nil {
		return !r.Connections
	}
	return e.Prev == r.Version
}

// remains returns the version of the remainder, zero where there is none.
func (e *GoneError) remains() (v session.Version) {
	if e.Remainder != nil {
		v = e.Remainder.Version
	}
	return v
}

// Clone returns a copy that shares no memory with r.
func (r *Remainder) Clone() *Remainder {
	c := *r
	c.Index, c.Sealed = slices.Clone(r.Index), slices.Clone(r.Sealed)
	return &c
}

// BatchEnder ends many sessions in one call. Without it they are ended one by one.
type BatchEnder interface {
	// EndAll ends the incarnations that refs name as End does with e, which has neither Prev nor Remainder and is a ceiling or
	// Final. It does not change refs. It returns those that it left as they were, in any order: they hold connection
	// tokens and e is a ceiling, or another caller works on them at that moment. End is for those. A session that is absent, or
	// is of another incarnation, is done, as with End.
	//
	// Each end is one operation, not all of them together: where EndAll fails some may have
	// ended, and the call may be repeated.
	EndAll(ctx context.Context, refs []Ref, e Ending, o Options) (left []Ref, err error)
}
