package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
)

// What the host opened stays open, and what the store opened does not.
func TestNew_thePoolStaysTheHosts(t *testing.T) {
	h := newHome(t)
	pool := h.pool(2, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["application_name"] = h.schema })
	s := h.openOn(pool)
	lives(t, s)
	w := watch(t, s)
	must(t, s.Replace(t.Context(), keyOf(2), record(), store.Options{}))
	receive(t, "a notice", w.notices)
	must(t, s.Close())
	wantErr(t, "Watch", receive(t, "its end", w.ended), postgres.ErrClosed)
	wantErr(t, "Load", func() error { _, err := s.Load(t.Context(), keyOf(2), store.Options{}); return err }(), postgres.ErrClosed)
	must(t, pool.Ping(t.Context()))
	await.Eventually(t, "the watcher's connection is closed", func() bool {
		return query[int](h, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", h.schema) == int(pool.Stat().TotalConns())
	})
	must(t, s.Close())
}

// A call takes one connection of the pool, and never a second one.
func TestNew_aPoolOfOneConnectionIsEnough(t *testing.T) {
	h := newHome(t)
	lives(t, h.openOn(h.pool(1)))
}

// The watcher connects as the pool does: by its dialer, and with a password that changes.
func TestNew_watchConnectsAsThePoolDoes(t *testing.T) {
	h := newHome(t)
	var dials, asked atomic.Int64
	var password string
	pool := h.pool(2, func(c *pgxpool.Config) {
		password, c.ConnConfig.Password = c.ConnConfig.Password, "of yesterday"
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			return dial(ctx, network, addr)
		}
		c.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
			asked.Add(1)
			c.Password = password
			return nil
		}
	})
	s := h.openOn(pool)
	must(t, s.Replace(t.Context(), keyOf(1), record(), store.Options{}))
	before := dials.Load()
	w := watch(t, s)
	must(t, s.Replace(t.Context(), keyOf(2), record(), store.Options{}))
	receive(t, "a notice", w.notices)
	if dials.Load() == before || dials.Load() != asked.Load() {
		t.Errorf("dials: %d before Watch, %d then, passwords asked for: %d", before, dials.Load(), asked.Load())
	}
}

func TestNew_behindPgBouncer(t *testing.T) {
	h := newHome(t)
	direct := h.url
	h.url = h.server.PgBouncer(t, direct) + "&default_query_exec_mode=exec"
	s := h.openOn(h.pool(4), postgres.ListenURL(direct))
	lives(t, s)
	must(t, s.Replace(t.Context(), keyOf(2), record(), store.Options{}))
	addAll(t, []*postgres.Store{s, h.openOn(h.pool(4), postgres.ListenURL(direct))}, keyOf(2), 40)
}

func TestNew_refusesAPoolThatWillNotDo(t *testing.T) {
	h := newHome(t)
	refused := func(pool *pgxpool.Pool, why postgres.Refusal, says string) {
		t.Helper()
		s, err := postgres.New(t.Context(), pool, postgres.Schema(h.schema))
		if wantRefused(t, err, why); s != nil || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("New: %v, want a text with %q", err, says)
		}
	}
	refused(nil, postgres.BadPool, "nil")
	refused(h.pool(1, func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["default_transaction_isolation"] = "repeatable read"
	}), postgres.BadPool, `"repeatable read"`)
	two := func(more string) *pgxpool.Pool {
		u, err := url.Parse(h.url)
		must(t, err)
		closed, err := servers.FreeAddr()
		must(t, err)
		u.Host += "," + closed
		p, err := pgxpool.New(context.Background(), u.String()+more)
		must(t, err)
		t.Cleanup(p.Close)
		return p
	}
	refused(two(""), postgres.BadPool, "target_session_attrs=read-write")
	if query[bool](h, "SELECT to_regnamespace($1) IS NOT NULL", h.schema) {
		t.Error("a New that failed made the schema")
	}
	_ = h.openOn(two("&target_session_attrs=read-write"))

	closed := h.pool(1)
	closed.Close()
	refused(closed, postgres.Unreachable, "closed")
}

