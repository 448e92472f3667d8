package postgres_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
)

// flown is a session with 4 KiB of state and all that the store keeps beside.
func flown(r *store.Record) {
	r.Sealed = make([]byte, 4096)
	r.Ceiling, r.TTL = 2_000_000_000, 24*time.Hour
	r.Index = []store.IndexValue{{1}, {2}}
}

func BenchmarkLoad(b *testing.B) {
	s := newHome(b).open()
	must(b, s.Replace(b.Context(), keyOf(1), record(flown), store.Options{}))
	for b.Loop() {
		_, err := s.Load(b.Context(), keyOf(1), store.Options{})
		must(b, err)
	}
}

func BenchmarkUpdate(b *testing.B) {
	s := newHome(b).open()
	rec := record(flown)
	must(b, s.Replace(b.Context(), keyOf(1), rec, store.Options{}))
	for b.Loop() {
		after := next(rec)
		must(b, s.Update(b.Context(), keyOf(1), rec.Version, after, store.Options{}))
		rec = after
	}
}

// BenchmarkSaves times updates of 64 sessions at once: how many a second the server
// commits.
func BenchmarkSaves(b *testing.B) {
	s := newHome(b).open(postgres.PoolSize(32))
	parallel(b, s, func(key session.Key, rec store.Record) store.Record {
		after := next(rec)
		must(b, s.Update(b.Context(), key, rec.Version, after, store.Options{}))
		return after
	})
}

// BenchmarkFlights times what a refresh asks of the store, for 64 sessions at once.
func BenchmarkFlights(b *testing.B) {
	s := newHome(b).open(postgres.PoolSize(32))
	parallel(b, s, func(key session.Key, rec store.Record) store.Record {
		begun, err := s.Begin(b.Context(), key, store.Beginning{
			Version: rec.Version, Owner: "us", TTL: time.Minute, Intent: store.Intent{Token: [32]byte{1}},
		}, store.Options{})
		must(b, err)
		after := next(rec)
		after.Epoch, after.Release = begun.Epoch, "us"
		must(b, s.Update(b.Context(), key, rec.Version, after, store.Options{}))
		return after
	})
}

func parallel(b *testing.B, s *postgres.Store, do func(key session.Key, rec store.Record) store.Record) {
	const sessions = 64
	recs := make([]store.Record, sessions)
	var wg sync.WaitGroup
	for i := range recs {
		recs[i] = record(flown)
		wg.Go(func() { must(b, s.Replace(b.Context(), keyOf(i), recs[i], store.Options{})) })
	}
	wg.Wait()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	for i, rec := range recs {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				rec = do(keyOf(i), rec)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// BenchmarkDue times a page of ClaimDue and Due among many sessions that are not due.
func BenchmarkDue(b *testing.B) {
	h := newHome(b)
	s := h.open()
	h.exec(`INSERT INTO x.sessions (key, version, incarnation, sealed, ceiling, stands_until)
		SELECT sha256(n::text::bytea), sha256(n::text::bytea), sha256('x'), '', 2000000000 + n, 'infinity'
		FROM generate_series(1, 100000) n`)
	h.exec(`ANALYZE x.sessions`)
	for b.Loop() {
		if refs, err := s.ClaimDue(b.Context(), 2_000_000_000, 100, time.Minute, store.Options{}); err != nil || len(refs) != 0 {
			b.Fatal(refs, err)
		}
		if _, err := s.Due(b.Context(), 2_000_050_000, 2_000_050_100, store.Ref{}, 100, store.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
