package bolt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/tokenward/tokenward/session"
)

// stage is a point in the life of a batch at which a test may step in.
type stage int

const (
	stageTaken   stage = iota // the requests were taken
	stageApplied              // they were carried out, in the transaction
)

// change has apply carried out by the writing goroutine, and returns when that is on
// disk. apply must not use what its caller lends it: the caller may be gone.
func (s *Store) change(ctx context.Context, key session.Key, apply func(*change) error) error {
	r, err := s.ask(ctx, key, apply)
	if err != nil {
		return err
	}
	return s.await(ctx, r)
}

// ask puts a request into the queue.
func (s *Store) ask(ctx context.Context, key session.Key, apply func(*change) error) (*request, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &request{ctx: ctx, key: key, apply: apply, done: make(chan error, 1)}
	return r, s.queue.add(r)
}

// await returns what became of r.
func (s *Store) await(ctx context.Context, r *request) (err error) {
	select {
	case err = <-r.done:
	case <-ctx.Done():
		if s.queue.withdraw(r) || s.queue.leave(r) {
			return ctx.Err() // where it was left it is being written, and may be
		}
		err = <-r.done
	}
	s.note(r.key, err)
	return err
}

// write is the writing goroutine. It ends when the queue is closed and empty.
func (s *Store) write() {
	defer close(s.stopped)
	debug.SetPanicOnFault(true)
	backlog := true // of expired values; the process that had the file before may have left some
	for {
		batch, open := s.queue.take(backlog)
		if !open {
			return
		}
		backlog = s.commit(batch)
	}
}

// What has expired is cleared away a few for each request, more than one can leave
// behind, and in batches while no call asks.
const (
	sweepEach = 4
	sweepMost = 256
)

// commit carries out a batch in one transaction, with all requests that come during that,
// and answers them. It reports whether more has expired than it cleared away.
func (s *Store) commit(batch []*request) (backlog bool) {
	if len(batch) > 0 {
		s.reach(stageTaken)
	}
	err := s.transact(func(c *change) {
		for joined := batch; len(joined) > 0; batch = append(batch, joined...) {
			carryOut(c, joined)
			joined = s.queue.join(maxBatch - len(batch))
		}
		n := sweepMost
		if len(batch) > 0 {
			n = min(n, sweepEach*len(batch))
		}
		sessions := c.sessions().sweep(n, c.forget)
		transactions := c.transactions().sweep(n, c.forgetTransaction)
		backlog = sessions || transactions
		if len(batch) > 0 {
			s.reach(stageApplied)
		}
	})
	for _, r := range batch {
		r.done <- cmp.Or(err, r.err)
	}
	s.queue.answered()
	return backlog && err == nil
}

// carryOut applies requests in the order of their keys, in which bbolt puts fastest.
// Those of one key stay in the order in which they came.
func carryOut(c *change, batch []*request) {
	slices.SortStableFunc(batch, func(a, b *request) int { return bytes.Compare(a.key[:], b.key[:]) })
	for _, r := range batch {
		if r.err = r.ctx.Err(); r.err == nil {
			r.err = r.apply(c)
		}
	}
}

func (s *Store) reach(at stage) {
	if s.hook != nil {
		s.hook(at)
	}
}

// errUnchanged rolls a transaction back that has nothing to write.
var errUnchanged = errors.New("bolt: nothing to write")

// transact commits what f writes: all of it, and nothing when f panics. The store goes
// on after either; but not when bbolt panics in its commit and again as it takes that
// back, for it no longer knows then which pages are free.
func (s *Store) transact(f func(*change)) error {
	if s.broken != nil {
		return s.broken
	}
	var (
		tx *bbolt.Tx
		id int
	)
	err := s.contain(func() error {
		return s.db.Update(func(t *bbolt.Tx) error {
			tx, id = t, t.ID()
			if err := s.current(t, s.committed.Load()); err != nil {
				return err
			}
			c := &change{view: view{tx: t, now: s.now()}}
			// Contained here, what f does is taken back without a look at the file.
			if err := s.contain(func() error { f(c); return c.err }); err != nil {
				return err
			}
			if err := s.present(); err != nil || c.dirty {
				return err
			}
			return errUnchanged
		})
	})
	damage, other := (*DamageError)(nil), (*FileError)(nil)
	switch {
	case err == nil:
		s.committed.Store(int64(id))
		return nil
	case errors.Is(err, errUnchanged):
		return nil
	case errors.As(err, &other):
		if other.Why == Overwritten { // which pages are free is not known any more
			s.broken = err
		}
		return err
	case errors.As(err, &damage):
		if tx == nil || tx.DB() != nil {
			s.broken = err
			s.stuck = tx == nil || s.contain(tx.Rollback) != nil
		}
		return err
	}
	return fmt.Errorf("bolt: %s was not written: %w", s.path, err)
}
