package postgres_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
)

func TestOpen_severalAtOnceMigrateOnce(t *testing.T) {
	h := newHome(t)
	stores := make([]*postgres.Store, 8)
	errs := make([]error, len(stores))
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() { stores[i], errs[i] = postgres.Open(t.Context(), h.url, postgres.Schema(h.schema)) })
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	for i, s := range stores {
		t.Cleanup(func() { _ = s.Close() })
		key := keyOf(i)
		must(t, s.Replace(t.Context(), key, record(), store.Options{}))
		_, err := stores[0].Load(t.Context(), key, store.Options{})
		must(t, err)
	}
	if got := query[[]int32](h, "SELECT array_agg(version ORDER BY version) FROM x.migrations"); fmt.Sprint(got) != "[1 2 3 4]" {
		t.Errorf("migrations applied: %v, want each once", got)
	}
}

func TestOpen_goesOnWhereAnEarlierReleaseStopped(t *testing.T) {
	h := newHome(t)
	_ = h.open().Close()
	h.exec(`DELETE FROM x.migrations WHERE version >= 2;
		ALTER TABLE x.intents DROP COLUMN tries, DROP COLUMN next;
		ALTER TABLE x.sessions DROP COLUMN connections, DROP COLUMN gone_incarnation,
			DROP COLUMN remainder_version, DROP COLUMN remainder, DROP COLUMN remainder_until, DROP COLUMN used;
		DROP INDEX x.sessions_listed;
		DO $$ DECLARE f regprocedure; BEGIN
			FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = '` + h.schema + `'::regnamespace LOOP
				EXECUTE 'DROP FUNCTION ' || f;
			END LOOP;
		END $$`)
	must(t, h.open().Replace(t.Context(), keyOf(1), record(), store.Options{}))
}

func TestOpen_refusesANewerSchemaAndLeavesIt(t *testing.T) {
	h := newHome(t)
	_ = h.open().Close()
	h.exec("INSERT INTO x.migrations (version) VALUES (99)")
	before := h.catalog()
	_, err := postgres.Open(t.Context(), h.url, postgres.Schema(h.schema))
	wantRefused(t, err, postgres.NewerSchema)
	if after := h.catalog(); after != before {
		t.Errorf("the schema was changed:\n%s\nwas\n%s", after, before)
	}
}

func TestOpen_refusesAnOlderServer(t *testing.T) {
	h := newHome(t)
	_, err := postgres.Open(t.Context(), h.url, postgres.Schema(h.schema), postgres.OldestServer(99))
	wantRefused(t, err, postgres.TooOld)
	if query[bool](h, "SELECT to_regnamespace($1) IS NOT NULL", h.schema) {
		t.Error("the schema was made all the same")
	}
}

func TestOpen_refusesAStandby(t *testing.T) {
	standby := servers.NewPostgres(t)
	standby.Stop()
	must(t, os.WriteFile(filepath.Join(standby.DataFolder(), "standby.signal"), nil, 0o600))
	must(t, standby.Restart())
	_, err := postgres.Open(t.Context(), standby.URL("postgres"))
	wantRefused(t, err, postgres.Standby)
}

func TestOpen_refusesASchemaNameThatIsNone(t *testing.T) {
	h := newHome(t)
	for _, name := range []string{"", "Upper", "with space", `quo"te`, "1st", strings.Repeat("a", 49), "a;drop", "ü"} {
		_, err := postgres.Open(t.Context(), h.url, postgres.Schema(name))
		wantRefused(t, err, postgres.BadSchema)
	}
}

func TestOpen_errorsCarryNoPassword(t *testing.T) {
	h := newHome(t)
	closed, err := servers.FreeAddr()
	must(t, err)
	secret := "s3cr3t" + rand.Text()
	good, err := url.Parse(h.url)
	must(t, err)
	with := func(change func(u *url.URL)) string {
		u := *good
		u.User = url.UserPassword(good.User.Username(), secret)
		change(&u)
		return u.String()
	}
	addr := h.server.Addr()
	tests := []struct {
		name, url string
		why       postgres.Refusal
	}{
		{"wrong password", with(func(*url.URL) {}), postgres.Denied},
		{"unknown user", with(func(u *url.URL) { u.User = url.UserPassword("nobody", secret) }), postgres.Denied},
		{"nobody listens", with(func(u *url.URL) { u.Host = closed }), postgres.Unreachable},
		{"nobody listens on two", with(func(u *url.URL) { u.Host = closed + "," + closed }), postgres.Unreachable},
		{"no such host", with(func(u *url.URL) { u.Host = "host.invalid:5432" }), postgres.Unreachable},
		{"no TLS that is trusted", with(func(u *url.URL) { u.RawQuery = "sslmode=verify-full" }), postgres.Unreachable},
		{"no such database", strings.Replace(h.url, "/postgres?", "/missing?", 1), postgres.Failed},
		{"unknown parameter", h.url + "&nonsense=1", postgres.Failed},
		{"another scheme", with(func(u *url.URL) { u.Scheme = "mysql" }), postgres.BadURL},
		{"empty port", "postgres://user:" + secret + "@" + "127.0.0.1:port/postgres", postgres.BadURL},
		{"unknown sslmode", with(func(u *url.URL) { u.RawQuery = "sslmode=maybe" }), postgres.BadURL},
		{"missing root", with(func(u *url.URL) { u.RawQuery = "sslmode=verify-full&sslrootcert=/missing" }), postgres.BadURL},
		{"too many connections", with(func(u *url.URL) { u.RawQuery = "pool_max_conns=0" }), postgres.BadURL},
		{"an @ in the password", "postgres://user:a@" + secret + "@" + addr + "/postgres", postgres.BadURL},
		{"a / in the password", "postgres://user:a/" + secret + "@" + addr + "/postgres", postgres.BadURL},
		{"a number and a / in the password", "postgres://user:1/" + secret + "@" + addr + "/postgres", postgres.BadURL},
		{"a ? in the password", "postgres://user:1?" + secret + "@" + addr + "/postgres?sslmode=disable", postgres.Denied},
		{"a # in the password", "postgres://user:1#" + secret + "@" + addr + "/postgres?sslmode=disable", postgres.Denied},
		{"words, not a URL", "host=127.0.0.1 password='" + secret, postgres.BadURL},
		{"words, with another scheme", "mysql://user:" + secret + "@host/db?a=b", postgres.BadURL},
		{"no host", "postgres://:" + secret + "@:1/", postgres.Unreachable},
		{"no URL at all", secret, postgres.BadURL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := postgres.Open(t.Context(), tt.url, postgres.Schema(h.schema))
			wantRefused(t, err, tt.why)
			for e := err; e != nil; e = errors.Unwrap(e) {
				if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, secret) {
					t.Errorf("an error quotes the password: %s", text)
				}
			}
		})
	}
	if query[bool](h, "SELECT to_regnamespace($1) IS NOT NULL", h.schema) {
		t.Error("an Open that failed made the schema")
	}
}

