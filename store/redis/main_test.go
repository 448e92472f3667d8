package redis_test

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
)

// patience is how long something may take on a machine that is busy. Nothing waits for it to
// pass.
const patience = 30 * time.Second

// server is for every test that leaves it as it is.
var server servers.SharedRedis

type tests struct{ *testing.M }

// Run runs the tests and ends the server, before anybody looks for what still runs.
func (m tests) Run() int {
	defer server.Close()
	return m.M.Run()
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(tests{m}) }

// opt is what every call is given: nothing.
var opt store.Options

// open opens a store on the shared server, under a prefix of its own.
func open(t *testing.T, opts ...redis.Option) *redis.Store {
	t.Helper()
	return openAt(t, server.Get(t).URL(), append([]redis.Option{redis.Prefix(rand.Text() + ":")}, opts...)...)
}

func openAt(t *testing.T, url string, opts ...redis.Option) *redis.Store {
	t.Helper()
	s, err := redis.Open(t.Context(), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// again opens the store behind s once more, as another process would.
func again(t *testing.T, s *redis.Store, opts ...redis.Option) *redis.Store {
	t.Helper()
	return openAt(t, server.Get(t).URL(), append([]redis.Option{redis.Prefix(redis.PrefixOf(s))}, opts...)...)
}

// admin returns a connection to a server for what no store does.
func admin(t *testing.T, r *servers.Redis) *goredis.Client {
	t.Helper()
	o, err := goredis.ParseURL(r.URL())
	must(t, err)
	o.Protocol = 2
	c := goredis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// side is admin for the shared server.
func side(t *testing.T) *goredis.Client {
	t.Helper()
	return admin(t, server.Get(t))
}

// within returns what ch gives.
func within[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	ctx, cancel := clock.WithTimeout(t.Context(), clock.System(), patience)
	defer cancel()
	select {
	case v := <-ch:
		return v
	case <-ctx.Done():
		t.Fatalf("%s: not in %v", what, patience)
		panic("unreachable")
	}
}

func newRecord() store.Record {
	return store.Record{
		Version:     session.NewVersion(rand.Reader),
		Incarnation: session.NewIncarnation(rand.Reader),
		Sealed:      []byte("what is sealed, " + rand.Text()),
	}
}

// next is rec as its next writer writes it.
func next(rec store.Record) store.Record {
	rec.Version = session.NewVersion(rand.Reader)
	rec.Sealed = []byte("what is sealed next, " + rand.Text())
	return rec
}

// login writes a new record under a new key.
func login(t *testing.T, s store.StateStore, change ...func(*store.Record)) (session.Key, store.Record) {
	t.Helper()
	key, rec := newKey(), newRecord()
	for _, c := range change {
		c(&rec)
	}
	must(t, s.Replace(t.Context(), key, rec, opt))
	return key, rec
}

func newKey() session.Key { return session.KeyOf("test", rand.Text()) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// prefixes are those of the tests that the suite runs, by their names.
var prefixes sync.Map

// lapse lets d pass for the stores of tb.
func lapse(tb testing.TB, d time.Duration) {
	tb.Helper()
	o, err := goredis.ParseURL(server.Get(tb).URL())
	must(tb, err)
	c := goredis.NewClient(o)
	defer func() { _ = c.Close() }()
	prefix, _ := prefixes.Load(tb.Name())
	must(tb, redis.Lapse(context.Background(), c, prefix.(string), d))
}

func driven(t *testing.T, c clock.Clock) *redis.Store {
	t.Helper()
	s := open(t, redis.Clock(c))
	prefixes.Store(t.Name(), redis.PrefixOf(s))
	redis.Driven(s)
	return s
}

// begin begins a flight, whatever the version of the record is.
func begin(ctx context.Context, s *redis.Store, key session.Key, b store.Beginning) (store.Begun, error) {
	begun, err := s.Begin(ctx, key, b, opt)
	for err == nil && begun.Moved != nil {
		b.Version = begun.Moved.Version
		begun, err = s.Begin(ctx, key, b, opt)
	}
	return begun, err
}

// intend writes an intent, under the lease of owner (empty: none). Its token is not zero.
func intend(ctx context.Context, s *redis.Store, key session.Key, owner string, in store.Intent) error {
	if in.Token == ([32]byte{}) {
		in.Token[0] = 1
	}
	_, err := begin(ctx, s, key, store.Beginning{Owner: owner, TTL: time.Hour, Intent: in})
	return err
}

// lease takes the lease of key, whatever the version of its record is.
func lease(ctx context.Context, s *redis.Store, key session.Key, owner string, ttl time.Duration) (int64, error) {
	begun, err := begin(ctx, s, key, store.Beginning{Owner: owner, TTL: ttl})
	return begun.Epoch, err
}
