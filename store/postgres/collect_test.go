package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
)

// The rows kept are bounded by those that live: writes clear away more than they can leave behind.
func TestCollect(t *testing.T) {
	const n = 200
	h := newHome(t)
	h.url += "&synchronous_commit=off" // hundreds of writes, none of which matters
	s := h.open(h.steered())
	var opt store.Options
	tx := s.Transactions()
	for i := range n {
		key := keyOf(i)
		must(t, s.Replace(t.Context(), key, record(func(r *store.Record) {
			r.TTL, r.Ceiling, r.Index = time.Minute, 2_000_000_000, []store.IndexValue{{byte(i)}, store.IndexValue(key)}
		}), opt))
		switch i % 4 {
		case 0:
			must(t, s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt))
		case 1:
			_, err := begin(t.Context(), s, key, store.Beginning{Owner: "another", TTL: time.Minute, Intent: store.Intent{Token: [32]byte{1}}})
			must(t, err)
		case 2:
			_, err := lease(t.Context(), s, keyOf(-i), "somebody", time.Minute)
			must(t, err)
		case 3:
			must(t, tx.Put(t.Context(), key.String(), nil, time.Minute, opt))
		}
		s.Settle()
	}
	h.wantKept(kept{Sessions: n + n/4, Values: 2 * n * 3 / 4, Intents: n / 4, Transactions: n / 4})
	h.lapse(store.DefaultTombstoneLife)

	// Another call works on one of them, and is not waited for.
	h.with(func(ctx context.Context, conn *pgx.Conn) error {
		work, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = work.Rollback(ctx) }()
		locked := keyOf(3)
		if _, err = work.Exec(ctx, h.in("SELECT FROM x.sessions WHERE key = $1 FOR UPDATE"), locked[:]); err != nil {
			return err
		}
		for i := range n { // others come and stay
			must(t, s.Replace(t.Context(), keyOf(n+i), record(), opt))
			s.Settle()
		}
		return nil
	})
	h.wantKept(kept{Sessions: n + 1, Values: 2})
	for i := range postgres.CollectEvery {
		must(t, s.Replace(t.Context(), keyOf(n+i), record(), opt))
		s.Settle()
	}
	h.wantKept(kept{Sessions: n})
}

type kept struct{ Sessions, Values, Intents, Transactions int }

func (h *home) wantKept(want kept) {
	h.t.Helper()
	var got kept
	h.with(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, h.in(`SELECT (SELECT count(*) FROM x.sessions), (SELECT count(*) FROM x.session_values),
			(SELECT count(*) FROM x.intents), (SELECT count(*) FROM x.transactions)`)).
			Scan(&got.Sessions, &got.Values, &got.Intents, &got.Transactions)
	})
	if got != want {
		h.t.Errorf("kept: %+v, want %+v", got, want)
	}
}

// What has lapsed and was not collected yet is as if it had been.
func TestLapsed_isAsIfCollected(t *testing.T) {
	h := newHome(t)
	s := h.open(h.steered())
	var opt store.Options
	key, rec := keyOf(1), record(func(r *store.Record) {
		r.TTL, r.Ceiling, r.Index = time.Minute, 1, []store.IndexValue{{1}}
	})
	must(t, s.Replace(t.Context(), key, rec, opt))
	s.Settle()
	begun, err := begin(t.Context(), s, key, store.Beginning{Owner: "a", TTL: time.Second, Intent: store.Intent{Token: [32]byte{1}}})
	must(t, err)
	first := begun.Epoch
	h.lapse(time.Minute)

	must(t, s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt))
	must(t, s.End(t.Context(), key, rec.Incarnation, store.Ending{Reason: session.ReasonLogout}, opt))
	if _, err := s.Load(t.Context(), key, opt); !absent(err) || err != store.ErrNotFound { //nolint:errorlint // no tombstone, which would match
		t.Errorf("Load: err = %v, want %v", err, store.ErrNotFound)
	}
	fresh := record()
	must(t, s.Replace(t.Context(), key, fresh, opt))
	must(t, s.Update(t.Context(), key, fresh.Version, next(fresh), opt)) // under no epoch
	refs, err := s.Find(t.Context(), rec.Index, opt)
	must(t, err)
	stale, err := s.StaleIntents(t.Context(), 10, opt)
	must(t, err)
	if len(refs)+len(stale) != 0 {
		t.Errorf("of the one that lapsed there is still %v, %v", refs, stale)
	}
	if second, err := lease(t.Context(), s, key, "a", time.Second); err != nil || second <= first {
		t.Errorf("the epoch after %d = %d, %v, want more", first, second, err)
	}
}
