package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
)

// Store is a store.StateStore in PostgreSQL, with every optional ability but Exclusive. It is
// safe for concurrent use. What it promises, and at which price, the package comment says.
type Store struct {
	pool       *pgxpool.Pool
	wires      *wires
	elsewhere  seldom          // after a refusal to write: connect anew, the name may lead to another server by now
	standby    seldom          // connect to a server that was a standby
	listening  *pgx.ConnConfig // how Watch connects
	sql        [operations]string
	fill       func(string) string
	schema     string
	tombstones time.Duration
	pings      time.Duration
	oldest     int
	clock      clock.Clock
	log        *zap.Logger

	passwords []string // never shown

	writes     atomic.Uint64
	collecting atomic.Bool

	life context.Context // ends with the store
	stop context.CancelFunc

	mu     sync.Mutex
	closed bool
	under  sync.WaitGroup // work in the background
}

var (
	_ store.StateStore = (*Store)(nil)
	_ store.Index      = (*Store)(nil)
	_ store.Leaser     = (*Store)(nil)
	_ store.Intents    = (*Store)(nil)
	_ store.ChangeFeed = (*Store)(nil)
	_ store.Toucher    = (*Store)(nil)
	_ store.Checker    = (*Store)(nil)
)

// closePatience is how long Close waits for calls under way.
const closePatience = 2 * time.Second

// Close closes all connections. Calls under way have 2 s to end; then they are cut off. When
// it returns, nothing of the store runs. It is harmless when repeated; its error is always
// nil.
func (s *Store) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if !was {
		s.stop()
		late := s.clock.AfterFunc(closePatience, s.wires.cut)
		s.pool.Close()
		late.Stop()
		s.wires.cut()
	}
	s.under.Wait()
	return nil
}

// begin notes that something is under way in the background, until end is called. It
// reports false when the store was closed.
func (s *Store) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.under.Add(1)
	}
	return !s.closed
}

func (s *Store) end() { s.under.Done() }
