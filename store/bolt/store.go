// Package bolt keeps sessions and login transactions in one file, on bbolt. It is for
// hosts of one process: the file belongs to the process that opened it first, and a second
// process gets an *InUseError at once.
//
// # What "saved" means
//
// Replace, Update, End, EndAll, Begin, Touch and ClearIntent, and Put and Take of Transactions, return nil once what they did has been fsync'd. It survives the
// end of the process by any signal, and a power failure as far as the disk keeps what
// it confirms. Nothing is on disk in part: each call is there with its index entries, or
// not at all. A call that changes nothing syncs nothing.
//
// Calls that wait together share one fsync: one goroutine writes, and takes whatever
// waits, without a delay. A call whose context ends before it was taken has no effect; one
// whose context ends later returns at once, and its write may happen.
//
// Load, Find, Due, ClaimDue, StaleIntents and Get read the file's pages on the caller's
// goroutine and wait for no fsync.
//
// # What it costs
//
// Starting reads no records, however many there are. The file grows with its contents, and
// does not shrink: deletions leave room for later writes. Records that have
// expired are cleared away a few with each write, and in batches while no call writes; there
// is no timer.
//
// # Damage
//
// Every value carries a checksum that is bound to its key. One that does not fit is
// store.ErrUnreadable for that key, logged once, and left where it is: no session, and
// no harm to the others. Damage to the pages of the file itself is a *DamageError for
// the calls that meet it.
//
// Each call looks whether the file that is open is still the one at its path, and each group
// of writes before its commit. Where it was removed, renamed, replaced or overwritten by a copy, calls
// fail with a *FileError that says so, and nothing is acknowledged. To restore a copy, stop the
// process first.
package bolt

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Store is a store.StateStore in a file, with the abilities Exclusive, Index,
// Intents, BatchEnder and Toucher. It is exclusive, so it has no leases and no change
// feed, and each intent that stands is stale.
type Store struct {
	path            string
	clock           clock.Clock
	log             *zap.Logger
	tombstones      time.Duration
	maxTransactions int
	hook            func(stage) // for tests

	db        *bbolt.DB
	file      *os.File
	absolute  string       // path, wherever the process goes
	identity  os.FileInfo  // of the file that is open
	committed atomic.Int64 // id of the newest transaction of this Store
	claims    claims
	noted     noted
	queue     queue
	stopped   chan struct{} // closed when the writing goroutine has ended

	// These two are the writing goroutine's, and Close's once that has ended.
	broken error // nothing is written any more
	stuck  bool  // bbolt kept its lock in a panic

	closed   atomic.Bool
	closing  sync.Once
	closeErr error
}

// Option changes what Open returns.
type Option func(*Store)

// Clock sets the clock by which records, tombstones, claims and transactions
// lapse. The default, also for nil, is the system's.
func Clock(c clock.Clock) Option { return func(s *Store) { s.clock = c } }

// Logger sets where the store tells of damage. The default, also for nil, is nowhere.
func Logger(l *zap.Logger) Option { return func(s *Store) { s.log = l } }

// TombstoneLife sets how long a tombstone stands, instead of
// store.DefaultTombstoneLife.
func TombstoneLife(d time.Duration) Option { return func(s *Store) { s.tombstones = d } }

// MaxTransactions sets how many login transactions are kept, instead of
// store.DefaultMaxTransactions. Beyond it those that expire first make room, and
// the user who started such a login has to start again.
func MaxTransactions(n int) Option { return func(s *Store) { s.maxTransactions = max(1, n) } }

// Open opens the store in the file at path, and makes the file where there is none, for
// its owner alone to read. It fails with an *InUseError while another process has
// the file open, and with a *FileError that says why the file cannot be used; a file that
// was there is then as it was. The caller closes the Store.
func Open(path string, opts ...Option) (*Store, error) {
	s := &Store{
		path: path, tombstones: store.DefaultTombstoneLife, maxTransactions: store.DefaultMaxTransactions,
		stopped: make(chan struct{}),
	}
	s.claims.init()
	s.queue.init()
	for _, o := range opts {
		o(s)
	}
	if s.clock == nil {
		s.clock = clock.System()
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	go s.write()
	return s, nil
}

// ErrClosed is the error of calls to a Store that was closed.
var ErrClosed = errors.New("bolt: the store is closed")

// Close writes what calls are waiting for, and gives the file back. Calls that come
// later fail with ErrClosed. It waits for the disk, and is harmless when repeated.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.closed.Store(true)
		s.queue.close()
		<-s.stopped
		s.closeErr = s.release()
	})
	return s.closeErr
}

// Exclusive implements the ability of that name: the file belongs to this process.
func (s *Store) Exclusive() bool { return true }

// Load implements store.StateStore. It waits for no write but one of the same session whose
// caller has left it: so what it says stays true of that.
func (s *Store) Load(ctx context.Context, key session.Key, _ store.Options) (r store.Record, err error) {
	if err := s.queue.awaitLeft(ctx, key); err != nil {
		return store.Record{}, err
	}
	err = s.view(ctx, func(v view) error {
		r, err = v.session(key).living(v.now)
		return err
	})
	if err != nil {
		s.note(key, err)
		return store.Record{}, err
	}
	return r, nil
}

// Replace implements store.StateStore. It also replaces what cannot be read.
func (s *Store) Replace(ctx context.Context, key session.Key, r store.Record, _ store.Options) error {
	fresh := newEntry(key, r)
	err := s.change(ctx, key, func(c *change) error {
		c.clearIntent(key)
		c.put(key, c.session(key), fresh)
		return nil
	})
	if err == nil {
		s.claims.end(key)
	}
	return err
}

// Update implements store.StateStore. Where something cannot be read it fails with
// store.ErrUnreadable.
func (s *Store) Update(ctx context.Context, key session.Key, prev session.Version, r store.Record, _ store.Options) error {
	fresh := newEntry(key, r)
	return s.change(ctx, key, func(c *change) error {
		old := c.session(key)
		have, err := old.living(c.now)
		if err != nil {
			return err
		}
		if have.Version != prev || have.Incarnation != fresh.incarnation {
			return store.ErrConflict
		}
		if !r.KeepIntent {
			c.clearIntent(key)
		}
		c.put(key, old, fresh)
		return nil
	})
}

// Touch implements store.Toucher. It is as durable as an Update.
func (s *Store) Touch(ctx context.Context, key session.Key, ttl time.Duration, _ store.Options) error {
	return s.change(ctx, key, func(c *change) error {
		old := c.session(key)
		if _, err := old.living(c.now); err != nil {
			return err
		}
		c.sessions().touch(key, old.stored, expiry(c.now, ttl))
		return nil
	})
}

// view calls f with a view of the file as the last write left it. f keeps nothing of
// what it sees there.
func (s *Store) view(ctx context.Context, f func(view) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return ErrClosed
	}
	if err := s.present(); err != nil {
		return err
	}
	committed := s.committed.Load()
	err := s.contain(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			if err := s.current(tx, committed); err != nil {
				return err
			}
			return f(view{tx: tx, now: s.now()})
		})
	})
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

func (s *Store) now() int64 { return s.clock.Now().UnixMicro() }
