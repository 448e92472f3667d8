package store

import (
	"context"
	"time"

	"github.com/tokenward/tokenward/session"
)

// What follows are abilities that a StateStore may have beside. They are found by
// type assertion. Each costs a promise where it is missing; its comment says which.

// Exclusive is implemented by stores that may belong to one process alone. Where it
// is missing or answers false the store counts as shared.
type Exclusive interface {
	Exclusive() bool
}

// Index finds sessions without their id. Without it, back-channel logout is a
// configuration error and ceilings are kept by timers of this process alone. Its
// answers are hints: the caller verifies them against the record.
type Index interface {
	// Find returns the sessions whose record has one of the values.
	Find(ctx context.Context, values []IndexValue, o Options) ([]Ref, error)

	// Due returns up to limit sessions whose Ceiling is in [from, until), by
	// ceiling and then key, starting after the given Ref (zero: from the start).
	Due(ctx context.Context, from, until session.Ceiling, after Ref, limit int, o Options) ([]Ref, error)

	// ClaimDue hands out up to limit sessions with 0 < Ceiling < until to this
	// caller alone: none of them is handed out again before hold has passed, here or
	// in any other process. The caller deletes them.
	ClaimDue(ctx context.Context, until session.Ceiling, limit int, hold time.Duration, o Options) ([]Ref, error)
}

// Ref points at a session.
type Ref struct {
	Key         session.Key
	Incarnation session.Incarnation
	Ceiling     session.Ceiling
}

// Leaser lets one process at a time spend a session's refresh token. Without it,
// P1 holds inside one process only.
type Leaser interface {
	// Lease takes or renews the lease of key for owner until ttl has passed by the
	// store's clock. Taking it from another owner, once lapsed or released, gives a higher epoch; renewing
	// keeps the epoch. It fails with ErrLeased while another owner holds it.
	Lease(ctx context.Context, key session.Key, owner string, ttl time.Duration, o Options) (epoch int64, err error)

	// Release gives the lease back if owner still holds it at that epoch.
	Release(ctx context.Context, key session.Key, owner string, epoch int64, o Options) error
}

// Intents records which refresh tokens are about to be spent, so that a crash
// between the provider's rotation and the save can be recovered. Without it, such a crash
// loses the session.
type Intents interface {
	// PutIntent records that the refresh token with this hash is about to be spent.
	PutIntent(ctx context.Context, key session.Key, in Intent, o Options) error
	// ClearIntent removes the intent if it is still the one that stands. The Update
	// that saves the flight clears it too: an Update under the epoch of the intent.
	ClearIntent(ctx context.Context, key session.Key, in Intent, o Options) error
	// Orphans lists up to limit intents whose lease has lapsed.
	Orphans(ctx context.Context, limit int, o Options) ([]Orphan, error)
}

// Intent says that a refresh token is about to be spent.
type Intent struct {
	Token [32]byte // SHA-256 of the refresh token
	Epoch int64
	At    int64 // seconds since the Unix epoch
}

// Orphan is an intent that nobody seems to follow up.
type Orphan struct {
	Key session.Key
	Intent
}

// ChangeFeed tells of writes by other processes. Without it, they are seen when
// the snapshot age has passed.
type ChangeFeed interface {
	// Watch calls changed for each written or deleted key until ctx ends, and lost
	// whenever notices may have been missed. It returns when ctx has ended.
	Watch(ctx context.Context, changed func(session.Key, session.Version), lost func()) error
}

// Toucher extends the life of a record for the inactivity limit, without a new
// version.
type Toucher interface {
	Touch(ctx context.Context, key session.Key, ttl time.Duration, o Options) error
}
