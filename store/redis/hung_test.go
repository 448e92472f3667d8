//go:build unix

package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
)

// forever keeps the client library from giving up by itself.
const forever = "?read_timeout=1h&write_timeout=1h&dial_timeout=1h"

// operations are all calls that a store takes.
func operations(s *redis.Store, key session.Key, rec store.Record) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Load":    func(ctx context.Context) error { _, err := s.Load(ctx, key, opt); return err },
		"Replace": func(ctx context.Context) error { return s.Replace(ctx, newKey(), rec, opt) },
		"Update": func(ctx context.Context) error {
			return s.Update(ctx, key, rec.Version, next(rec), opt)
		},
		"End": func(ctx context.Context) error {
			return s.End(ctx, newKey(), session.Incarnation{}, store.Ending{Reason: "logout"}, opt)
		},
		"Touch": func(ctx context.Context) error { return s.Touch(ctx, key, time.Hour, opt) },
		"Find": func(ctx context.Context) error {
			_, err := s.Find(ctx, []store.IndexValue{{1}}, opt)
			return err
		},
		"Due": func(ctx context.Context) error {
			_, err := s.Due(ctx, 1, 2, store.Ref{}, 10, opt)
			return err
		},
		"ClaimDue": func(ctx context.Context) error {
			_, err := s.ClaimDue(ctx, 2, 10, time.Minute, opt)
			return err
		},
		"Begin": func(ctx context.Context) error {
			_, err := s.Begin(ctx, newKey(), store.Beginning{Owner: "a", TTL: time.Minute}, opt)
			return err
		},
		"Release":      func(ctx context.Context) error { return s.Release(ctx, key, "a", 1, opt) },
		"ClearIntent":  func(ctx context.Context) error { return s.ClearIntent(ctx, key, store.Intent{}, opt) },
		"StaleIntents": func(ctx context.Context) error { _, err := s.StaleIntents(ctx, 10, opt); return err },
		"Watch": func(ctx context.Context) error {
			return s.Watch(ctx, func(session.Key, session.Version) {}, func() {})
		},
		"Put": func(ctx context.Context) error {
			return s.Transactions().Put(ctx, "state", []byte("data"), time.Minute, opt)
		},
		"Get":  func(ctx context.Context) error { _, err := s.Transactions().Get(ctx, "state", opt); return err },
		"Take": func(ctx context.Context) error { _, err := s.Transactions().Take(ctx, "state", opt); return err },
	}
}

// Our contexts have no deadline that the client library could set on a connection.
func TestHung_callsEndWithTheirContext(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	callsEndWithTheirContext(t, r, openAt(t, r.URL()+forever+"&pool_size=100"))
}

func callsEndWithTheirContext(t *testing.T, r *servers.Redis, s *redis.Store) {
	t.Helper()
	key, rec := login(t, s)
	sent := count(s)
	r.Pause()
	defer r.Resume()
	for name, call := range operations(s, key, rec) {
		ended := make(chan error, 1)
		start := func(ctx context.Context) {
			sent.forget()
			go func() { ended <- call(ctx) }()
			await.Eventually(t, name+" is under way", sent.any)
		}
		ctx, cancel := context.WithCancel(t.Context())
		start(ctx)
		cancel()
		if err := within(t, name, ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, canceled: err = %v, want %v", name, err, context.Canceled)
		}

		clk := clock.NewFake(time.Unix(0, 0))
		ctx, cancel = clock.WithTimeout(t.Context(), clk, time.Minute)
		start(ctx)
		clk.Advance(time.Minute)
		if err := within(t, name, ended); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s, out of time: err = %v, want %v", name, err, context.DeadlineExceeded)
		}
		cancel()
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	must(t, within(t, "Close", closed))
}

// A call that was cut off has left its line: the next one has it at once.
func TestHung_aLineThatWasCutIsUsedAgain(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	s := openAt(t, r.URL()+forever+"&pool_size=1")
	key, rec := login(t, s)
	sent := count(s)
	for range 10 {
		r.Pause()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		sent.forget()
		go func() {
			_, err := s.Load(ctx, key, opt)
			ended <- err
		}()
		await.Eventually(t, "Load is under way", sent.any)
		waiting := make(chan error, 1) // for its turn
		go func() { waiting <- s.Touch(ctx, key, time.Hour, opt) }()
		cancel()
		wantErr(t, "Load", within(t, "Load", ended), context.Canceled)
		wantErr(t, "Touch", within(t, "Touch", waiting), context.Canceled)
		r.Resume()
		if got, err := s.Load(t.Context(), key, opt); err != nil || got.Version != rec.Version {
			t.Fatalf("Load = %v, %v", got.Version, err)
		}
	}
}

