package redis

import (
	"context"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
)

// Store is a store.StateStore in Redis, with every optional ability but Exclusive. It is
// safe for concurrent use. What it promises, and what not, the package comment says.
type Store struct {
	config     *goredis.Options
	lines      *lines
	hooks      []goredis.Hook // of tests
	scripts    map[script]compiled
	prefix     string
	channel    string // of notices
	tombstones time.Duration
	pings      time.Duration
	clock      clock.Clock
	log        *zap.Logger
	page       int // how many sessions one script looks at

	password string // never shown

	life context.Context // ends with the store
	stop context.CancelFunc

	mu     sync.Mutex
	closed bool
	under  sync.WaitGroup // calls under way
}

// Close ends every call that is under way, and all connections. When it returns,
// nothing of the store runs. It is harmless when repeated; its error is always nil.
func (s *Store) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if !was {
		s.stop()
		s.lines.close()
	}
	s.under.Wait()
	return nil
}

// begin notes that something is under way, until end is called. It reports false when
// the store was closed.
func (s *Store) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.under.Add(1)
	}
	return !s.closed
}

func (s *Store) end() { s.under.Done() }
