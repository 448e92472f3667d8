package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
)

type heard struct {
	key     session.Key
	version session.Version
}

// watching is a Watch under way.
type watching struct {
	notices chan heard
	lost    chan struct{}
	ended   chan error
	stop    context.CancelFunc
}

// watch begins to watch, and returns when notices arrive.
func watch(t testing.TB, s *postgres.Store) *watching {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &watching{make(chan heard, 10_000), make(chan struct{}, 100), make(chan error, 1), stop}
	go func() {
		w.ended <- s.Watch(ctx,
			func(key session.Key, v session.Version) { w.notices <- heard{key, v} },
			func() { w.lost <- struct{}{} })
	}()
	t.Cleanup(stop)
	late, cancel := clock.WithTimeout(context.Background(), clock.System(), patience)
	defer cancel()
	select {
	case <-w.lost:
	case err := <-w.ended:
		t.Fatalf("Watch: %v", err)
	case <-late.Done():
		t.Fatal("in vain waited for: the first lost")
	}
	return w
}

func receive[T any](t testing.TB, what string, from <-chan T) (value T) {
	t.Helper()
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), patience)
	defer cancel()
	select {
	case value = <-from:
	case <-ctx.Done():
		t.Fatal("in vain waited for: " + what)
	}
	return value
}

// A server that is paused keeps its connections, and the kernel sees nothing wrong. By the
// clock, ten seconds are enough to find out.
func TestWatch_findsAHungServerWithinTenSeconds(t *testing.T) {
	h := newHome(t)
	clk := clock.NewFake(time.Unix(0, 0))
	w := watch(t, h.open(postgres.Clock(clk)))
	t.Cleanup(func() { restarted(t, h.server) })
	h.server.Pause()
	after, err := advance(t, clk, w.ended)
	wantDead(t, err)
	if after > 10*time.Second {
		t.Errorf("a hung server was found after %v", after)
	}
}

// advance moves the clock of a Watch, second by second, until it has ended.
func advance(t testing.TB, clk *clock.Fake, ended <-chan error) (after time.Duration, err error) {
	t.Helper()
	for after = 0; after < time.Minute; after += time.Second {
		// Now it waits for something, or it has ended.
		waits, cancel := context.WithCancel(t.Context())
		armed := make(chan bool, 1)
		go func() { armed <- clk.WaitTimers(waits, 1) == nil }()
		select {
		case err = <-ended:
			cancel()
			<-armed
			return after, err
		case <-armed:
			cancel()
		}
		clk.Advance(time.Second)
	}
	return after, receive(t, "the end of Watch", ended)
}

func TestWatch_findsAHungServerByTheMachinesClock(t *testing.T) {
	h := newHome(t)
	w := watch(t, h.open(postgres.Pings(50*time.Millisecond)))
	t.Cleanup(func() { restarted(t, h.server) })
	h.server.Pause()
	wantDead(t, receive(t, "the end of Watch", w.ended))
}

func TestWatch_findsAKilledServer(t *testing.T) {
	h := newHome(t)
	s := h.open()
	w := watch(t, s)
	t.Cleanup(func() { restarted(t, h.server) })
	h.server.Kill()
	wantDead(t, receive(t, "the end of Watch", w.ended))
	wantDead(t, s.Watch(t.Context(), func(session.Key, session.Version) {}, func() { t.Error("notices arrive from a killed server") }))

	must(t, h.server.Restart())
	again := watch(t, s)
	rec := record()
	must(t, s.Replace(t.Context(), keyOf(1), rec, store.Options{}))
	if got := receive(t, "a notice", again.notices); got != (heard{keyOf(1), rec.Version}) {
		t.Errorf("told of %v", got)
	}
}

func wantDead(t testing.TB, err error) {
	t.Helper()
	var failed *postgres.Error
	if !errors.As(err, &failed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Watch: err = %v, want one that says that the server does not answer", err)
	}
}

