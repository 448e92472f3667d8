package processes_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/store"
)

var (
	callsFlag = flag.Int("processes.calls", 0, "calls in each store; 0: as many as fit")
	seedFlag  = flag.Uint64("processes.seed", 0, "of the first process's calls; 0: at random")
)

const (
	workers   = 3
	callers   = 24 // in each
	directors = 8
)

// Three processes on one store, many sessions, everything at once: one request at a time
// for each session at a provider that forgives nothing, no token is handed to another user,
// and no session that was signed out comes back.
func TestMixedCalls(t *testing.T) {
	t.Run("redis", func(t *testing.T) { mixed(t, redisHome(theRedis.Get(t))) })
	t.Run("postgres", func(t *testing.T) { mixed(t, postgresHome(servers.NewPostgres(t, servers.NoFsync()))) })
}

func mixed(t *testing.T, h home) {
	calls, sessions := *callsFlag, 500
	switch {
	case calls != 0:
	case raceEnabled || testing.Short():
		calls, sessions = 10_000, 100
	default:
		calls = 100_000
	}
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)

	s := &stage{t: t, home: h, played: make(map[string]int)}
	s.tenant = newTenant(t, idptest.WithExchangeRotation(), idptest.WithOverlap(0))
	// Most tokens outlive the test, some expire at once or soon.
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	lives := idptest.Edit(func(body map[string]any) {
		mu.Lock()
		defer mu.Unlock()
		body["expires_in"] = 3600
		if random.IntN(6) == 0 {
			body["expires_in"] = random.IntN(5)
		}
	}).Always()
	s.tenant.Script(idptest.Spend, lives)
	// Room for all callers at once, and for as many sessions that are on their way out: with less,
	// a caller may get ErrOverloaded.
	few := max(sessions/3, 2*(callers+directors))
	limits := []tokenward.Limits{{}, {Resident: few}, {PassivateAfter: 3 * time.Second}}
	for i := range workers {
		l := limits[i%len(limits)]
		// So long that no process takes over another's session because the machine is busy.
		l.Lease, l.FlightTimeout, l.StoreTimeout = patience, patience, patience
		s.all = append(s.all, startProcess(t, fmt.Sprint("process ", i), plan{Issuer: s.tenant.Issuer(), Home: h, Limits: l}))
	}
	for i := range sessions {
		s.parts = append(s.parts, &part{stage: s, session: i, id: idOf(i)})
	}
	weather := make([]Weather, workers)
	s.open()
	var all sync.WaitGroup
	for i, w := range s.all {
		all.Go(func() {
			w.call("Storm", Storm{Calls: (calls - calls/100) / workers, Callers: callers, Sessions: sessions, Seed: seed + uint64(i)}, &weather[i])
		})
	}
	s.direct(calls/100, directors, seed)
	all.Wait()
	s.finale()

	counts := []map[string]int{s.played}
	flights := 0
	for i, w := range s.all {
		for _, b := range weather[i].Broken {
			t.Errorf("%s: %s", w.name, b)
		}
		counts = append(counts, weather[i].Done)
		stats := w.stats()
		flights += int(stats.TokenFlights)
		if stats.Failures != 0 || stats.Lost != 0 || stats.Unreadable != 0 || stats.SaveErrors != 0 || stats.Unsaved != 0 {
			t.Errorf("%s: %+v, want nothing that failed", w.name, stats)
		}
	}
	t.Logf("what was played and answered:\n%s\n%8d requests that spent a refresh token", summary(counts...), s.tenant.Requests(idptest.Spend))
	for _, w := range s.all {
		w.close()
	}
	s.judgeTenant(flights)
	stale, err := mustAs[store.Intents](t, h.openFor(t)).StaleIntents(context.Background(), 10, store.Options{})
	if err != nil || len(stale) > 0 {
		t.Errorf("intents left = %d, %v, want none", len(stale), err)
	}
}

// open signs everybody in.
func (s *stage) open() {
	var all sync.WaitGroup
	for i := range directors {
		all.Go(func() {
			for j := i; j < len(s.parts); j += directors {
				s.parts[j].signIn(s.all[j%workers], s.all[(j+1)%workers], s.parts[j].next(0))
			}
		})
	}
	all.Wait()
}

func (s *stage) judgeTenant(flights int) {
	s.t.Helper()
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"requests of one session at once", s.tenant.PeakPerFamily(), 1},
		{"refresh tokens presented twice", s.tenant.Reuses(), 0},
		{"families revoked", s.tenant.RevokedFamilies(), 0},
		{"requests that spent a refresh token, as the processes count", flights, s.tenant.Requests(idptest.Spend)},
	} {
		if c.got != c.want {
			s.t.Errorf("%s = %d, want %d", c.what, c.got, c.want)
		}
	}
}

func mustAs[T any](t testing.TB, s opened) T {
	t.Helper()
	ability, ok := store.As[T](s.StateStore)
	if !ok {
		t.Fatalf("the store lacks %T", *new(T))
	}
	return ability
}
