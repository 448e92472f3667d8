package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/testing/servers"
)

// The servers are for every test that leaves them as they are.
var (
	theRedis    = servers.SharedRedis{Config: servers.RedisConfig{Args: []string{"--databases", "10000"}}} // tests may run many times
	thePostgres servers.SharedPostgres
)

// database is the one of theRedis that was handed out last.
var database atomic.Int32

func redisURL(t *testing.T) string {
	t.Helper()
	return strings.TrimSuffix(theRedis.Get(t).URL(), "/0") + fmt.Sprint("/", database.Add(1))
}

// eachServer tells story once for each kind of server that is installed here, with where
// to find an empty database.
func eachServer(t *testing.T, story func(t *testing.T, store string)) {
	t.Run("redis", func(t *testing.T) { story(t, redisURL(t)) })
	t.Run("postgres", func(t *testing.T) { story(t, thePostgres.Get(t).NewDatabase(t)) })
}

// town is a tenant in a process of its own, and demos in other processes, which all know it.
type town struct {
	t      *testing.T
	issuer string
	client *http.Client
	tenant *process
	demos  []*demo
}

// newTown starts the tenant. The test closes what it returns.
func newTown(t *testing.T) *town {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	tenant, said := startProcess(t, nil, "-tenant", "127.0.0.1:0")
	issuer, ok := strings.CutPrefix(said, "tenant on ")
	if !ok {
		t.Fatalf("the tenant says %q", said)
	}
	return &town{t: t, issuer: issuer, tenant: tenant, client: &http.Client{
		Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// close ends everybody in order.
func (w *town) close() {
	w.t.Helper()
	w.client.CloseIdleConnections()
	for _, d := range w.demos {
		d.stop()
	}
	if rest := w.tenant.end(w.t, syscall.SIGTERM); rest != "" {
		w.t.Errorf("the tenant: %q, want nothing said and exit 0", rest)
	}
}

// demo is one application in a process of its own.
type demo struct {
	*site
	process *process
	over    bool
}

func (w *town) demo(store, secrets string) *demo {
	w.t.Helper()
	p, said := startProcess(w.t, nil, "-listen", "127.0.0.1:0", "-issuer", w.issuer, "-client-id", demoID, "-client-secret", demoSecret,
		"-secret", secrets, "-store", store)
	at, ok := strings.CutPrefix(said, "listening on ")
	if !ok {
		w.t.Fatalf("the demo says %q", said)
	}
	d := &demo{site: &site{t: w.t, url: at, tenant: idptest.NewTenant(w.t), client: w.client}, process: p}
	w.demos = append(w.demos, d)
	return d
}

// stop ends the demo in order and returns what it said.
func (d *demo) stop() (said string) {
	d.t.Helper()
	if d.over {
		return ""
	}
	d.over = true
	said = d.process.end(d.t, syscall.SIGTERM)
	if strings.Contains(said, "exit status") {
		d.t.Errorf("the demo ends with %s", said)
	}
	return said
}

// signIn signs in and returns the session's cookie.
func (d *demo) signIn() (header []string) {
	d.t.Helper()
	to := d.want(d.get("/auth/login"), http.StatusFound, "")
	transaction := to.Cookies()[0]
	back := d.want(d.get(to.Header.Get("Location")), http.StatusFound, "").Header.Get("Location")
	done := d.want(d.do(http.MethodGet, back, "Cookie", transaction.Name+"="+transaction.Value), http.StatusFound, "")
	for _, c := range done.Cookies() {
		if c.Name == "_a0_session" {
			return []string{"Cookie", c.Name + "=" + c.Value}
		}
	}
	d.t.Fatal("no session cookie was set")
	return nil
}

// token asks for a token for audience.
func (d *demo) token(audience string, cookie []string) string {
	d.t.Helper()
	a := d.want(d.do(http.MethodGet, "/api/token?audience="+url.QueryEscape(audience), cookie...), http.StatusOK, "")
	token, _ := a.body["access_token"].(string)
	return token
}

var flightsLine = regexp.MustCompile(`(?m)^tokenward_token_flights_total ([0-9]+)$`)

// flights returns how many requests have spent a refresh token, over all demos.
func flights(demos ...*demo) (sum int) {
	for _, d := range demos {
		d.t.Helper()
		found := flightsLine.FindStringSubmatch(d.want(d.get("/metrics"), http.StatusOK, "").text)
		if found == nil {
			d.t.Fatal("/metrics tells no tokenward_token_flights_total")
		}
		n, _ := strconv.Atoi(found[1])
		sum += n
	}
	return sum
}

// Two demos share a store: a burst in both at once, for one session, costs one refresh.
func TestShared_oneRefresh(t *testing.T) {
	eachServer(t, func(t *testing.T, store string) {
		w := newTown(t)
		defer w.close()
		demos := []*demo{w.demo(store, sealing), w.demo(store, sealing)}
		cookie := demos[0].signIn()
		demos[1].want(demos[1].do(http.MethodGet, "/api/user", cookie...), http.StatusOK, "")
		before := flights(demos...)
		for round := range 3 {
			audience := fmt.Sprint("https://api-", round, ".example")
			answers := make([]answer, len(demos))
			var all sync.WaitGroup
			for i, d := range demos {
				all.Go(func() {
					answers[i] = d.do(http.MethodPost, "/api/burst?n=300&audience="+url.QueryEscape(audience), cookie...)
				})
			}
			all.Wait()
			for i, a := range answers {
				demos[i].want(a, http.StatusOK, "")
				if a.body["ok"] != 300.0 || a.body["distinct_tokens"] != 1.0 {
					t.Errorf("burst in demo %d: %s", i, a.text)
				}
			}
			if got := flights(demos...) - before; got != round+1 {
				t.Errorf("refreshes by %d bursts in two demos = %d, want %d", round+1, got, round+1)
			}
			if demos[0].token(audience, cookie) != demos[1].token(audience, cookie) {
				t.Error("the demos have different tokens")
			}
		}
		// What one ends is over in the other.
		demos[1].want(demos[1].do(http.MethodGet, "/auth/logout", cookie...), http.StatusFound, "")
		await(t, "the other demo to hear of the logout", func() bool {
			return demos[0].do(http.MethodGet, "/api/user", cookie...).StatusCode == http.StatusUnauthorized
		})
	})
}

// await asks again and again until yes.
func await(t *testing.T, what string, yes func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	defer cancel()
	for !yes() {
		if ctx.Err() != nil {
			t.Fatalf("in vain waited for: %s", what)
		}
	}
}

// A session outlives its demo where the store does.
func TestRestart_theSessionIsStillThere(t *testing.T) {
	t.Run("bolt", func(t *testing.T) { restart(t, "bolt:"+filepath.Join(t.TempDir(), "sessions.db")) })
	eachServer(t, restart)
}

func restart(t *testing.T, store string) {
	w := newTown(t)
	defer w.close()
	d := w.demo(store, sealing)
	cookie := d.signIn()
	kept := d.token("https://a.example", cookie)
	if said := d.stop(); strings.Contains(said, `"level":"error"`) {
		t.Errorf("at its end it says %s", said)
	}
	d = w.demo(store, sealing)
	d.want(d.do(http.MethodGet, "/api/user", cookie...), http.StatusOK, "")
	if d.token("https://a.example", cookie) != kept {
		t.Error("the token that was in the cache is not there any more")
	}
	d.token("https://b.example", cookie)
	if n := flights(d); n != 1 {
		t.Errorf("refreshes = %d, want 1", n)
	}
}

// A demo that was not given the secret under which a record is sealed: there is no session,
// the record stays, and log and readiness say so.
func TestShared_recordsThatNoSecretOpens(t *testing.T) {
	const older = "an older secret of thirty-two bytes or more"
	eachServer(t, func(t *testing.T, store string) {
		w := newTown(t)
		defer w.close()
		first := w.demo(store, sealing+","+older)
		cookies := [][]string{first.signIn(), first.signIn(), first.signIn()}
		// The older secret seals the records next, and the browsers' cookies stay.
		second := w.demo(store, older+","+sealing)
		for _, c := range cookies {
			second.token("https://a.example", c)
		}
		third := w.demo(store, sealing)
		third.want(third.get("/readyz"), http.StatusOK, "")
		for range 2 {
			for _, c := range cookies {
				a := third.want(third.do(http.MethodGet, "/api/user", c...), http.StatusUnauthorized, "no_session")
				if len(a.Cookies()) > 0 {
					t.Errorf("it sets cookies: %v", a.Cookies())
				}
			}
		}
		a := third.want(third.get("/readyz"), http.StatusServiceUnavailable, "store_error")
		if fmt.Sprint(a.body["not_ready"]) != "[store]" {
			t.Errorf("readyz: %s", a.text)
		}
		for _, c := range cookies {
			second.want(second.do(http.MethodGet, "/api/user", c...), http.StatusOK, "")
			second.token("https://b.example", c)
		}
		said := third.stop()
		lines := 0
		for line := range strings.Lines(said) {
			if strings.Contains(line, "cannot be read; they count as no session") {
				lines++
				if !strings.Contains(line, `"count":1`) {
					t.Errorf("the line has no count: %s", line)
				}
			}
		}
		if lines != 1 {
			t.Errorf("lines of the log = %d, want 1: %s", lines, said)
		}
	})
}

// A store that cannot be had: one line without the password, exit 2, and nothing changed.
func TestStore_thatCannotBeHad(t *testing.T) {
	nobody, err := servers.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("wrong URL", func(t *testing.T) {
		for _, store := range []string{
			"redis://:canary-redis@[::1", "redis://:canary-redis@127.0.0.1:1/database", "rediss://:canary redis@127.0.0.1:1/0",
			"postgres://ada:canary@pg@127.0.0.1/x", "postgres://ada:canary@127.0.0.1:port/x", "postgresql://ada:can/ary@127.0.0.1/x",
		} {
			refusedStore(t, store, "bad_url", "canary", "can/ary")
		}
	})
	t.Run("unreachable", func(t *testing.T) {
		refusedStore(t, "redis://:canary@"+nobody+"/0", nobody, "canary")
		refusedStore(t, "postgres://ada:canary@"+nobody+"/x?sslmode=disable", nobody, "canary")
	})
	t.Run("wrong password, redis", func(t *testing.T) {
		r := servers.NewRedis(t, servers.RedisConfig{Password: "the-right-one"})
		refusedStore(t, strings.Replace(r.URL(), "the-right-one", "canary", 1), "denied", "canary")
		refusedStore(t, strings.Replace(r.URL(), ":the-right-one@", "", 1), "denied")
		if keys := redisKeys(t, r.URL()); keys != "" {
			t.Errorf("it has written %s", keys)
		}
	})
	t.Run("wrong password, postgres", func(t *testing.T) {
		store := thePostgres.Get(t).NewDatabase(t)
		refusedStore(t, strings.Replace(store, thePostgres.Get(t).Password(), "canary", 1), "assword", "canary")
		if tables := postgresTables(t, store); tables != "" {
			t.Errorf("it has made %s", tables)
		}
	})
	t.Run("newer format, redis", func(t *testing.T) {
		store := redisURL(t)
		withRedis(t, store, func(ctx context.Context, c *goredis.Client) error {
			return c.Set(ctx, "tokenward:format", "1000", 0).Err()
		})
		before := redisKeys(t, store)
		refusedStore(t, store, "1000")
		if after := redisKeys(t, store); after != before {
			t.Errorf("it has changed %s into %s", before, after)
		}
	})
	t.Run("newer schema, postgres", func(t *testing.T) {
		store := thePostgres.Get(t).NewDatabase(t)
		withPostgres(t, store, func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, `CREATE SCHEMA tokenward; CREATE TABLE tokenward.migrations (version integer PRIMARY KEY);
				INSERT INTO tokenward.migrations VALUES (1000)`)
			return err
		})
		before := postgresTables(t, store)
		refusedStore(t, store, "1000", thePostgres.Get(t).Password())
		if after := postgresTables(t, store); after != before {
			t.Errorf("it has changed %s into %s", before, after)
		}
	})
}

// refusedStore starts the demo with a store that it cannot have. It says says, and nothing
// of the secrets.
func refusedStore(t *testing.T, store, says string, secrets ...string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{
		"-listen", "127.0.0.1:0", "-issuer", "http://127.0.0.1:1/", "-client-id", "c", "-client-secret", "s", "-secret", sealing, "-store", store,
	}, noEnvironment, &stdout, &stderr)
	said := stderr.String()
	if code != exitUsage || strings.Count(said, "\n") != 1 || !strings.Contains(said, says) || !strings.Contains(said, "-store") || stdout.Len() > 0 {
		t.Errorf("exit %d, stdout %q, stderr %q; want %d and one line that says -store and %q", code, stdout.String(), said, exitUsage, says)
	}
	for _, s := range secrets {
		if strings.Contains(said, s) {
			t.Errorf("it gives the password away: %s", said)
		}
	}
}

func withRedis(t *testing.T, url string, do func(context.Context, *goredis.Client) error) {
	t.Helper()
	o, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.Protocol = 2
	c := goredis.NewClient(o)
	defer func() { _ = c.Close() }()
	if err := do(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// redisKeys lists the keys of a database, each with its value.
func redisKeys(t *testing.T, url string) (all string) {
	t.Helper()
	withRedis(t, url, func(ctx context.Context, c *goredis.Client) error {
		keys, err := c.Keys(ctx, "*").Result()
		for _, k := range keys {
			all += k + "=" + c.Dump(ctx, k).Val() + " "
		}
		return err
	})
	return all
}

func withPostgres(t *testing.T, url string, do func(context.Context, *pgx.Conn) error) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	if err := do(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// postgresTables tells what a database holds of ours.
func postgresTables(t *testing.T, url string) (all string) {
	t.Helper()
	withPostgres(t, url, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT coalesce(string_agg(format('%s.%s(%s)', table_schema, table_name, column_name), ' ' ORDER BY table_name, column_name), '')
			FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')`).Scan(&all)
	})
	return all
}