// apply applies migrations as a team does that has a tool of its own: each in a transaction.
func (h *home) apply(all []postgres.Migration) {
	h.t.Helper()
	h.with(func(ctx context.Context, conn *pgx.Conn) error {
		for _, m := range all {
			tx, err := conn.Begin(ctx)
			if err != nil {
				return err
			}
			if _, err = tx.Exec(ctx, m.SQL); err != nil {
				return fmt.Errorf("%s: %w", m.Name, err)
			}
			if err = tx.Commit(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// A user who may run no DDL uses the schema that another one has migrated. What lacks is named, and nothing is changed.
func TestMigrations_appliedByTheHost(t *testing.T) {
	h := newHome(t)
	all, err := postgres.Migrations(h.schema)
	must(t, err)
	role := h.schema + "_user"
	h.exec("CREATE ROLE " + role + " LOGIN PASSWORD 'p'")
	t.Cleanup(func() { h.exec("DROP OWNED BY " + role + "; DROP ROLE " + role) })
	grant := func() {
		h.exec("GRANT USAGE ON SCHEMA " + h.schema + " TO " + role)
		h.exec("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + h.schema + " TO " + role)
		h.exec("GRANT USAGE ON ALL SEQUENCES IN SCHEMA " + h.schema + " TO " + role)
	}
	u, err := url.Parse(h.url)
	must(t, err)
	u.User = url.UserPassword(role, "p")
	open := func() (*postgres.Store, error) {
		return postgres.Open(t.Context(), u.String(), postgres.Schema(h.schema), postgres.NoDDL())
	}
	wants := func(says ...string) {
		t.Helper()
		_, err := open()
		wantRefused(t, err, postgres.OlderSchema)
		for _, s := range says {
			if err != nil && !strings.Contains(err.Error(), s) {
				t.Errorf("%v: want a text with %q", err, s)
			}
		}
	}
	wants("version 0", "0001_tables, 0002_functions, 0003_tries, 0004_endings")
	if query[bool](h, "SELECT to_regnamespace($1) IS NOT NULL", h.schema) {
		t.Fatal("NoDDL made the schema")
	}
	h.apply(all[:2])
	grant()
	wants("version 2", "apply 0003_tries, 0004_endings")
	h.apply(all[2:])
	grant()
	s, err := open()
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	lives(t, s)
	on, err := postgres.New(t.Context(), h.pool(2), postgres.Schema(h.schema), postgres.NoDDL())
	must(t, err)
	must(t, on.Close())

	h.exec("DROP FUNCTION x.collect()")
	wants("lacks collect", "apply Migrations")
	h.exec("INSERT INTO x.migrations (version) VALUES (99)")
	_, err = open()
	wantRefused(t, err, postgres.NewerSchema)
}

// The exported migrations make the schema that Open makes, and each can be followed by the other.
func TestMigrations_makeTheSchemaOfOpen(t *testing.T) {
	shape := func(h *home) string {
		return strings.ReplaceAll(query[string](h, `SELECT string_agg(what, E'\n' ORDER BY what) FROM (
			SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) AS what
				FROM information_schema.columns WHERE table_schema = $1
			UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = $1
			UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = $1::regnamespace
			UNION ALL SELECT 'version ' || version FROM x.migrations) AS all_of_it`, h.schema), h.schema, "x")
	}
	opened, applied, mixed := newHome(t), newHome(t), newHome(t)
	_ = opened.open().Close()
	all, err := postgres.Migrations(applied.schema)
	must(t, err)
	applied.apply(all)
	all, err = postgres.Migrations(mixed.schema)
	must(t, err)
	mixed.apply(all[:2])
	_ = mixed.open().Close()
	want := shape(opened)
	for name, h := range map[string]*home{"applied": applied, "mixed": mixed} {
		if got := shape(h); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
	if !slices.IsSortedFunc(all, func(a, b postgres.Migration) int { return a.Version - b.Version }) || all[0].Version != 1 {
		t.Error("the versions are not 1 and up")
	}
	_, err = postgres.Migrations(`a"; DROP`)
	wantRefused(t, err, postgres.BadSchema)

	again := errors.New("")
	mixed.with(func(ctx context.Context, conn *pgx.Conn) error {
		_, again = conn.Exec(ctx, all[3].SQL)
		return nil
	})
	if again == nil {
		t.Error("a migration was applied twice")
	}
}
