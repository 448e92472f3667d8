package postgres_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// The server is killed in the middle of writes: what it acknowledged is there when it comes
// back, and of what it did not answer one write at most. The same store goes on.
func TestKill_losesNothingAcknowledged(t *testing.T) {
	const writers, enough = 8, 200
	h := newHome(t)
	s := h.open()
	server := h.server
	t.Cleanup(func() { restarted(t, server) })

	type saved struct {
		acked, tried store.Record
		epoch        int64
		intent       store.Intent
		deleted      bool // acknowledged
	}
	var opt store.Options
	all := make([]saved, writers)
	for i := range all {
		all[i].acked = record()
		must(t, s.Replace(t.Context(), keyOf(i), all[i].acked, opt))
		epoch, err := lease(t.Context(), s, keyOf(i), "us", patience*100)
		must(t, err)
		all[i].epoch = epoch
	}
	var acked atomic.Int64
	crash := make(chan struct{})
	var wg sync.WaitGroup
	for i := range all {
		w := &all[i]
		wg.Go(func() {
			for n := 0; ; n++ {
				w.tried = next(w.acked)
				w.tried.Epoch = w.epoch
				if err := s.Update(t.Context(), keyOf(i), w.acked.Version, w.tried, opt); err != nil {
					wantUnanswered(t, err)
					return
				}
				w.acked = w.tried
				w.intent = store.Intent{}
				if acked.Add(1) == enough {
					close(crash)
				}
				in := store.Intent{Token: [32]byte{byte(n), 1}, Epoch: w.epoch, At: int64(n)}
				if err := intend(t.Context(), s, keyOf(i), "us", in); err != nil {
					wantUnanswered(t, err)
					return
				}
				w.intent = in
			}
		})
	}
	var logins []saved
	wg.Go(func() { // and logouts
		for n := writers; ; n++ {
			w := saved{acked: record()}
			if err := s.Replace(t.Context(), keyOf(n), w.acked, opt); err != nil {
				wantUnanswered(t, err)
				return
			}
			if n%2 == 0 {
				if err := s.End(t.Context(), keyOf(n), session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt); err != nil {
					wantUnanswered(t, err)
					return
				}
				w.deleted = true
			}
			logins = append(logins, w)
		}
	})
	<-crash
	server.Kill()
	wg.Wait()
	must(t, server.Restart())
	all = append(all, logins...)

	stale := make(map[session.Key]store.Intent)
	list, err := s.StaleIntents(t.Context(), 1000, opt)
	must(t, err)
	if len(list) != 0 {
		t.Errorf("%d intents lost their lease", len(list))
	}
	for i, w := range all[:writers] {
		must(t, s.Release(t.Context(), keyOf(i), "us", w.epoch, opt))
	}
	list, err = s.StaleIntents(t.Context(), 1000, opt)
	must(t, err)
	for _, o := range list {
		stale[o.Key] = o.Intent
	}
	for i, w := range all {
		got, err := s.Load(t.Context(), keyOf(i), opt)
		switch {
		case w.deleted:
			var gone *store.GoneError
			if !errors.As(err, &gone) {
				t.Errorf("a session was deleted, and is %v, %v", got.Version, err)
			}
		case err != nil:
			t.Errorf("a session is gone: %v", err)
		case got.Version != w.acked.Version && got.Version != w.tried.Version:
			t.Errorf("the version is %v, want the one acknowledged or the one tried", got.Version)
		case i < writers && got.Version == w.acked.Version && w.intent != (store.Intent{}) && stale[keyOf(i)] != w.intent:
			t.Errorf("the intent is %v, want %v", stale[keyOf(i)], w.intent)
		}
		if i < writers {
			if epoch, err := lease(t.Context(), s, keyOf(i), "them", patience); err != nil || epoch <= w.epoch {
				t.Errorf("the epoch after a crash = %d, %v, want more than %d", epoch, err, w.epoch)
			}
		}
	}
	t.Logf("%d updates and %d logins acknowledged before the crash", acked.Load(), len(logins))
}

// wantUnanswered fails unless err says that the server did not answer.
func wantUnanswered(t testing.TB, err error) {
	t.Helper()
	for _, answer := range []error{store.ErrNotFound, store.ErrConflict, store.ErrLeased, store.ErrUnreadable} {
		if errors.Is(err, answer) {
			t.Errorf("err = %v from a server that is gone", err)
		}
	}
}
