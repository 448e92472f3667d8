// Package idptest is a fake identity provider for tests: an Auth0 tenant, or with
// WithProfile one of the providers of Profiles.
//
// A Tenant signs users in without a person, also again right after a logout, rotates refresh tokens, detects when
// one is used again, answers for several audiences and connections, and counts
// what it was asked. A test can make it fail in most ways in which a provider or
// the network between can fail, and hold a request on the wire.
//
//	tenant := idptest.NewTenant(t, idptest.WithClock(clk), idptest.WithDefaultUser("ada"))
//	tenant.SetUser("ada", idptest.Claims{"email": "ada@example.com"})
//	callback, err := tenant.Authorize(loginURL) // as a browser would; ada signs in
//	...
//	tenant.Script(idptest.Refresh, idptest.Status(503))
//	...
//	if n := tenant.Requests(idptest.Refresh); n != 1 { ... }
//
// Who signs in is said by the login's parameter login_hint, a subject or an email; without
// one it is the user of WithDefaultUser, which is Subject unless it says otherwise.
//
// It is reached over loopback HTTP at Issuer, or through Transport, which runs it
// on the caller's goroutine without a socket: inside a testing/synctest bubble
// use InProcess and Transport, for a socket never comes to rest there.
//
// It is made for tests: it knows no passwords, and its keys are not secret.
package idptest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
)

// What a tenant knows when no option says otherwise.
const (
	ClientID     = "client"                     // its one client
	ClientSecret = "client-secret-of-the-tests" // that client's secret
	Subject      = "auth0|ada"                  // its one user
)

// The lifetimes that a tenant gives when no option says otherwise.
const (
	TokenLife           = time.Hour      // of access tokens
	ConnectionTokenLife = time.Hour      // of a connection's tokens
	IDTokenLife         = 10 * time.Hour // of ID tokens, always
	CodeLife            = 10 * time.Minute
)

// Tenant is a fake provider. It is safe for concurrent use.
type Tenant struct {
	clock  clock.Clock
	issuer string           // as ID tokens and, usually, discovery say it
	base   *url.URL         // the issuer
	prefix string           // in place of scheme and host of the profile's addresses; "" in-process
	routes map[string]route // by path
	hosts  map[string]bool  // on which it is reached

	ctx    context.Context // ends with the tenant
	cancel context.CancelFunc
	server *http.Server  // nil without a socket
	addr   string        // that it listens on; empty without a socket
	served chan struct{} // closed when the listener is done
	conns  sync.WaitGroup

	seal []byte // authenticates refresh tokens

	mu        sync.Mutex // guards everything below
	cfg       config
	nextLogin Claims
	codes     map[string]*login
	keys      []signingKey
	newKeys   int // keys ever made
	families  []*family
	bySubject map[string]*family // the newest
	bySID     map[string]*family
	pushed    map[string]pushed
	jtis      map[string]bool // of client assertions that were used
	opaque    map[string]access
	consented map[consent]bool
	script    []*scripted
	healed    chan struct{} // closed by Heal
	holds     []*Hold
	counters  counters
	issued    issued
	signals   transmitter
}

// New starts a tenant. Close ends it. It fails when it cannot listen, or when an
// option makes no sense.
func New(opts ...Option) (*Tenant, error) {
	cfg := defaults()
	for _, o := range opts {
		o(&cfg)
	}
	if cfg.wrong != nil {
		return nil, cfg.wrong
	}
	t := &Tenant{
		clock:     cfg.clock,
		cfg:       cfg,
		seal:      make([]byte, 32),
		codes:     map[string]*login{},
		bySubject: map[string]*family{},
		bySID:     map[string]*family{},
		pushed:    map[string]pushed{},
		jtis:      map[string]bool{},
		opaque:    map[string]access{},
		consented: map[consent]bool{},
		healed:    make(chan struct{}),
		counters:  newCounters(),
	}
	rand.Read(t.seal)
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.addKey()
	if err := t.open(); err != nil {
		t.cancel()
		return nil, err
	}
	return t, nil
}

