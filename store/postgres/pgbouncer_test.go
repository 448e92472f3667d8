package postgres_test

import (
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

// Behind a pooler that gives a connection to another client after each statement all works
// but Watch, which is given a way around it.
func TestPgBouncer(t *testing.T) {
	h := newHome(t)
	direct := h.url
	pooled := h.server.PgBouncer(t, direct) + "&default_query_exec_mode=exec"

	stores := make([]*postgres.Store, 8)
	errs := make([]error, len(stores))
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() {
			stores[i], errs[i] = postgres.Open(t.Context(), pooled, postgres.Schema(h.schema), postgres.ListenURL(direct))
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	for _, s := range stores {
		t.Cleanup(func() { _ = s.Close() })
	}
	// Its connections to the server come and go among its clients, some of which listen.
	clk := clock.NewFake(time.Unix(0, 0))
	lost, err := postgres.Open(t.Context(), pooled, postgres.Schema(h.schema), postgres.Clock(clk))
	must(t, err)
	t.Cleanup(func() { _ = lost.Close() })
	ended := make(chan error, 1)
	go func() {
		ended <- lost.Watch(t.Context(), func(session.Key, session.Version) {}, func() { t.Error("lost was called") })
	}()
	await.Eventually(t, "it listens", func() bool {
		return query[bool](h, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE position($1 || '_changes' IN query) > 0 AND state = 'idle')`, h.schema)
	})
	_, err = advance(t, clk, ended)
	wantDead(t, err)

	lives(t, stores[0])
	must(t, stores[0].Replace(t.Context(), keyOf(2), record(), store.Options{}))
	addAll(t, stores, keyOf(2), 40)
}
