package store

import (
	"context"
	"time"

	"github.com/tokenward/tokenward/session"
)

// What follows are abilities that a StateStore may have beside. They are found by
// As. Each costs a promise where it is missing; its comment says which. What
// StateStore says of errors, contexts and copies holds for them too.

// Exclusive is implemented by stores that may belong to one process alone. Where it
// is missing or answers false the store counts as shared.
type Exclusive interface {
	Exclusive() bool
}

// Index finds sessions without their id. Without it, back-channel logout is a
// configuration error and ceilings are kept by timers of this process alone. Logins find by it, too, what other processes
// have ended in the last two minutes. Its
// answers are hints: the caller verifies them against the record.
type Index interface {
	// Find returns the sessions whose record or remainder has one of the values, each once, in
	// any order. It lists all of them: a limit would leave sessions signed in.
	Find(ctx context.Context, values []IndexValue, o Options) ([]Ref, error)

	// Due returns up to limit sessions whose Ceiling is in [from, until), by
	// ceiling and then key, starting after the given Ref (zero: from the start). The
	// last Ref of a page asks for the next, whether or not that session still
	// lives; a page shorter than limit is the last. Sessions without a ceiling are
	// never due. A claim hides nothing from Due.
	Due(ctx context.Context, from, until session.Ceiling, after Ref, limit int, o Options) ([]Ref, error)

	// ClaimDue hands out up to limit sessions with 0 < Ceiling < until to this
	// caller alone: none of them is handed out again before hold has passed, here or
	// in any other process. The caller deletes them; those it has not deleted when hold
	// has passed are handed out again. A login under the same key ends the claim. No
	// Ref at all says that at this moment none is left to claim. Where the call fails
	// midway, what it claimed stays claimed for that long.
	ClaimDue(ctx context.Context, until session.Ceiling, limit int, hold time.Duration, o Options) ([]Ref, error)
}

// Ref points at a session.
type Ref struct {
	Key         session.Key
	Incarnation session.Incarnation
	Ceiling     session.Ceiling // 0 for a remainder
	Connections bool            // Record.Connections; true for a remainder
	Ended       bool            // it is a remainder
}

// Leaser lets one process at a time spend a session's refresh token. Without it,
// P1 holds inside one process only. Begin takes a lease. Its epoch outlives it for as long as the record
// lives; Replace and End leave both alone.
type Leaser interface {
	Beginner

	// Renew lets a lease that owner holds at that epoch stand until ttl has passed from now. It
	// fails with ErrConflict where owner does not hold it any more: what the owner saves may still
	// be taken, for that the epoch decides.
	Renew(ctx context.Context, key session.Key, owner string, epoch int64, ttl time.Duration, o Options) error

	// Release gives the lease back if owner still holds it at that epoch. If not, it
	// does nothing, which is success.
	Release(ctx context.Context, key session.Key, owner string, epoch int64, o Options) error
}

// Intents records which refresh tokens are about to be spent, so that a crash
// between the provider's rotation and the save can be recovered. Without it, such a crash
// loses the session. Begin writes an intent, in the same step as it takes the lease. A key has one intent
// at most: the last one written.
type Intents interface {
	Beginner

	// ClearIntent removes the intent if it still has the Token, the Epoch and the At of in;
	// if not, it does nothing, which is success. An Update that succeeds
	// clears the intent too: it was written under the intent's epoch or a later one. So
	// do Replace, and an End that removes the record.
	ClearIntent(ctx context.Context, key session.Key, in Intent, o Options) error

	// StaleIntents lists up to limit intents whose lease has lapsed, was released or was
	// never taken, oldest At first. A caller that spends without leases leaves out
	// what it is spending itself.
	StaleIntents(ctx context.Context, limit int, o Options) ([]StaleIntent, error)
}

// Intent says that a refresh token is about to be spent.
type Intent struct {
	Token [32]byte // SHA-256 of the refresh token
	Epoch int64
	At    int64 // seconds since the Unix epoch

	// Tries counts how often the token was presented again to find out what came of a request
	// that was cut off. Next is the earliest time of the next such try, in seconds since the
	// Unix epoch. Both are 0 at first.
	Tries int
	Next  int64
}

// Over returns the intent that stands once in was put in place of old, nil where none stood,
// and whether old is of the same token. It fails with ErrPresented, see Beginner.
func (in Intent) Over(old *Intent) (next Intent, again bool, err error) {
	switch {
	case old == nil || old.Token != in.Token:
		return in, false, nil
	case in.Tries == 0:
		in.Tries, in.Next = old.Tries, old.Next
	case in.Tries <= old.Tries:
		return *old, true, ErrPresented
	}
	return in, true, nil
}

// Matches reports whether ClearIntent of in removes old: they differ in Tries and Next at most.
func (in Intent) Matches(old Intent) bool {
	return in.Token == old.Token && in.Epoch == old.Epoch && in.At == old.At
}

// StaleIntent is a stale intent: one whose flight seems to have been cut off.
type StaleIntent struct {
	Key session.Key
	Intent
}

// ChangeFeed tells of writes by other processes. Without it, they are seen when
// the snapshot age has passed.
type ChangeFeed interface {
	// Watch calls changed for each key that is replaced, updated or deleted (then with the
	// zero Version; also when a session that has ended ends for another reason, or its remainder changes), and
	// lost whenever notices may have been missed: at first as soon as notices arrive, for
	// earlier writes are not told, and then after each gap. It calls them one at a time,
	// those of one key in the order of the writes, and tells this process's own writes or
	// not, as is easiest.
	//
	// It returns when ctx has ended, with an error that matches ctx.Err(), or with
	// another one as soon as it finds that notices no longer arrive; the caller then
	// calls it again. Between the first lost and the return the caller takes silence
	// to mean that nothing was written: so an implementation over a network must
	// find a dead connection by itself, within 10 s.
	Watch(ctx context.Context, changed func(session.Key, session.Version), lost func()) error
}

// Toucher extends the life of a record for the inactivity limit, without a new
// version. Without it a record stays for the session's absolute lifetime, used or not.
type Toucher interface {
	// Touch lets the record under key live for ttl from now, or for ever when ttl is 0,
	// whatever its TTL was. It fails with ErrNotFound when there is no record. It is no
	// change in the sense of ChangeFeed.
	Touch(ctx context.Context, key session.Key, ttl time.Duration, o Options) error
}
