package redis

import (
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/remote"
)

// Store is a store.StateStore in Redis, with every optional ability but Exclusive. It is
// safe for concurrent use. What it promises, and what not, the package comment says.
type Store struct {
	config     *goredis.Options
	dial       dialer // of the host's client; nil where Open was given a URL
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

	life *remote.Life // ends with the store
}

// Close ends every call that is under way, and all connections. When it returns,
// nothing of the store runs. It is harmless when repeated; its error is always nil.
func (s *Store) Close() error {
	s.life.Close(s.lines.close)
	return nil
}
