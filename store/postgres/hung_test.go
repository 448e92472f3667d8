package postgres_test

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
	"github.com/tokenward/tokenward/store/postgres"
)

// restarted leaves the server running for the tests that follow.
func restarted(t testing.TB, server *servers.Postgres) {
	server.Resume()
	if server.Exec("SELECT") != nil {
		must(t, server.Restart())
	}
}

// calls are all of a store's operations on one session.
func calls(s *postgres.Store, key session.Key) map[string]func(ctx context.Context) error {
	var opt store.Options
	rec := record()
	tx := s.Transactions()
	return map[string]func(ctx context.Context) error{
		"load":    func(ctx context.Context) error { _, err := s.Load(ctx, key, opt); return err },
		"replace": func(ctx context.Context) error { return s.Replace(ctx, key, rec, opt) },
		"update":  func(ctx context.Context) error { return s.Update(ctx, key, rec.Version, rec, opt) },
		"end": func(ctx context.Context) error {
			return s.End(ctx, key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt)
		},
		"touch": func(ctx context.Context) error { return s.Touch(ctx, key, time.Hour, opt) },
		"begin": func(ctx context.Context) error {
			_, err := s.Begin(ctx, key, store.Beginning{Owner: "a", TTL: time.Hour}, opt)
			return err
		},
		"release":      func(ctx context.Context) error { return s.Release(ctx, key, "a", 1, opt) },
		"clear intent": func(ctx context.Context) error { return s.ClearIntent(ctx, key, store.Intent{}, opt) },
		"stale":        func(ctx context.Context) error { _, err := s.StaleIntents(ctx, 10, opt); return err },
		"find":         func(ctx context.Context) error { _, err := s.Find(ctx, []store.IndexValue{{1}}, opt); return err },
		"due":          func(ctx context.Context) error { _, err := s.Due(ctx, 0, 10, store.Ref{}, 10, opt); return err },
		"claim due":    func(ctx context.Context) error { _, err := s.ClaimDue(ctx, 10, 10, time.Hour, opt); return err },
		"watch": func(ctx context.Context) error {
			return s.Watch(ctx, func(session.Key, session.Version) {}, func() {})
		},
		"put transaction":  func(ctx context.Context) error { return tx.Put(ctx, "k", nil, time.Hour, opt) },
		"get transaction":  func(ctx context.Context) error { _, err := tx.Get(ctx, "k", opt); return err },
		"take transaction": func(ctx context.Context) error { _, err := tx.Take(ctx, "k", opt); return err },
	}
}

// Every call ends with its context though the server hangs: those that were sent, those that
// wait for a connection, and those that are connecting.
func TestHungServer_callsEndWithTheirContext(t *testing.T) {
	t.Run("Open", func(t *testing.T) {
		h := newHome(t)
		callsEndWithTheirContext(t, h, h.open(postgres.PoolSize(2)))
	})
	t.Run("New", func(t *testing.T) {
		h := newHome(t)
		callsEndWithTheirContext(t, h, h.openOn(h.pool(2)))
	})
}

func callsEndWithTheirContext(t *testing.T, h *home, s *postgres.Store) {
	t.Helper()
	key, rec := keyOf(1), record()
	must(t, s.Replace(t.Context(), key, rec, store.Options{}))
	t.Cleanup(func() { restarted(t, h.server) })
	h.server.Pause()

	deadlines := clock.NewFake(time.Unix(0, 0))
	for _, end := range []struct {
		want error
		by   func(ctx context.Context) (context.Context, func())
	}{
		{context.Canceled, func(ctx context.Context) (context.Context, func()) { return context.WithCancel(ctx) }},
		{context.DeadlineExceeded, func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := clock.WithTimeout(ctx, deadlines, time.Second)
			t.Cleanup(cancel)
			return ctx, func() { deadlines.Advance(time.Second) }
		}},
	} {
		ctx, stop := end.by(t.Context())
		errs := make(map[string]chan error)
		for name, call := range calls(s, key) {
			failed := make(chan error, 1)
			errs[name] = failed
			go func() { failed <- call(ctx) }()
		}
		soon, cancel := clock.WithTimeout(t.Context(), clock.System(), patience)
		clock.System().AfterFunc(50*time.Millisecond, stop) // most are under way by then
		for name, failed := range errs {
			select {
			case err := <-failed:
				if !errors.Is(err, end.want) {
					t.Errorf("%s: err = %v, want %v", name, err, end.want)
				}
			case <-soon.Done():
				t.Fatalf("%s did not end with its context", name)
			}
		}
		cancel()
	}

	h.server.Resume()
	ctx, cancel := clock.WithTimeout(t.Context(), clock.System(), patience)
	defer cancel()
	_, err := s.Load(ctx, key, store.Options{})
	if err != nil && !errors.Is(err, store.ErrNotFound) { // the Delete may have been executed
		t.Errorf("once the server goes on: %v", err)
	}
}

func TestHungServer_closeReturns(t *testing.T) {
	t.Run("Open", func(t *testing.T) {
		closeReturns(t, func(h *home) *postgres.Store { return h.open(postgres.PoolSize(1)) })
	})
	t.Run("New", func(t *testing.T) { closeReturns(t, func(h *home) *postgres.Store { return h.openOn(h.pool(1)) }) })
}

func closeReturns(t *testing.T, open func(*home) *postgres.Store) {
	t.Helper()
	h := newHome(t)
	r := newRelay(t, h.server.Addr())
	h.url = r.through(t, h.url)
	s := open(h)
	must(t, s.Replace(t.Context(), keyOf(1), record(), store.Options{}))
	s.Settle()
	t.Cleanup(func() { restarted(t, h.server) })
	h.server.Pause()
	failed := make(chan error)
	before := r.asked()
	for range 3 { // one is sent, the others wait for the connection
		go func() { _, err := s.Load(t.Context(), keyOf(1), store.Options{}); failed <- err }()
	}
	await.Eventually(t, "a call under way", func() bool { return r.asked() > before })
	closed := make(chan struct{})
	go func() { _ = s.Close(); close(closed) }()
	ctx, cancel := clock.WithTimeout(t.Context(), clock.System(), patience)
	defer cancel()
	for range 3 {
		select {
		case err := <-failed:
			if !errors.Is(err, postgres.ErrClosed) {
				t.Errorf("a call under way: err = %v, want %v", err, postgres.ErrClosed)
			}
		case <-ctx.Done():
			t.Fatal("a call under way did not end with its store")
		}
	}
	select {
	case <-closed:
	case <-ctx.Done():
		t.Fatal("Close did not return")
	}
	if _, err := s.Load(t.Context(), keyOf(1), store.Options{}); !errors.Is(err, postgres.ErrClosed) {
		t.Errorf("a call after Close: err = %v, want %v", err, postgres.ErrClosed)
	}
}

func TestOpen_endsThoughTheServerHangs(t *testing.T) {
	h := newHome(t)
	t.Cleanup(func() { restarted(t, h.server) })
	h.server.Pause()
	ctx, cancel := clock.WithTimeout(t.Context(), clock.System(), 100*time.Millisecond)
	defer cancel()
	_, err := postgres.Open(ctx, h.url, postgres.Schema(h.schema))
	wantRefused(t, err, postgres.Unreachable)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, want %v", err, context.DeadlineExceeded)
	}
}
