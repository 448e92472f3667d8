package store

import (
	"context"
	"errors"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

// SimpleStore is a plain key-value store, such as a host may already have. It is safe
// for concurrent use.
type SimpleStore interface {
	// Get returns the value under key, or nil without an error when there is none. It
	// fails only when the store did not answer: absence is never an error, and an
	// error never means absence. The caller does not change what it is given.
	Get(ctx context.Context, key string, o Options) ([]byte, error)

	// Set writes value under key, in place of the one before. With a positive ttl the
	// store may drop the value once that has passed, and not before. It keeps no
	// reference to value.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration, o Options) error

	// Delete removes the value under key. Absence is success.
	Delete(ctx context.Context, key string, o Options) error
}

// Simple makes a StateStore of a SimpleStore. Inside one process it keeps what
// StateStore promises. What it cannot keep, for a plain store has no
// compare-and-swap, is this:
//
//   - Versions are checked by this process alone. Where several processes serve one
//     session, the last writer wins: a rotated refresh token can be lost, a session
//     deleted by one can be written back by a refresh under way in another.
//   - Tombstones, and the connection tokens that outlive a ceiling in them, are in this
//     process's memory, at most MaxTombstones of them. After a restart, and in other
//     processes, an ended session is merely absent.
//   - There are no leases, intents or notices: two processes may spend one refresh
//     token at once, and a crash between the provider's rotation and the save
//     loses the session.
//   - There is no index: back-channel logout is a configuration error, and the
//     ceilings of sessions that are not resident are enforced when they are next used.
//
// Keys in the SimpleStore are the prefix and 64 hexadecimal digits.
type Simple struct {
	kv     SimpleStore
	clock  clock.Clock
	prefix string
	owned  bool

	keys  keyLocks
	tombs tombstones
}

// SimpleOption changes what NewSimple returns.
type SimpleOption func(*Simple)

// KeyPrefix sets what every key begins with, instead of "tokenward:".
func KeyPrefix(prefix string) SimpleOption { return func(s *Simple) { s.prefix = prefix } }

// OwnedByThisProcess declares that no other process uses these keys, which makes
// the store exclusive: sessions are not read again to see what others wrote. The
// default is shared.
func OwnedByThisProcess() SimpleOption { return func(s *Simple) { s.owned = true } }

// NewSimple returns a StateStore over kv; a nil clock is the system's.
func NewSimple(kv SimpleStore, c clock.Clock, options ...SimpleOption) *Simple {
	if c == nil {
		c = clock.System()
	}
	s := &Simple{kv: kv, clock: c, prefix: "tokenward:"}
	for _, o := range options {
		o(s)
	}
	return s
}

// Exclusive implements the ability of that name.
func (s *Simple) Exclusive() bool { return s.owned }

// Load implements StateStore.
func (s *Simple) Load(ctx context.Context, key session.Key, o Options) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	return s.read(ctx, key, o)
}

// Replace implements StateStore.
func (s *Simple) Replace(ctx context.Context, key session.Key, r Record, o Options) error {
	unlock, err := s.keys.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.write(ctx, key, r, o); err != nil {
		return err
	}
	s.tombs.remove(key)
	return nil
}

// Update implements StateStore.
func (s *Simple) Update(ctx context.Context, key session.Key, prev session.Version, r Record, o Options) error {
	unlock, err := s.keys.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := s.read(ctx, key, o)
	if err != nil {
		return err
	}
	if old.Version != prev || old.Incarnation != r.Incarnation {
		return ErrConflict
	}
	return s.write(ctx, key, r, o)
}

// End implements StateStore. Tombstones and what a ceiling leaves are in memory. What cannot be read is
// removed by an End of any incarnation, and makes an End of one incarnation fail.
func (s *Simple) End(ctx context.Context, key session.Key, only session.Incarnation, e Ending, o Options) error {
	unlock, err := s.keys.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	b, err := s.kv.Get(ctx, s.name(key), o)
	if err != nil {
		return err
	}
	r, gone, err := s.parse(key, b)
	var living *Record
	switch {
	case gone != nil:
	case err == nil, errors.Is(err, ErrUnreadable) && only.IsZero():
		living = &r
	case errors.Is(err, ErrNotFound):
		return nil
	default:
		return err
	}
	next, err := e.Over(only, living, gone)
	switch {
	case err != nil:
		return err
	case next != nil:
		// First the tombstone, so that from here on no caller reads this login again, even
		// when the deletion fails and has to be repeated.
		next.Stands = max(next.Stands, DefaultTombstoneLife)
		s.tombs.add(key, next, s.now())
	case living != nil:
		return nil // of another login
	}
	if b == nil {
		return nil
	}
	return s.kv.Delete(ctx, s.name(key), o)
}

// read returns the record under key. A record that was deleted by this process and
// was written back by another is gone; one of another login is not.
func (s *Simple) read(ctx context.Context, key session.Key, o Options) (Record, error) {
	b, err := s.kv.Get(ctx, s.name(key), o)
	if err != nil {
		return Record{}, err
	}
	r, _, err := s.parse(key, b)
	return r, err
}

// parse returns the record in b, nil where there is none; or the error that says why there is
// none, and the tombstone where it is that.
func (s *Simple) parse(key session.Key, b []byte) (Record, *GoneError, error) {
	gone := s.tombs.get(key, s.now())
	if b == nil {
		if gone != nil {
			return Record{}, gone, gone
		}
		return Record{}, nil, ErrNotFound
	}
	r, err := UnmarshalRecord(b)
	if err != nil {
		return Record{}, nil, err
	}
	if gone != nil && r.Incarnation == gone.Incarnation {
		return Record{}, gone, gone
	}
	return r, nil, nil
}

func (s *Simple) now() int64 { return s.clock.Now().UnixMicro() }

func (s *Simple) write(ctx context.Context, key session.Key, r Record, o Options) error {
	return s.kv.Set(ctx, s.name(key), MarshalRecord(r), max(0, r.TTL), o)
}

func (s *Simple) name(key session.Key) string { return s.prefix + key.String() }
