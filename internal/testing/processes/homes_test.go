package processes_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
	"github.com/tokenward/tokenward/store/redis"
)

// The servers are for every test.
var (
	theRedis    servers.SharedRedis
	thePostgres servers.SharedPostgres
)

// home is where the processes of one test keep their sessions. A worker is told it.
type home struct {
	Kind string // redis, sentinel or postgres
	URL  string
	// Sentinels are where the sentinels of Redis are, in place of the URL.
	Sentinels []string
	Space     string // a part of the server of the test's own
	Pings     time.Duration
}

// eachHome tells story once in each store whose server is installed here.
func eachHome(t *testing.T, story func(t *testing.T, h home)) {
	t.Run("redis", func(t *testing.T) { story(t, redisHome(theRedis.Get(t))) })
	t.Run("postgres", func(t *testing.T) { story(t, postgresHome(thePostgres.Get(t))) })
}

func redisHome(r *servers.Redis) home { return home{Kind: "redis", URL: r.URL(), Space: newSpace()} }

func postgresHome(p *servers.Postgres) home {
	return home{Kind: "postgres", URL: p.URL("postgres"), Space: newSpace()}
}

func newSpace() string { return "test_" + strings.ToLower(rand.Text()) }

// opened is a store as a worker needs it.
type opened struct {
	store.StateStore
	transactions store.TransactionStore
	io.Closer
}

func (h home) open(ctx context.Context) (opened, error) {
	switch h.Kind {
	case "redis", "sentinel":
		opts := []redis.Option{redis.Prefix(h.Space + ":")}
		if h.Pings > 0 {
			opts = append(opts, redis.Pings(h.Pings))
		}
		s, err := h.openRedis(ctx, opts...)
		if err != nil {
			return opened{}, err
		}
		return opened{s, s.Transactions(), s}, nil
	case "postgres":
		opts := []postgres.Option{postgres.Schema(h.Space)}
		if h.Pings > 0 {
			opts = append(opts, postgres.Pings(h.Pings))
		}
		s, err := postgres.Open(ctx, h.URL, opts...)
		if err != nil {
			return opened{}, err
		}
		return opened{s, s.Transactions(), s}, nil
	}
	return opened{}, fmt.Errorf("no store is called %q", h.Kind)
}

func (h home) openRedis(ctx context.Context, opts ...redis.Option) (*redis.Store, error) {
	if h.Kind == "redis" {
		return redis.Open(ctx, h.URL, opts...)
	}
	// A worker's client ends with its process.
	return redis.New(ctx, goredis.NewUniversalClient(&goredis.UniversalOptions{Addrs: h.Sentinels, MasterName: servers.SentinelMaster}), opts...)
}

// openFor opens the store for the test itself.
func (h home) openFor(t testing.TB) opened {
	t.Helper()
	s, err := h.open(t.Context())
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}
