package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
)

// The client library has several ways to send a statement, of which a pooler may bear only
// some.
func TestExecModes(t *testing.T) {
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			h := newHome(t)
			h.url += "&default_query_exec_mode=" + mode
			lives(t, h.open())
		})
	}
}

// lives takes a session through all that can happen to it.
func lives(t *testing.T, s *postgres.Store) {
	t.Helper()
	var opt store.Options
	ctx := t.Context()
	w := watch(t, s)
	key, rec := keyOf(1), record(func(r *store.Record) {
		r.Ceiling, r.TTL, r.Index = 1_900_000_000, time.Hour, []store.IndexValue{{0, 255, '\\', '"', '{'}, {1}}
		r.Sealed = []byte("\x00\xff\\x00'\"")
	})
	ref := store.Ref{Key: key, Incarnation: rec.Incarnation, Ceiling: rec.Ceiling}
	wantOne := func(doing string, refs []store.Ref, err error) {
		t.Helper()
		if err != nil || len(refs) != 1 || refs[0] != ref {
			t.Errorf("%s = %v, %v, want %v", doing, refs, err, ref)
		}
	}
	must(t, s.Replace(ctx, key, rec, opt))
	refs, err := s.Find(ctx, rec.Index[:1], opt)
	wantOne("Find", refs, err)
	refs, err = s.Due(ctx, 1, 2_000_000_000, store.Ref{}, 10, opt)
	wantOne("Due", refs, err)
	refs, err = s.ClaimDue(ctx, 2_000_000_000, 10, time.Hour, opt)
	wantOne("ClaimDue", refs, err)

	after := next(rec)
	after.Epoch, err = lease(ctx, s, key, "us", time.Hour)
	must(t, err)
	_, err = lease(ctx, s, key, "them", time.Hour)
	wantErr(t, "Lease", err, store.ErrLeased)
	in := store.Intent{Token: [32]byte{0, 255}, Epoch: after.Epoch, At: 1}
	must(t, intend(ctx, s, key, "us", in))
	must(t, s.Release(ctx, key, "us", after.Epoch, opt))
	if stale, err := s.StaleIntents(ctx, 10, opt); err != nil || len(stale) != 1 || stale[0].Intent != in {
		t.Errorf("StaleIntents = %v, %v", stale, err)
	}
	must(t, s.ClearIntent(ctx, key, in, opt))
	must(t, s.Update(ctx, key, rec.Version, after, opt))
	wantErr(t, "Update", s.Update(ctx, key, rec.Version, after, opt), store.ErrConflict)
	must(t, s.Touch(ctx, key, 0, opt))
	got, err := s.Load(ctx, key, opt)
	must(t, err)
	if got.Version != after.Version || got.Epoch != after.Epoch || got.Ceiling != after.Ceiling ||
		len(got.Index) != 2 || got.Index[0] != rec.Index[0] || string(got.Sealed) != string(rec.Sealed) {
		t.Errorf("Load = %v, want %v", got, after)
	}
	must(t, s.End(ctx, key, rec.Incarnation, store.Ending{Reason: session.ReasonCeiling}, opt))
	_, err = s.Load(ctx, key, opt)
	wantErr(t, "Load", err, store.ErrNotFound)
	for _, want := range []session.Version{rec.Version, after.Version, {}} {
		if got := receive(t, "a notice", w.notices); got != (heard{key, want}) {
			t.Errorf("told of %v, want %v", got.version, want)
		}
	}
	w.stop()
	wantErr(t, "Watch", receive(t, "its end", w.ended), context.Canceled)

	tx := s.Transactions()
	must(t, tx.Put(ctx, "state", []byte("\x00data"), time.Hour, opt))
	for _, read := range []func() ([]byte, error){
		func() ([]byte, error) { return tx.Get(ctx, "state", opt) },
		func() ([]byte, error) { return tx.Take(ctx, "state", opt) },
	} {
		if data, err := read(); err != nil || string(data) != "\x00data" {
			t.Errorf("the transaction = %q, %v", data, err)
		}
	}
	_, err = tx.Take(ctx, "state", opt)
	wantErr(t, "Take", err, store.ErrNotFound)
}