// Nothing is written for a while, again and again, over TLS too, where a read that was given
// up must not spoil the next.
func TestWatch_livesOnThroughSilence(t *testing.T) {
	h := newHome(t)
	encrypted := h.url[:len(h.url)-len("disable")] + "require"
	for name, url := range map[string]string{"in plain text": h.url, "over TLS": encrypted} {
		t.Run(name, func(t *testing.T) {
			clk := clock.NewFake(time.Unix(0, 0))
			s := h.openFor(t, postgres.Clock(clk), postgres.ListenURL(url))
			w := watch(t, s)
			for i := range 10 {
				must(t, clk.WaitTimers(t.Context(), 1))
				clk.Advance(3 * time.Second) // it asks the server; the next notice is told when that has answered
				rec := record()
				must(t, s.Replace(t.Context(), keyOf(i), rec, store.Options{}))
				if got := receive(t, "a notice", w.notices); got != (heard{keyOf(i), rec.Version}) {
					t.Fatalf("told of %v", got)
				}
			}
			select {
			case err := <-w.ended:
				t.Errorf("Watch ended: %v", err)
			default:
			}
			w.stop()
			if err := receive(t, "the end of Watch", w.ended); !errors.Is(err, context.Canceled) {
				t.Errorf("err = %v, want %v", err, context.Canceled)
			}
		})
	}
}

// Of one session the notices come in the order of the writes, though many write.
func TestWatch_tellsTheOrderOfTheWrites(t *testing.T) {
	const writers, each = 8, 25
	h := newHome(t)
	stores := []*postgres.Store{h.open(), h.open()}
	w := watch(t, stores[0])
	key, first := keyOf(1), record()
	must(t, stores[0].Replace(t.Context(), key, first, store.Options{}))

	var mu sync.Mutex
	after := make(map[session.Version]session.Version) // who followed whom
	var wg sync.WaitGroup
	for i := range writers {
		s := stores[i%2]
		wg.Go(func() {
			for done := 0; done < each; {
				r, err := s.Load(t.Context(), key, store.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				n := next(r)
				switch err := s.Update(t.Context(), key, r.Version, n, store.Options{}); {
				case err == nil:
					mu.Lock()
					after[r.Version] = n.Version
					mu.Unlock()
					done++
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	want := first.Version
	for i := range writers*each + 1 {
		if got := receive(t, "a notice", w.notices); got != (heard{key, want}) {
			t.Fatalf("notice %d tells of %v, want %v", i, got.version, want)
		}
		want = after[want]
	}
}

func TestWatch_endsWithItsStore(t *testing.T) {
	h := newHome(t)
	s := h.open()
	w := watch(t, s)
	_ = s.Close()
	if err := receive(t, "the end of Watch", w.ended); !errors.Is(err, postgres.ErrClosed) {
		t.Errorf("err = %v, want %v", err, postgres.ErrClosed)
	}
	if err := s.Watch(t.Context(), nil, nil); !errors.Is(err, postgres.ErrClosed) {
		t.Errorf("Watch of a closed store: err = %v, want %v", err, postgres.ErrClosed)
	}
}

// A way to listen that leads to another database is found out, for no notice arrives.
func TestWatch_thatNoNoticeReachesSaysSo(t *testing.T) {
	h := newHome(t)
	clk := clock.NewFake(time.Unix(0, 0))
	s := h.open(postgres.Clock(clk), postgres.ListenURL(h.server.NewDatabase(t)))
	failed := make(chan error, 1)
	go func() {
		failed <- s.Watch(t.Context(), func(session.Key, session.Version) {}, func() { t.Error("lost was called") })
	}()
	await.Eventually(t, "it listens", func() bool {
		return query[bool](h, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'LISTEN %' || $1 || '%' AND state = 'idle')", h.schema)
	})
	_, err := advance(t, clk, failed)
	wantDead(t, err)
}