// NewTenant starts a tenant for one test and closes it when the test ends.
func NewTenant(tb testing.TB, opts ...Option) *Tenant {
	tb.Helper()
	t, err := New(opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(t.Close)
	return t
}

// open settles the issuer, and listens unless the tenant is in-process only.
func (t *Tenant) open() error {
	if t.cfg.inProcess {
		return t.settle("")
	}
	l, err := net.Listen("tcp", t.cfg.address)
	if err != nil {
		return fmt.Errorf("idptest: %w", err)
	}
	if err := t.settle("http://" + l.Addr().String()); err != nil {
		l.Close() //nolint:errcheck // nobody has connected
		return err
	}
	t.serve(l)
	return nil
}

func (t *Tenant) serve(l net.Listener) {
	t.addr = l.Addr().String()
	t.served = make(chan struct{})
	t.server = &http.Server{
		Handler:   http.HandlerFunc(t.serveHTTP),
		ErrorLog:  log.New(io.Discard, "", 0),
		ConnState: t.countConn,
	}
	go func() {
		defer close(t.served)
		t.server.Serve(l) //nolint:errcheck // it ends by Close
	}()
}

// countConn lets Close wait for the goroutines of the connections. One that is taken
// over is counted until takeOver has closed it.
func (t *Tenant) countConn(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		t.conns.Add(1)
		t.connected(1)
	case http.StateClosed:
		t.connected(-1)
		t.conns.Done()
	case http.StateHijacked:
		t.conns.Done()
	}
}

// Close ends the tenant: requests that are under way are cut off, later ones are
// refused. It returns when nothing of the tenant runs any more, save what callers of
// Transport run themselves.
func (t *Tenant) Close() {
	t.cancel()
	if t.server != nil {
		t.server.Close() //nolint:errcheck // nothing is left to lose
		<-t.served
		t.conns.Wait()
	}
}

// Issuer returns the tenant's issuer URL, which ends in a slash unless a profile says
// otherwise. A client finds everything else from there, but for the profiles whose
// Config says more.
func (t *Tenant) Issuer() string { return t.issuer }

// Address returns the host and port that the tenant listens on, whatever its issuer is. It
// is empty when it is in-process only.
func (t *Tenant) Address() string { return t.addr }

// URL returns the absolute URL of a path of the tenant, for example
// URL("/oauth/token").
func (t *Tenant) URL(path string) string {
	return strings.TrimRight(t.issuer, "/") + path
}

// Set applies options to a running tenant: WithTokenLife, WithPolicy and so on.
// Those that say where it runs and by which clock have no effect any more. It panics
// where New would fail for an option.
func (t *Tenant) Set(opts ...Option) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range opts {
		o(&t.cfg)
	}
	if wrong := t.cfg.wrong; wrong != nil {
		t.cfg.wrong = nil
		panic(wrong.Error())
	}
}

// profile returns the provider that the tenant plays. It is not to be changed.
func (t *Tenant) profile() *Profile {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cfg.profile
}

// config returns a copy of the present settings.
func (t *Tenant) config() config {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cfg
}

// sleep waits for d on the tenant's clock. It reports whether it waited that
// long, rather than until ctx or the tenant ended.
func (t *Tenant) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil && t.ctx.Err() == nil
	}
	due := make(chan struct{})
	timer := t.clock.AfterFunc(d, func() { close(due) })
	defer timer.Stop()
	return t.await(ctx, due)
}

// await waits for ch. It reports whether ch came, rather than the end of ctx or of
// the tenant.
func (t *Tenant) await(ctx context.Context, ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	case <-ctx.Done():
	case <-t.ctx.Done():
	}
	return false
}

// secret returns a random word that begins with prefix.
func secret(prefix string) string {
	var b [16]byte
	rand.Read(b[:])
	return prefix + hex.EncodeToString(b[:])
}
