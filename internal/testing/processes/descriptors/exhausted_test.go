//go:build unix

package descriptors_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
	"github.com/tokenward/tokenward/store/postgres"
	"github.com/tokenward/tokenward/store/redis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The test program is its own second process, with these in its environment: where the provider and the store are.
const (
	issuerEnv = "TOKENWARD_DESCRIPTORS_ISSUER"
	storeEnv  = "TOKENWARD_DESCRIPTORS_STORE"
)

// limit is how many descriptors the second process may have.
const limit = 64

const patience = 30 * time.Second

// A process without descriptors answers with typed errors, is not ready, and goes on once it has some again.
func TestExhausted(t *testing.T) {
	if issuer := os.Getenv(issuerEnv); issuer != "" {
		t.Run(strings.SplitN(t.Name(), "/", 2)[0], func(t *testing.T) { exhaust(t, issuer, os.Getenv(storeEnv)) })
		return
	}
	for name, where := range map[string]func(t *testing.T) string{
		"bolt":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "sessions.db") },
		"redis":    func(t *testing.T) string { return servers.NewRedis(t, servers.RedisConfig{}).URL() },
		"postgres": func(t *testing.T) string { return servers.NewPostgres(t, servers.NoFsync()).URL("postgres") },
	} {
		t.Run(name, func(t *testing.T) {
			at := where(t)
			tenant := idptest.NewTenant(t, idptest.WithClient("demo", "demo-secret"))
			exe, err := os.Executable()
			must(t, err)
			child := exec.Command(exe, "-test.run=^TestExhausted$", "-test.v")
			child.Env = append(os.Environ(), issuerEnv+"="+tenant.Issuer(), storeEnv+"="+at)
			if said, err := child.CombinedOutput(); err != nil {
				t.Errorf("the process without descriptors: %v\n%s", err, said)
			}
		})
	}
}

// opened is a store, and what takes its connections away; nil where it needs none.
type opened struct {
	store.StateStore
	cut func(context.Context) error
}

func open(t *testing.T, at string) opened {
	t.Helper()
	switch {
	case strings.HasPrefix(at, "redis"):
		s, err := redis.Open(t.Context(), at)
		must(t, err)
		t.Cleanup(func() { _ = s.Close() })
		o, err := goredis.ParseURL(at)
		must(t, err)
		o.Protocol = 2
		admin := goredis.NewClient(o)
		t.Cleanup(func() { _ = admin.Close() })
		cut := func(ctx context.Context) error {
			return errors.Join(admin.ClientKillByFilter(ctx, "type", "normal", "skipme", "yes").Err(), admin.ClientKillByFilter(ctx, "type", "pubsub").Err())
		}
		must(t, admin.Ping(t.Context()).Err())
		return opened{s, cut}
	case strings.HasPrefix(at, "postgres"):
		s, err := postgres.Open(t.Context(), at)
		must(t, err)
		t.Cleanup(func() { _ = s.Close() })
		admin, err := pgx.Connect(t.Context(), at)
		must(t, err)
		t.Cleanup(func() { _ = admin.Close(context.Background()) })
		return opened{s, func(ctx context.Context) error {
			_, err := admin.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
			return err
		}}
	}
	s, err := bolt.Open(at)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return opened{s, nil}
}

func exhaust(t *testing.T, issuer, at string) {
	allow(t, limit)
	s := open(t, at)
	web := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	client := newClient(t, issuer, s.StateStore, web)
	id := login(t, client, web)
	must(t, client.Ready(t.Context()))
	cold := newClient(t, issuer, store.NewMemory(nil), web) // knows nothing of the provider yet
	ask := func(audience string) error {
		_, err := client.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: audience}, tokenward.SessionID(id))
		return err
	}
	must(t, ask("https://first.example"))

	allow(t, none)
	want := tokenward.Code("refresh_token_error")
	if s.cut != nil {
		must(t, s.cut(t.Context()))
		await.Eventually(t, "the store's connections are gone, and there is no other", func() bool {
			err := client.Ready(t.Context())
			return err != nil && strings.Contains(err.Error(), syscall.EMFILE.Error())
		})
		want = "store_error" // for the lease comes first
	}
	err := ask("https://second.example")
	if tokenward.CodeOf(err) != want || !strings.Contains(err.Error(), syscall.EMFILE.Error()) {
		t.Errorf("GetAccessToken: err = %v, want %s, for there are too many open files", err, want)
	}
	must(t, ask("https://first.example")) // from memory
	var not *tokenward.NotReadyError
	if err := client.Ready(t.Context()); s.cut != nil && (!errors.As(err, &not) || not.Store == nil) {
		t.Errorf("Ready: err = %v, want that the store is not", err)
	}
	if err := cold.Ready(t.Context()); !errors.As(err, &not) || not.Provider == nil || !strings.Contains(err.Error(), syscall.EMFILE.Error()) {
		t.Errorf("Ready of a client that has not asked the provider yet: err = %v, want that the provider is not", err)
	}
	_, err = cold.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.SessionID("x"))
	if tokenward.CodeOf(err) != "metadata_error" {
		t.Errorf("StartInteractiveLogin: err = %v, want metadata_error", err)
	}

	allow(t, limit)
	await.Eventually(t, "it is ready again", func() bool { return client.Ready(t.Context()) == nil && cold.Ready(t.Context()) == nil })
	await.Eventually(t, "tokens are to be had again", func() bool { return ask("https://second.example") == nil })
	login(t, cold, web)
	if n := client.Stats().Failures; n != 0 {
		t.Errorf("%d defects", n)
	}
}

func newClient(t *testing.T, issuer string, s store.StateStore, web *http.Client) *tokenward.Client {
	t.Helper()
	c, err := tokenward.New(tokenward.Config{
		Issuer: issuer, ClientID: "demo", ClientSecret: "demo-secret", Secrets: []string{rand.Text() + rand.Text()},
		RedirectURI: "http://127.0.0.1/callback",
	}, tokenward.WithStateStore(s), tokenward.WithHTTPClient(web), tokenward.WithLogger(zap.NewNop()))
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), patience)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

// login signs the provider's user in.
func login(t *testing.T, c *tokenward.Client, web *http.Client) string {
	t.Helper()
	to, err := c.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
	must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
	must(t, err)
	resp, err := web.Do(req)
	must(t, err)
	_ = resp.Body.Close()
	res, err := c.CompleteInteractiveLogin(t.Context(), resp.Header.Get("Location"), tokenward.StoreOptions{})
	must(t, err)
	return res.SessionID
}

// none are the descriptors that every process has: there is no other to be had.
const none = 3

// allow sets how many descriptors this process may have. Those that are open stay so.
func allow(t *testing.T, n uint64) {
	t.Helper()
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: limit}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
