package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// whileLocked calls f while another call works on the session: its row is locked.
func (h *home) whileLocked(key session.Key, f func(ctx context.Context, unlock func())) {
	h.t.Helper()
	h.with(func(ctx context.Context, conn *pgx.Conn) error {
		work, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		unlock := func() { _ = work.Rollback(context.WithoutCancel(ctx)) }
		defer unlock()
		if _, err = work.Exec(ctx, h.in("SELECT FROM x.sessions WHERE key = $1 FOR UPDATE"), key[:]); err == nil {
			f(ctx, unlock)
		}
		return err
	})
}

func TestRefused_waitForNoOther(t *testing.T) {
	h := newHome(t)
	s := h.open()
	var opt store.Options
	key, rec := keyOf(1), record()
	must(t, s.Replace(t.Context(), key, rec, opt))
	epoch, err := lease(t.Context(), s, key, "us", time.Hour)
	must(t, err)
	h.whileLocked(key, func(ctx context.Context, _ func()) {
		_, err := s.Load(ctx, key, opt)
		must(t, err)
		wantErr(t, "Update", s.Update(ctx, key, session.Version{}, rec, opt), store.ErrConflict)
		_, err = s.Begin(ctx, key, store.Beginning{Version: rec.Version, Owner: "them", TTL: time.Hour}, opt)
		wantErr(t, "Begin", err, store.ErrLeased)
		begun, err := s.Begin(ctx, key, store.Beginning{Version: session.Version{9}, Owner: "us", TTL: time.Hour}, opt)
		if err != nil || begun.Moved == nil {
			t.Errorf("Begin of an old version = %+v, %v, want the record", begun, err)
		}
		ceiling := store.Ending{Reason: session.ReasonCeiling, Prev: session.Version{9}}
		wantErr(t, "End", s.End(ctx, key, rec.Incarnation, ceiling, opt), store.ErrConflict)
		must(t, s.End(ctx, key, session.Incarnation{9}, ceiling, opt))
		must(t, s.Release(ctx, key, "them", epoch, opt))
		must(t, s.End(ctx, key, session.Incarnation{9}, store.Ending{Reason: session.ReasonCeiling}, opt))
		must(t, s.Replace(ctx, keyOf(2), record(), opt)) // another session
	})
}

func TestClaimDue_waitsOnlyWhereItWouldLie(t *testing.T) {
	h := newHome(t)
	h.url += "&application_name=" + h.schema
	s := h.open()
	var opt store.Options
	due := func(r *store.Record) { r.Ceiling = 1 }
	for i := range 3 {
		must(t, s.Replace(t.Context(), keyOf(i), record(due), opt))
	}
	// The one who works is on a connection of the same name, and is not waiting.
	waits := "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock')"
	watcher := newHome(t)
	h.whileLocked(keyOf(0), func(ctx context.Context, unlock func()) {
		refs, err := s.ClaimDue(ctx, 2, 10, time.Hour, opt)
		if err != nil || len(refs) != 2 {
			t.Errorf("with one of three locked ClaimDue = %v, %v, want the other two", refs, err)
		}
		claimed := make(chan []store.Ref, 1)
		go func() {
			refs, err := s.ClaimDue(ctx, 2, 10, time.Hour, opt)
			if err != nil {
				t.Error(err)
			}
			claimed <- refs
		}()
		await.Eventually(t, "ClaimDue waits for the last one", func() bool { return query[bool](watcher, waits, h.schema) })
		unlock()
		if refs := receive(t, "the claim", claimed); len(refs) != 1 || refs[0].Key != keyOf(0) {
			t.Errorf("once the last one is free ClaimDue = %v, want it", refs)
		}
	})
}

func TestEndAll_passesOverASessionThatAnotherCallWorksOn(t *testing.T) {
	h := newHome(t)
	s := h.open()
	var refs []store.Ref
	for i := range 3 {
		rec := record()
		must(t, s.Replace(t.Context(), keyOf(i), rec, store.Options{}))
		refs = append(refs, store.Ref{Key: keyOf(i), Incarnation: rec.Incarnation})
	}
	h.whileLocked(keyOf(1), func(ctx context.Context, _ func()) {
		left, err := s.EndAll(ctx, refs, store.Ending{Reason: session.ReasonCeiling, Stands: time.Hour}, store.Options{})
		if err != nil || len(left) != 1 || left[0] != refs[1] {
			t.Errorf("EndAll leaves %v, %v, want the one that is locked", left, err)
		}
	})
	left, err := s.EndAll(t.Context(), refs, store.Ending{Reason: session.ReasonCeiling, Stands: time.Hour}, store.Options{})
	if err != nil || len(left) != 0 {
		t.Errorf("once it is free EndAll leaves %v, %v, want none", left, err)
	}
}
