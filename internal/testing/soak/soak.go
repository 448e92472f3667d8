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
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

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
	Sessions int           // places for sessions; about a third of them fit into memory
	Workers  int           // callers at once
	Profiles string        // a folder for heap profiles before and after; empty for none

	// Provider starts the provider in a process of its own. See ServeProvider.
	Provider func() (io.WriteCloser, io.Reader, error)
	Out      io.Writer // gets the report
}

// The bounds within which figures may differ from one rest to the next. Goroutines and
// files may not.
const (
	heapSpare  = 1 << 20 // bytes
	remembered = 300     // more of them for each login and logout token: these are known for an hour
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
	counts    counts
	places    []*place
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
	s.shaky = newShaky(states)
	system := newSystem()
	defer system.Shutdown()
	if err := s.open(system); err != nil {
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
func (s *soak) open(system *actor.ActorSystem) (err error) {
	s.browser = &http.Client{Transport: s.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for n := range s.cfg.Sessions {
		s.places = append(s.places, newPlace(n))
	}
	s.client, err = tokenward.New(tokenward.Config{
		Issuer: s.provider.issuer, ClientID: clientID, ClientSecret: clientSecret, Secrets: []string{"a secret of at least thirty-two bytes"},
		RedirectURI: "http://127.0.0.1/callback",
	}, tokenward.WithLogger(zap.NewNop()), tokenward.WithClock(s.clock), tokenward.WithStateStore(s.shaky), tokenward.WithHTTPClient(&http.Client{Transport: s.transport}),
		tokenward.WithActorSystem(system), tokenward.WithRevocation(), tokenward.WithLimits(tokenward.Limits{
			FlightTimeout: flightTimeout, StoreTimeout: time.Second, ProviderRequests: 64, Resident: max(s.cfg.Sessions/3, 1),
			PassivateAfter: time.Second, RememberEnded: time.Second, RetryMost: 200 * time.Millisecond,
		}))
	return err
}

// newSystem returns an actor system whose registry has grown as far as it will: it is some
// 30,000 maps, each of which takes its first bytes when an actor falls into it.
func newSystem() *actor.ActorSystem {
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	for n := range 400_000 {
		pid, _ := system.ProcessRegistry.Add(system.DeadLetter, strconv.Itoa(n))
		system.ProcessRegistry.Remove(pid)
	}
	return system
}

func (s *soak) run(ctx context.Context) error {
	s.load(ctx, min(s.cfg.Duration/4, 30*time.Second))
	before, err := s.rest(ctx, nil)
	if err != nil {
		return fmt.Errorf("after warming up: %w", err)
	}
	if idle() == 0 {
		return errors.New("soak: no goroutine of the client is found idle after load; the function that idle looks for has another name")
	}
	warm, known := s.counts.total(), s.counts.total("login", "HandleBackchannelLogout")
	s.profile("before")
	s.load(ctx, s.cfg.Duration)
	bound := before
	bound.heap += remembered * uint64(s.counts.total("login", "HandleBackchannelLogout")-known)
	after, err := s.rest(ctx, &bound)
	s.profile("after")
	s.report(before, after, s.counts.total()-warm)
	if after.goroutines > before.goroutines {
		_ = pprof.Lookup("goroutine").WriteTo(s.cfg.Out, 1)
	}
	return errors.Join(err, s.counts.verdict(), s.provider.verdict(), s.defects(), ctx.Err())
}

// profile writes a heap profile; go tool pprof -base compares two of them.
func (s *soak) profile(when string) {
	if s.cfg.Profiles == "" {
		return
	}
	f, err := os.Create(filepath.Join(s.cfg.Profiles, "heap-"+when+".pprof"))
	if err == nil {
		err = errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
	}
	if err != nil {
		fmt.Fprintf(s.cfg.Out, "no profile: %v\n", err)
	}
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
