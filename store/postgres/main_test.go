package postgres_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
)

// shared is for every test that leaves it running.
var shared servers.SharedPostgres

type tests struct{ *testing.M }

// Run runs the tests and ends the server, before anybody looks for what still runs.
func (m tests) Run() int {
	defer shared.Close()
	return m.M.Run()
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(tests{m}) }

// patience is how long what must happen may take on a machine that is busy. Nothing
// waits for it to pass.
const patience = 30 * time.Second

// home is a schema of a test's own on the server that the tests share.
type home struct {
	t      testing.TB
	server *servers.Postgres
	url    string
	schema string
	beside *pgx.Conn
}

func newHome(t testing.TB) *home {
	t.Helper()
	h := &home{t: t, server: shared.Get(t), schema: "test_" + strings.ToLower(rand.Text())}
	h.url = h.server.URL("postgres")
	t.Cleanup(func() {
		if h.beside != nil {
			_ = h.beside.Close(context.Background())
		}
	})
	return h // the schema goes with the server
}

// open opens the store as one more process would.
func (h *home) open(opts ...postgres.Option) *postgres.Store {
	h.t.Helper()
	return h.openFor(h.t, opts...)
}

// openFor is open for a part of the test.
func (h *home) openFor(t testing.TB, opts ...postgres.Option) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), h.url, append([]postgres.Option{postgres.Schema(h.schema)}, opts...)...)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// pool returns a pool of a host's, of n connections.
func (h *home) pool(n int32, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	h.t.Helper()
	config, err := pgxpool.ParseConfig(h.url)
	must(h.t, err)
	config.MaxConns = n
	for _, f := range change {
		f(config)
	}
	p, err := pgxpool.NewWithConfig(context.Background(), config)
	must(h.t, err)
	h.t.Cleanup(p.Close)
	return p
}

// openOn opens the store on a pool of a host's.
func (h *home) openOn(p *pgxpool.Pool, opts ...postgres.Option) *postgres.Store {
	h.t.Helper()
	s, err := postgres.New(h.t.Context(), p, append([]postgres.Option{postgres.Schema(h.schema)}, opts...)...)
	must(h.t, err)
	h.t.Cleanup(func() { _ = s.Close() })
	return s
}

// empty removes all that is stored.
func (h *home) empty() {
	h.t.Helper()
	h.exec("DELETE FROM x.sessions; DELETE FROM x.session_values; DELETE FROM x.intents; DELETE FROM x.transactions")
}

// exec runs commands beside the store; x. in them is the schema.
func (h *home) exec(sql string, args ...any) {
	h.t.Helper()
	h.with(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, h.in(sql), args...)
		return err
	})
}

// query reads one value beside the store; x. in it is the schema.
func query[T any](h *home, sql string, args ...any) (value T) {
	h.t.Helper()
	h.with(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, h.in(sql), args...).Scan(&value)
	})
	return value
}

func (h *home) in(sql string) string { return strings.ReplaceAll(sql, "x.", h.schema+".") }

func (h *home) with(f func(ctx context.Context, conn *pgx.Conn) error) {
	h.t.Helper()
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), patience)
	defer cancel()
	if h.beside == nil || h.beside.IsClosed() {
		conn, err := pgx.Connect(ctx, h.url)
		must(h.t, err)
		h.beside = conn
	}
	must(h.t, f(ctx, h.beside))
}

// steered gives the stores of this home a server's clock that lapse moves: the real one,
// and so much more.
func (h *home) steered() postgres.Option {
	h.t.Helper()
	h.exec(`CREATE SCHEMA IF NOT EXISTS ` + h.schema + `;
		CREATE TABLE x.ahead (by interval NOT NULL);
		INSERT INTO x.ahead VALUES ('0');
		CREATE FUNCTION x.steered() RETURNS timestamptz LANGUAGE sql VOLATILE AS
			'SELECT clock_timestamp() + (SELECT by FROM x.ahead)'`)
	return postgres.Instant(h.schema + ".steered()")
}

// lapse lets d pass on the steered clock.
func (h *home) lapse(d time.Duration) {
	h.t.Helper()
	h.exec("UPDATE x.ahead SET by = by + $1 * interval '1 microsecond'", d.Microseconds())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, doing string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: err = %v, want %v", doing, err, want)
	}
}

// begin begins a flight, whatever the version of the record is.
func begin(ctx context.Context, s *postgres.Store, key session.Key, b store.Beginning) (store.Begun, error) {
	begun, err := s.Begin(ctx, key, b, store.Options{})
	for err == nil && begun.Moved != nil {
		b.Version = begun.Moved.Version
		begun, err = s.Begin(ctx, key, b, store.Options{})
	}
	return begun, err
}

// intend writes an intent, under the lease of owner (empty: none). Its token is not zero.
func intend(ctx context.Context, s *postgres.Store, key session.Key, owner string, in store.Intent) error {
	if in.Token == ([32]byte{}) {
		in.Token[0] = 1
	}
	_, err := begin(ctx, s, key, store.Beginning{Owner: owner, TTL: time.Hour, Intent: in})
	return err
}

// lease takes the lease of key, whatever the version of its record is.
func lease(ctx context.Context, s *postgres.Store, key session.Key, owner string, ttl time.Duration) (int64, error) {
	begun, err := begin(ctx, s, key, store.Beginning{Owner: owner, TTL: ttl})
	return begun.Epoch, err
}
