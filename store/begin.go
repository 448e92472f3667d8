package store

import (
	"context"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Beginner is the part that Leaser and Intents share. Begin is what a flight, a request that presents the
// refresh token (RFC 6749, section 6), asks of the store before it is sent.
//
// A refresh costs two operations: Begin, and the Update that saves its answer, clears the
// intent (but see Record.KeepIntent) and gives the lease back (Record.Release).
type Beginner interface {
	// Begin takes the lease, checks the version and writes the intent: all of that, or nothing.
	// A store with leases alone writes no intent; one with intents alone takes no lease, and
	// the epoch is 0. The checks come in this order, and each failure changes nothing:
	//
	//   - no record: ErrNotFound, or a *GoneError while a tombstone stands; but see Beginning.Version;
	//   - the record has another version than b.Version: Begun.Moved is that record. So what
	//     another process saved is seen before its lease is over;
	//   - another owner holds the lease: a *LeasedError;
	//   - no owner is named, and the key has a lease epoch: ErrConflict;
	//   - b.Intent.Tries is not higher than that of an intent of the same token: ErrPresented.
	//
	// A lease that b.Owner holds is renewed and keeps its epoch; one that lapsed or was
	// released is taken under an epoch higher than any before, from 1. A store may keep the epoch also for the owner
	// who held the lease last and let it lapse, for no other owner was in between: so use the epoch of the last answer.
	// From then on each Update of the key under a lower epoch fails with ErrConflict.
	//
	// The caller counts b.TTL from before it asked, and the store from when it answers: so
	// the lease ends for its owner first. The token is presented only while it stands. A caller
	// that comes too late clears its intent, or begins again.
	Begin(ctx context.Context, key session.Key, b Beginning, o Options) (Begun, error)
}

// Beginning says which flight begins.
type Beginning struct {
	// Version is that of the record that the flight was decided on. The zero Version is for a key that has no
	// record, as that of a login under way: the lease is taken there, and no intent is written.
	Version session.Version

	Owner string        // of the lease: a name that no other process uses; empty: no lease is taken
	TTL   time.Duration // of the lease

	// Intent is written as it stands: Token, At, Tries and Next; the store sets Epoch. With a
	// zero Token nothing is written, and the intent that stands stays. Where Tries is 0 and
	// the intent that stood is of the same token, its Tries and Next are kept.
	Intent Intent
}

// Begun is the answer of Begin.
type Begun struct {
	// Moved is the record where it has another version. Then nothing was changed, and the
	// rest is zero.
	Moved *Record

	Epoch  int64  // of the lease; 0 without one
	Intent Intent // as it stands now, for ClearIntent; zero where none was written

	// Prior is the intent that stood, where it was of the same token: that token may have
	// been presented already. Its Epoch says under which lease. Nil: none stood.
	Prior *Intent
}

// LeasedError says that another owner holds the lease. It matches ErrLeased.
type LeasedError struct {
	Owner string
	Left  time.Duration // until it lapses, by the store's clock, unless it is renewed
}

// Error implements error.
func (e *LeasedError) Error() string { return ErrLeased.Error() }

// Is reports whether target is ErrLeased.
func (e *LeasedError) Is(target error) bool { return target == ErrLeased }