// A database that prefers another isolation would make functions read an older state, from before
// they waited for a lock.
func TestOpen_bringsItsOwnIsolation(t *testing.T) {
	h := newHome(t)
	h.url = h.server.NewDatabase(t)
	h.exec("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET default_transaction_isolation = serializable'; END $$")
	stores := []*postgres.Store{h.open(), h.open()}
	key := keyOf(1)
	must(t, stores[0].Replace(t.Context(), key, record(), store.Options{}))
	addAll(t, stores, key, 30)
}

func TestOpen_overTLS(t *testing.T) {
	h := newHome(t)
	_ = h.open().Close()
	h.url = strings.Replace(h.url, "sslmode=disable", "sslmode=verify-full&sslrootcert="+url.QueryEscape(h.server.CertificateFile()), 1) +
		"&application_name=" + h.schema
	s := h.open()
	must(t, s.Replace(t.Context(), keyOf(1), record(), store.Options{}))
	if !query[bool](h, "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = $1", h.schema) {
		t.Error("not every connection of the store is encrypted")
	}
}

func TestOpen_endsWithItsContext(t *testing.T) {
	h := newHome(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := postgres.Open(ended, h.url, postgres.Schema(h.schema)); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want %v", err, context.Canceled)
	}

	// The process that migrates is slow, and another one gives up.
	h.exec("SELECT pg_advisory_lock($1::bigint)", postgres.LockNumber(h.schema))
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := postgres.Open(ctx, h.url, postgres.Schema(h.schema))
		failed <- err
	}()
	await.Eventually(t, "Open waits for the lock", func() bool {
		return query[bool](h, "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)")
	})
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want %v", err, context.Canceled)
	}
}

func wantRefused(t testing.TB, err error, why postgres.Refusal) {
	t.Helper()
	var refused *postgres.OpenError
	if !errors.As(err, &refused) || refused.Why != why {
		t.Errorf("Open: err = %v, want %s", err, why)
	}
}

// catalog is what the server knows of the schema.
func (h *home) catalog() string {
	h.t.Helper()
	return query[string](h, `SELECT string_agg(what, E'\n' ORDER BY what) FROM (
		SELECT format('%s %s', relname, relfilenode) AS what FROM pg_class WHERE relnamespace = $1::regnamespace
		UNION ALL SELECT format('%s %s', proname, xmin) FROM pg_proc WHERE pronamespace = $1::regnamespace
		UNION ALL SELECT format('%s %s', version, applied_at) FROM x.migrations) AS all_of_it`, h.schema)
}

// One user sets the schema up; another one may use it, and has no right to more.
func TestOpen_asAUserWhoMayOnlyUseIt(t *testing.T) {
	h := newHome(t)
	_ = h.open().Close()
	role := h.schema + "_user"
	h.exec("CREATE ROLE " + role + " LOGIN PASSWORD 'p'")
	t.Cleanup(func() { h.exec("DROP OWNED BY " + role + "; DROP ROLE " + role) })
	u, err := url.Parse(h.url)
	must(t, err)
	u.User = url.UserPassword(role, "p")
	_, err = postgres.Open(t.Context(), u.String(), postgres.Schema(h.schema))
	wantRefused(t, err, postgres.Denied)
	_, err = postgres.Open(t.Context(), u.String(), postgres.Schema(h.schema+"_2")) // which it may not make
	wantRefused(t, err, postgres.Denied)

	h.exec("GRANT USAGE ON SCHEMA " + h.schema + " TO " + role)
	h.exec("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + h.schema + " TO " + role)
	h.exec("GRANT USAGE ON ALL SEQUENCES IN SCHEMA " + h.schema + " TO " + role)
	s, err := postgres.Open(t.Context(), u.String(), postgres.Schema(h.schema))
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	lives(t, s)
}