// Where the machine's deadline passes, the error is the context's and not that of a connection.
func TestHung_deadlinesOfTheMachine(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	s := openAt(t, r.URL()+forever)
	key, _ := login(t, s)
	r.Pause()
	defer r.Resume()
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		_, err := s.Load(ctx, key, opt)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ctx.Err()) {
			t.Errorf("err = %v, want %v", err, context.DeadlineExceeded)
		}
		cancel()
	}
}

// Without a context that ends, the client gives up, and says nothing of absence.
func TestHung_isNoAbsence(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	s := openAt(t, r.URL()+"?pool_size=100")
	key, rec := login(t, s)
	redis.GiveUpAfter(s, 20*time.Millisecond)
	r.Pause()
	defer r.Resume()
	for name, call := range operations(s, key, rec) {
		if name == "Watch" {
			continue // which the next test is about
		}
		err := call(context.Background())
		var failed *redis.Error
		if !errors.As(err, &failed) || errors.Is(err, store.ErrNotFound) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: err = %v, want a *redis.Error", name, err)
		}
	}
	r.Resume()
	await.Eventually(t, "it answers again", func() bool { _, err := s.Load(t.Context(), key, opt); return err == nil })
}

func TestHung_watchReportsIt(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	clk := clock.NewFake(time.Unix(0, 0))
	s := openAt(t, r.URL()+forever, redis.Clock(clk), redis.Pings(3*time.Second))
	w := watchOn(t, s)
	within(t, "the first lost", w.lost)
	must(t, clk.WaitTimers(t.Context(), 1))
	for range 3 {
		clk.Advance(3 * time.Second)
		must(t, clk.WaitTimers(t.Context(), 1)) // the ping was sent
		key, rec := login(t, s)
		if got := within(t, "the notice", w.notices); got != (notice{key, rec.Version}) {
			t.Error("another notice came")
		}
	}

	r.Pause()
	defer r.Resume()
	watching, ended := context.WithCancel(t.Context())
	var err error
	go func() {
		err = <-w.ended
		ended()
	}()
	for clk.WaitTimers(watching, 1) == nil { // how many it takes, TestLiveness knows
		clk.Advance(3 * time.Second)
	}
	<-watching.Done()
	if failed := (*redis.Error)(nil); !errors.As(err, &failed) {
		t.Errorf("err = %v, want a *redis.Error", err)
	}
}

// The same on the machine's clock.
func TestHung_watchReportsItByItself(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	s := openAt(t, r.URL()+forever, redis.Pings(20*time.Millisecond))
	w := watchOn(t, s)
	within(t, "the first lost", w.lost)
	r.Pause()
	defer r.Resume()
	var failed *redis.Error
	if err := within(t, "the end of Watch", w.ended); !errors.As(err, &failed) {
		t.Errorf("err = %v, want a *redis.Error", err)
	}
}

// A write whose caller has gone may happen later, when the server goes on. A caller that does not know
// looks at the version; a second try with the same version in hand never makes two of one.
func TestHung_aLateWriteIsDecidedByTheVersion(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	s := openAt(t, r.URL())
	for range 10 {
		key, rec := login(t, s)
		r.Pause()
		ctx, cancel := context.WithCancel(t.Context())
		doubtful, second := next(rec), next(rec)
		ended := make(chan error, 1)
		go func() { ended <- s.Update(ctx, key, rec.Version, doubtful, opt) }()
		cancel()
		wantErr(t, "Update", within(t, "Update", ended), context.Canceled)
		r.Resume()
		again := s.Update(t.Context(), key, rec.Version, second, opt)
		got, err := s.Load(t.Context(), key, opt)
		must(t, err)
		switch {
		case again == nil && got.Version == second.Version:
		case errors.Is(again, store.ErrConflict) && got.Version == doubtful.Version:
		default:
			t.Fatalf("the second Update: %v, and what stands is neither what it says", again)
		}
	}
}
