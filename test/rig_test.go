package test_test

import (
	"cmp"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const secret = "a secret of at least thirty-two bytes"

// rig is a client, its tenant and its store, on one fake clock.
type rig struct {
	t      testing.TB
	clock  *clock.Fake
	tenant *idptest.Tenant
	memory *store.Memory
	store  *storetest.Faulty
	client *tokenward.Client
	cfg    tokenward.Config
	log    *watchedLog
	book   *book
}

type rigOption func(*rigConfig)

type rigConfig struct {
	tenant []idptest.Option
	client []tokenward.Option
	config func(*tokenward.Config)
	memory []store.MemoryOption
	start  time.Time
}

func withTenant(o ...idptest.Option) rigOption {
	return func(c *rigConfig) { c.tenant = append(c.tenant, o...) }
}

func withClient(o ...tokenward.Option) rigOption {
	return func(c *rigConfig) { c.client = append(c.client, o...) }
}

func withConfig(f func(*tokenward.Config)) rigOption { return func(c *rigConfig) { c.config = f } }

func newRig(t testing.TB, opts ...rigOption) *rig {
	t.Helper()
	rc := rigConfig{start: t0, config: func(*tokenward.Config) {}}
	for _, o := range opts {
		o(&rc)
	}
	r := &rig{t: t, clock: clock.NewFake(rc.start)}
	r.tenant = idptest.NewTenant(t, append([]idptest.Option{idptest.WithClock(r.clock), idptest.WithClient("demo", "demo-secret")}, rc.tenant...)...)
	r.memory = store.NewMemory(r.clock, rc.memory...)
	r.store = storetest.NewFaulty(r.memory)
	r.cfg = tokenward.Config{
		Issuer: r.tenant.Issuer(), ClientID: "demo", ClientSecret: "demo-secret", Secrets: []string{secret},
		RedirectURI: "http://127.0.0.1/callback",
	}
	rc.config(&r.cfg)
	r.log = newWatchedLog(r)
	r.book = newBook()
	t.Cleanup(func() { r.book.check(t) }) // runs when the clients are closed
	r.client = r.newClient(rc.client...)
	r.settle() // its first look at the store is over
	return r
}

// newClient returns one more client on the rig's store. What it logs is watched.
func (r *rig) newClient(opts ...tokenward.Option) *tokenward.Client {
	r.t.Helper()
	c, err := tokenward.New(r.cfg, append([]tokenward.Option{
		tokenward.WithClock(r.clock), tokenward.WithStateStore(r.store), tokenward.WithHTTPClient(r.tenant.Client()),
		withProvider(tokenward.ProviderConfig{}), tokenward.WithLogger(r.log.logger()), tokenward.WithObserver(r.book.observer()),
	}, opts...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.log.knows(r.cfg.ClientSecret)
	r.log.knows(r.cfg.Secrets...)
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			r.t.Errorf("Close: %v", err)
		}
	})
	return c
}

// withProvider is tokenward.WithProvider for a client of a rig, whose logouts lead to Auth0's page unless p says otherwise.
func withProvider(p tokenward.ProviderConfig) tokenward.Option {
	p.EndSession = cmp.Or(p.EndSession, tokenward.Never)
	return tokenward.WithProvider(p)
}

// login signs the tenant's user in and returns the session id.
func (r *rig) login(claims ...idptest.Claims) string {
	r.t.Helper()
	return r.loginAs(tokenward.StoreOptions{}, claims...)
}

func (r *rig) loginAs(o tokenward.StoreOptions, claims ...idptest.Claims) string {
	r.t.Helper()
	res, err := r.tryLogin(o, claims...)
	if err != nil {
		r.t.Fatalf("login: %v", err)
	}
	return res.SessionID
}

func (r *rig) tryLogin(o tokenward.StoreOptions, claims ...idptest.Claims) (*tokenward.LoginResult, error) {
	r.t.Helper()
	ctx := context.Background()
	to, err := r.client.StartInteractiveLogin(ctx, tokenward.LoginRequest{}, o)
	if err != nil {
		r.t.Fatalf("start: %v", err)
	}
	back, err := r.tenant.Authorize(to, claims...)
	if err != nil {
		r.t.Fatalf("authorize: %v", err)
	}
	if !strings.Contains(back, "code=") {
		r.t.Fatalf("no code in %s", back)
	}
	res, err := r.client.CompleteInteractiveLogin(ctx, back, o)
	if res != nil {
		r.log.knows(res.SessionID)
	}
	return res, err
}

func (r *rig) settle() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.client.Settle(ctx); err != nil {
		r.t.Fatalf("settle: %v", err)
	}
}

// advance moves the clock by d, a second at a time, and what each second sets going comes to rest. A move over more would also pass the
// deadline of what a timer on the way has begun: the store or the provider has then answered too late.
func (r *rig) advance(d time.Duration) {
	r.t.Helper()
	for r.settle(); d > 0; d -= time.Second {
		r.clock.Advance(min(d, time.Second))
		r.settle()
	}
}
