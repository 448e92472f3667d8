package postgres

import (
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/remote"
	"github.com/tokenward/tokenward/store"
)

// Store is a store.StateStore in PostgreSQL, with every optional ability but Exclusive. It is
// safe for concurrent use. What it promises, and at which price, the package comment says.
type Store struct {
	pool       *pgxpool.Pool
	host       *host // whose pool it is; nil where the store has made it
	wires      *wires
	elsewhere  seldom          // after a refusal to write: connect anew, the name may lead to another server by now
	standby    seldom          // connect to a server that was a standby
	listening  *pgx.ConnConfig // how Watch connects
	sql        [operations]string
	fill       func(string) string
	schema     string
	noDDL      bool
	tombstones time.Duration
	pings      time.Duration
	oldest     int
	clock      clock.Clock
	log        *zap.Logger

	passwords []string // never shown

	writes     atomic.Uint64
	collecting atomic.Bool

	life *remote.Life // ends with the store
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

// Close closes all connections that the store has opened. Calls under way have 2 s to end; then they are cut off. When
// it returns, nothing of the store runs. A pool that New was given stays open. It is harmless when repeated; its error is always
// nil.
func (s *Store) Close() error {
	if s.host != nil {
		s.leave()
		return nil
	}
	s.life.Close(func() {
		late := s.clock.AfterFunc(closePatience, s.wires.cut)
		s.pool.Close()
		late.Stop()
		s.wires.cut()
	})
	return nil
}
