package postgres_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
)

// many is how many callers there are at once where a refusal must not cost each of them much.
const many = 200

// all has each of many callers write, and returns what the calls said.
func all(t *testing.T, s *postgres.Store) []error {
	t.Helper()
	errs := make([]error, many)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = s.Replace(t.Context(), keyOf(i), record(), store.Options{}) })
	}
	wg.Wait()
	return errs
}

func wantNotServing(t *testing.T, doing string, err error, why store.NotServing, says ...string) {
	t.Helper()
	var failed *postgres.Error
	if !errors.Is(err, &store.NotServingError{Why: why}) || !errors.As(err, &failed) {
		t.Errorf("%s: err = %v, want an Error: %s", doing, err, why)
		return
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: err = %v, want it to name %q", doing, err, text)
		}
	}
}

// A database that takes no writes says so, and is not asked by each caller again and again over
// new connections: it may be another server by now, so one caller looks, once a second.
func TestReadOnly_everyCallerIsToldAtOnce(t *testing.T) {
	h := newHome(t)
	h.url = h.server.NewDatabase(t)
	frozen := clock.NewFake(clock.System().Now())
	s := h.open(postgres.PoolSize(4), postgres.Clock(frozen))
	must(t, errors.Join(all(t, s)...))
	must(t, s.Check(t.Context()))
	set := func(to string) {
		h.exec("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET default_transaction_read_only = " + to + "'; END $$")
		// What exists keeps its setting.
		h.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		await.Eventually(t, "no connection with the setting of before is left", func() bool {
			return query[int](h, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") == 1
		})
		_, _ = s.Load(t.Context(), keyOf(1), store.Options{}) // the pool notices
	}
	var dials atomic.Int64
	s.CountDials(&dials)

	set("on")
	for range 2 {
		for _, err := range all(t, s) {
			wantNotServing(t, "Replace", err, store.ReadOnly, "primary")
		}
	}
	if n := dials.Load(); n > 20 {
		t.Errorf("%d connections were made for %d callers", n, 2*many)
	}
	wantNotServing(t, "Check", s.Check(t.Context()), store.ReadOnly, "primary")
	_, err := s.Load(t.Context(), keyOf(1), store.Options{})
	must(t, err) // reads go on

	h.exec("SET default_transaction_read_only = off")
	set("off")
	must(t, errors.Join(all(t, s)...))
	must(t, s.Check(t.Context()))
}

// A primary that comes back as a standby is found out by one caller a second, not by each. Once it is
// promoted the next who looks is served.
func TestStandby_everyCallerIsToldAtOnce(t *testing.T) {
	server := servers.NewPostgres(t, servers.NoFsync())
	frozen := clock.NewFake(clock.System().Now())
	s, err := postgres.Open(t.Context(), server.URL("postgres"), postgres.PoolSize(4), postgres.Clock(frozen))
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	must(t, errors.Join(all(t, s)...))
	var dials atomic.Int64
	s.CountDials(&dials)

	server.Stop()
	must(t, os.WriteFile(filepath.Join(server.DataFolder(), "standby.signal"), nil, 0o600))
	must(t, server.Restart())
	await.Eventually(t, "the store sees the standby", func() bool {
		return errors.Is(s.Check(t.Context()), &store.NotServingError{Why: store.ReadOnly})
	})
	dials.Store(0)
	for _, err := range all(t, s) {
		wantNotServing(t, "Replace", err, store.ReadOnly, "standby", "primary")
	}
	if n := dials.Load(); n > 0 {
		t.Errorf("%d connections were tried within the second, want none", n)
	}
	frozen.Advance(2 * time.Second)
	for _, err := range all(t, s) {
		wantNotServing(t, "Replace", err, store.ReadOnly, "standby", "primary")
	}
	if n := dials.Load(); n > 2 { // and what the pool does by itself
		t.Errorf("%d connections were tried in another second, want one", n)
	}
	must(t, server.Exec("SELECT pg_promote()"))
	frozen.Advance(2 * time.Second)
	must(t, s.Replace(t.Context(), keyOf(1), record(), store.Options{}))
	must(t, errors.Join(all(t, s)...))
}

func TestCheck_namesWhatIsMissingUntilItIsBack(t *testing.T) {
	h := newHome(t)
	s := h.open()
	key, rec := keyOf(1), record()
	must(t, s.Replace(t.Context(), key, rec, store.Options{}))
	tests := []struct{ name, lose, restore, says string }{
		{"the schema", "ALTER SCHEMA %s RENAME TO %s_away", "ALTER SCHEMA %s_away RENAME TO %s", "no schema "},
		{"a table", "ALTER TABLE x.sessions RENAME TO away", "ALTER TABLE x.away RENAME TO sessions", "lacks sessions"},
		{"a table that no Load reads", "ALTER TABLE x.intents RENAME TO away", "ALTER TABLE x.away RENAME TO intents", "lacks intents"},
		{"a sequence", "ALTER SEQUENCE x.lease_epochs RENAME TO away", "ALTER SEQUENCE x.away RENAME TO lease_epochs", "lacks lease_epochs"},
		{"a function", "ALTER FUNCTION x.collect RENAME TO away", "ALTER FUNCTION x.away RENAME TO collect", "lacks collect"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			must(t, s.Check(t.Context()))
			h.exec(strings.ReplaceAll(tt.lose, "%s", h.schema))
			wantNotServing(t, "Check", s.Check(t.Context()), store.Incomplete, tt.says, h.schema)
			h.exec(strings.ReplaceAll(tt.restore, "%s", h.schema))
			must(t, s.Check(t.Context()))
			lives(t, s)
		})
	}
}

// Dropped sessions are gone. A process that starts sets the schema up anew, and those that run go on with it.
func TestDroppedSchema_isNamedByEveryCallAndUsedAgainOnceItIsBack(t *testing.T) {
	h := newHome(t)
	s := h.open()
	key := keyOf(1)
	must(t, s.Replace(t.Context(), key, record(), store.Options{}))
	lives(t, s)
	h.exec("DROP SCHEMA " + h.schema + " CASCADE")
	for name, call := range calls(s, key) {
		if name != "watch" { // which needs none of it
			wantNotServing(t, name, call(t.Context()), store.Incomplete, h.schema)
		}
	}
	_ = h.open().Close()
	must(t, s.Check(t.Context()))
	lives(t, s)
	for name, call := range calls(s, key) {
		if name == "watch" {
			continue
		}
		if err := call(t.Context()); err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
