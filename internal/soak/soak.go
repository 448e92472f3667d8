// Package soak keeps a client under load and faults for as long as one likes, lets everything
// come to rest, and compares what the process then holds with what it held before:
// heap, goroutines, timers, open files.
//
// The provider is idptest in a process of its own, over HTTP, so that what a double
// remembers is not counted. Sessions begin, refresh, exchange, end by logout, by their
// ceiling and by logout tokens, with and without a browser; callers give up; sessions
// that are not used leave memory; requests and store work fail in every way.
package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/pprof"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
)

// Config says what a soak is like.
type Config struct {
	Duration time.Duration // of the load, after a quarter of that, at most half a minute, to warm up
	Store    string        // one of Stores
	Dir      string        // where a store may keep its files
	Seed     uint64        // of what is done and what fails; the order is the machine's
	Sessions int           // slots for sessions; about a third of them fit into memory
	Workers  int           // callers at once

	// Provider starts the provider in a process of its own. See ServeProvider.
	Provider func() (io.WriteCloser, io.Reader, error)
	Out      io.Writer // gets the report
}

// The bounds within which figures may differ from one rest to the next. Goroutines and
// files may not. What is remembered for an hour (logins that were completed, logout tokens
// that were handled) makes the heap grow until then.
const (
	heapSpare  = 4 << 20 // bytes
	timerSpare = 1       // the supervisor's, which the index of a store may just be asked for
)

const (
	flightTimeout = 2 * time.Second
	stuck         = 30 * time.Second // how long no call may take: several deadlines of the client's
)

const (
	clientID     = "soak"
	clientSecret = "the-secret-of-the-soak"
)

// soak is one run.
type soak struct {
	cfg       Config
	clock     *meter
	provider  *provider
	shaky     *shaky
	client    *tokenward.Client
	transport *http.Transport
	browser   *http.Client
	tally     tally
	slots     []*slot
}

// Run runs a soak. It fails when something grew, when a call was stuck or met a defect, or when
// the provider saw a refresh token used twice. It returns early when ctx ends.
func Run(ctx context.Context, cfg Config) (err error) {
	s := &soak{cfg: cfg, clock: newMeter(clock.System()), transport: http.DefaultTransport.(*http.Transport).Clone()}
	defer s.transport.CloseIdleConnections()
	if s.provider, err = startProvider(cfg.Provider); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.provider.stop()) }()
	open, ok := Stores[cfg.Store]
	if !ok {
		return fmt.Errorf("soak: there is no store %q", cfg.Store)
	}
	states, closeStore, err := open(ctx, cfg.Dir, s.clock)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	s.shaky = &shaky{StateStore: states}
	if err := s.open(); err != nil {
		return err
	}
	defer func() {
		within, cancel := clock.WithTimeout(context.Background(), clock.System(), stuck)
		defer cancel()
		err = errors.Join(err, s.client.Close(within))
	}()
	return s.run(ctx)
}

// open makes the client. Its limits are small, so that all of them are met.
func (s *soak) open() (err error) {
	s.browser = &http.Client{Transport: s.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for n := range s.cfg.Sessions {
		s.slots = append(s.slots, newSlot(n))
	}
	s.client, err = tokenward.New(tokenward.Config{
		Issuer: s.provider.issuer, ClientID: clientID, ClientSecret: clientSecret, Secrets: []string{"a secret of at least thirty-two bytes"},
		RedirectURI: "http://127.0.0.1/callback",
	}, tokenward.WithClock(s.clock), tokenward.WithStateStore(s.shaky), tokenward.WithHTTPClient(&http.Client{Transport: s.transport}),
		tokenward.WithRevocation(), tokenward.WithLimits(tokenward.Limits{
			FlightTimeout: flightTimeout, StoreTimeout: time.Second, ProviderRequests: 64, Resident: max(s.cfg.Sessions/3, 1),
			PassivateAfter: time.Second, RememberEnded: time.Second, RetryMost: 200 * time.Millisecond,
		}))
	return err
}

func (s *soak) run(ctx context.Context) error {
	s.load(ctx, min(s.cfg.Duration/4, 30*time.Second))
	before, err := s.rest(ctx, nil)
	if err != nil {
		return fmt.Errorf("after warming up: %w", err)
	}
	warm := s.tally.total()
	s.load(ctx, s.cfg.Duration)
	after, err := s.rest(ctx, &before)
	s.report(before, after, s.tally.total()-warm)
	if after.goroutines > before.goroutines {
		_ = pprof.Lookup("goroutine").WriteTo(s.cfg.Out, 1)
	}
	return errors.Join(err, s.tally.verdict(), s.provider.verdict(), s.defects(), ctx.Err())
}

// load puts load on the client for d, with faults.
func (s *soak) load(ctx context.Context, d time.Duration) {
	ctx, cancel := clock.WithTimeout(ctx, s.clock, d)
	defer cancel()
	s.provider.tell("storm")
	s.shaky.set(true)
	s.work(ctx)
	s.shaky.set(false)
	s.provider.tell("heal")
}

// defects are what the client says of itself.
func (s *soak) defects() error {
	if st := s.client.Stats(); st.Failures != 0 || st.Unreadable != 0 || st.Unsaved != 0 {
		return fmt.Errorf("soak: the client counts %d defects, %d unreadable records, %d unsaved sessions", st.Failures, st.Unreadable, st.Unsaved)
	}
	return nil
}

// count returns how many records a store has, where it can tell.
func (s *soak) count() (int, bool) {
	counts, ok := store.As[interface{ Len() int }](s.shaky)
	if !ok {
		return 0, false
	}
	return counts.Len(), true
}

// pause waits for d, or until ctx ends.
func (s *soak) pause(ctx context.Context, d time.Duration) {
	over, cancel := clock.WithTimeout(ctx, clock.System(), d)
	defer cancel()
	<-over.Done()
}
