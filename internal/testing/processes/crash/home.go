package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
	"github.com/tokenward/tokenward/store/postgres"
	"github.com/tokenward/tokenward/store/redis"
)

// Kind is one of the durable stores.
type Kind string

// The durable stores.
const (
	Bolt     Kind = "bolt"
	Redis    Kind = "redis"
	Postgres Kind = "postgres"
)

// Kinds are all of them.
var Kinds = []Kind{Bolt, Redis, Postgres}

// shared reports whether several processes may use such a store, so that it has leases.
func (k Kind) shared() bool { return k != Bolt }

// Place is where stores of one kind keep their data: a folder, or a server with all that
// it wrote on disk before it answers. Use it from one goroutine at a time.
type Place struct {
	kind   Kind
	folder string
	redis  *servers.Redis
	pg     *servers.Postgres
	homes  atomic.Int64
}

// NewPlace starts the server that kind needs; the caller calls Close. It fails with a
// *servers.MissingError where its program is not installed.
func NewPlace(kind Kind) (p *Place, err error) {
	p = &Place{kind: kind}
	switch kind {
	case Bolt:
		p.folder, err = os.MkdirTemp("", "tokenward-crash-")
	case Redis:
		p.redis, err = servers.StartRedis(servers.RedisConfig{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
	case Postgres:
		p.pg, err = servers.StartPostgres(servers.PostgresSetting("fsync", "on"), servers.PostgresSetting("synchronous_commit", "on"))
	default:
		err = fmt.Errorf("crash: there is no store %q", kind)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Close ends the server and removes its data.
func (p *Place) Close() {
	switch p.kind {
	case Bolt:
		_ = os.RemoveAll(p.folder)
	case Redis:
		p.redis.Close()
	case Postgres:
		p.pg.Close()
	}
}

// kill ends the server as a crash would.
func (p *Place) kill() {
	if p.redis != nil {
		p.redis.Kill()
	}
	if p.pg != nil {
		p.pg.Kill()
	}
}

// restart starts a server that was killed again, on the same data and at the same address.
func (p *Place) restart() error {
	if p.redis != nil {
		return p.redis.Restart()
	}
	return p.pg.Restart()
}

// newHome returns an empty store's home.
func (p *Place) newHome() home {
	h := home{Kind: p.kind, Name: "crash_" + strconv.FormatInt(p.homes.Add(1), 10)}
	switch p.kind {
	case Bolt:
		h.URL = filepath.Join(p.folder, h.Name+".db")
	case Redis:
		h.URL = p.redis.URL()
	case Postgres:
		h.URL = p.pg.URL("postgres")
	}
	return h
}

// home is how to open one store; it is told to the child.
type home struct {
	Kind Kind
	URL  string // of the server; the file of bolt
	Name string // keys of Redis begin with it; PostgreSQL's schema
}

// open opens the store. The caller calls shut when it is done with it.
func (h home) open(ctx context.Context, log *zap.Logger) (s store.StateStore, shut func() error, err error) {
	switch h.Kind {
	case Bolt:
		b, err := bolt.Open(h.URL, bolt.Logger(log))
		if err != nil {
			return nil, nil, err
		}
		return b, b.Close, nil
	case Redis:
		r, err := redis.Open(ctx, h.URL, redis.Prefix(h.Name+":"), redis.Logger(log))
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	case Postgres:
		p, err := postgres.Open(ctx, h.URL, postgres.Schema(h.Name), postgres.Logger(log))
		if err != nil {
			return nil, nil, err
		}
		return p, p.Close, nil
	}
	return nil, nil, errors.New("crash: a home of no kind")
}
