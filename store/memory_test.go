package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

func TestMemory(t *testing.T) {
	for name, opts := range map[string][]store.MemoryOption{
		"exclusive": nil, "survives": {store.Survives()}, "shared": {store.Shared()},
	} {
		t.Run(name, func(t *testing.T) {
			traits := storetest.Traits{IndexEntries: func(_ testing.TB, s store.StateStore) int { return store.IndexEntries(s.(*store.Memory)) }}
			storetest.RunTraits(t, traits, func(_ *testing.T, c clock.Clock) store.StateStore { return store.NewMemory(c, opts...) })
		})
	}
}

func TestMemory_throughFaulty(t *testing.T) {
	storetest.Run(t, func(_ *testing.T, c clock.Clock) store.StateStore {
		return storetest.NewFaulty(store.NewMemory(c, store.Shared()))
	})
}

func TestTransactions(t *testing.T) {
	storetest.RunTransactions(t, func(_ *testing.T, c clock.Clock) store.TransactionStore { return store.NewTransactions(c) })
}

func TestTransactions_throughFaulty(t *testing.T) {
	storetest.RunTransactions(t, func(_ *testing.T, c clock.Clock) store.TransactionStore {
		return storetest.NewFaultyTransactions(store.NewTransactions(c))
	})
}

func TestMemory_isExclusiveUnlessShared(t *testing.T) {
	if !store.IsExclusive(store.NewMemory(nil)) {
		t.Error("a Memory counts as shared, want exclusive")
	}
	if store.IsExclusive(store.NewMemory(nil, store.Shared())) {
		t.Error("a shared Memory counts as exclusive")
	}
}

func TestMemory_keepsTombstonesAsLongAsItIsTold(t *testing.T) {
	keepsTombstones(t, time.Hour, store.TombstoneLife(time.Hour))
}

func TestMemory_keepsTombstonesForTenMinutes(t *testing.T) { keepsTombstones(t, 10*time.Minute) }

func keepsTombstones(t *testing.T, life time.Duration, options ...store.MemoryOption) {
	t.Helper()
	clk := clock.NewFake(t0)
	m := store.NewMemory(clk, options...)
	key := session.Key{1}
	must(t, m.Replace(t.Context(), key, store.Record{}, store.Options{}))
	must(t, m.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonCeiling}, store.Options{}))
	var gone *store.GoneError
	clk.Advance(life - 1)
	if _, err := m.Load(t.Context(), key, store.Options{}); !errors.As(err, &gone) {
		t.Errorf("a moment before its end: err = %v, want a GoneError", err)
	}
	clk.Advance(1)
	if _, err := m.Load(t.Context(), key, store.Options{}); !errors.Is(err, store.ErrNotFound) || errors.As(err, &gone) {
		t.Errorf("after %v: err = %v, want %v", life, err, store.ErrNotFound)
	}
}

// What Memory keeps is bounded by what lives, though it has no timer: each write
// clears away more than it can leave behind.
func TestMemory_clearsAwayWhatHasLapsed(t *testing.T) {
	clk := clock.NewFake(t0)
	m := store.NewMemory(clk, store.Shared())
	for i := range 5000 {
		key := keyOf(i)
		must(t, m.Replace(t.Context(), key, store.Record{
			Ceiling: 2_000_000_000, Index: []store.IndexValue{{byte(i)}, sha256.Sum256(key[:])}, TTL: time.Minute,
		}, store.Options{}))
		switch i % 3 {
		case 0:
			must(t, m.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}))
		case 1:
			_, err := m.Begin(t.Context(), key, store.Beginning{Owner: "a process", TTL: time.Second, Intent: store.Intent{Token: [32]byte{1}}}, store.Options{})
			must(t, err)
		}
	}
	if n := m.Kept(); n.Entries != 5000 {
		t.Fatalf("kept %+v, want 5000 entries", n)
	}
	clk.Advance(store.DefaultTombstoneLife)
	for i := range 5000 { // others come and stay
		must(t, m.Replace(t.Context(), keyOf(5000+i), store.Record{}, store.Options{}))
	}
	if n, want := m.Kept(), (store.Kept{Entries: 5000}); n != want {
		t.Errorf("after all of them lapsed: kept %+v, want %+v", n, want)
	}
}

func TestMemory_aKeyOfAnotherUserIsNotFoundByTheFormerOnesValues(t *testing.T) {
	m := store.NewMemory(clock.NewFake(t0))
	former, later := store.IndexValue{1}, store.IndexValue{2}
	find := func(v store.IndexValue) int {
		refs, err := m.Find(t.Context(), []store.IndexValue{v}, store.Options{})
		must(t, err)
		return len(refs)
	}
	must(t, m.Replace(t.Context(), keyOf(1), store.Record{Index: []store.IndexValue{former}, TTL: time.Hour}, store.Options{}))
	must(t, m.End(t.Context(), keyOf(1), session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}))
	if n := find(former); n != 0 {
		t.Errorf("an ended session was found %d times", n)
	}
	must(t, m.Replace(t.Context(), keyOf(1), store.Record{Index: []store.IndexValue{later}, TTL: time.Hour}, store.Options{}))
	if n := find(former); n != 0 {
		t.Errorf("another user's session was found %d times by the former user's value", n)
	}
	if n := find(later); n != 1 {
		t.Errorf("the session was found %d times, want once", n)
	}
	must(t, m.Replace(t.Context(), keyOf(1), store.Record{Index: []store.IndexValue{former}, TTL: time.Hour}, store.Options{}))
	must(t, m.End(t.Context(), keyOf(1), session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}))
	must(t, m.Replace(t.Context(), keyOf(1), store.Record{Index: []store.IndexValue{former}, TTL: time.Hour}, store.Options{}))
	if n := find(former); n != 1 {
		t.Errorf("the same user's new session was found %d times, want once", n)
	}
}

func TestMemory_watcherThatLagsIsToldSo(t *testing.T) {
	m := store.NewMemory(clock.NewFake(t0))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var lost, notices int
	err := m.Watch(ctx,
		func(session.Key, session.Version) {
			if notices++; notices == 2 {
				cancel()
			}
		},
		func() {
			switch lost++; lost {
			case 1: // nobody listens while this many are written
				for i := range store.MaxNotices + 1 {
					must(t, m.Replace(ctx, keyOf(i), store.Record{}, store.Options{}))
				}
			case 2:
				must(t, m.Replace(ctx, keyOf(0), store.Record{}, store.Options{}))
			}
		})
	if !errors.Is(err, context.Canceled) || lost != 2 || notices != 2 {
		t.Errorf("err = %v, told of a gap %d times and of %d writes, want twice and 2", err, lost, notices)
	}
}

func TestMemory_atTheEndsOfTime(t *testing.T) {
	for _, now := range []time.Time{{}, time.Unix(0, 0), time.Unix(9_999_999_999, 0), time.Unix(1<<40, 0)} {
		clk := clock.NewFake(now)
		m := store.NewMemory(clk)
		rec := store.Record{Ceiling: 1, TTL: time.Hour}
		must(t, m.Replace(t.Context(), session.Key{1}, rec, store.Options{}))
		if _, err := m.Load(t.Context(), session.Key{1}, store.Options{}); err != nil {
			t.Errorf("at %v: %v", now, err)
		}
		refs, err := m.Due(t.Context(), 1, 100, store.Ref{}, math.MaxInt, store.Options{})
		if err != nil || len(refs) != 1 {
			t.Errorf("at %v: Due = %v, %v, want one session", now, refs, err)
		}
		refs, err = m.ClaimDue(t.Context(), 100, 10, time.Hour, store.Options{})
		if err != nil || len(refs) != 1 {
			t.Errorf("at %v: ClaimDue = %v, %v, want one session", now, refs, err)
		}
	}
}

func TestTransactions_dropsTheExpiredThenTheOldest(t *testing.T) {
	clk := clock.NewFake(t0)
	s := store.NewTransactions(clk, store.MaxTransactions(3))
	put := func(key string, ttl time.Duration) {
		t.Helper()
		must(t, s.Put(t.Context(), key, []byte(key), ttl, store.Options{}))
	}
	wantKept := func(keys ...string) {
		t.Helper()
		if s.Len() != len(keys) {
			t.Errorf("%d transactions kept, want %d", s.Len(), len(keys))
		}
		for _, key := range keys {
			if _, err := s.Get(t.Context(), key, store.Options{}); err != nil {
				t.Errorf("Get(%s): %v", key, err)
			}
		}
	}
	put("oldest", time.Hour)
	put("brief", time.Minute)
	put("third", time.Hour)
	clk.Advance(time.Minute)
	put("fourth", time.Hour)
	wantKept("oldest", "third", "fourth")
	put("fifth", time.Hour)
	wantKept("third", "fourth", "fifth")
	put("third", time.Hour) // counts as new
	put("sixth", time.Hour)
	wantKept("fifth", "third", "sixth")
	clk.Advance(time.Hour)
	put("seventh", time.Hour)
	wantKept("seventh")
}

func TestTransactions_keepsHundredThousand(t *testing.T) {
	s := store.NewTransactions(clock.NewFake(t0))
	for i := range store.DefaultMaxTransactions + 10 {
		must(t, s.Put(t.Context(), fmt.Sprint(i), nil, time.Hour, store.Options{}))
	}
	if s.Len() != store.DefaultMaxTransactions {
		t.Errorf("%d transactions kept, want %d", s.Len(), store.DefaultMaxTransactions)
	}
	if _, err := s.Take(t.Context(), "9", store.Options{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Take of one of the oldest: err = %v, want %v", err, store.ErrNotFound)
	}
}

func BenchmarkMemory_update(b *testing.B) {
	m := store.NewMemory(clock.NewFake(t0))
	rec := store.Record{Ceiling: 2_000_000_000, Index: []store.IndexValue{{1}, {2}}, Sealed: make([]byte, 4096)}
	must(b, m.Replace(b.Context(), session.Key{}, rec, store.Options{}))
	b.ReportAllocs()
	for b.Loop() {
		must(b, m.Update(b.Context(), session.Key{}, session.Version{}, rec, store.Options{}))
	}
}

// BenchmarkMemory_endAll ends 100,000 sessions of one second in batches, as at their ceiling.
func BenchmarkMemory_endAll(b *testing.B) {
	const n, batch = 100_000, 256
	var refs []store.Ref
	for i := range n {
		refs = append(refs, store.Ref{Key: keyOf(i)})
	}
	for b.Loop() {
		b.StopTimer()
		m := store.NewMemory(clock.NewFake(t0))
		for _, r := range refs {
			rec := store.Record{Ceiling: 2_000_000_000, Index: []store.IndexValue{{1: r.Key[0]}, sha256.Sum256(r.Key[:])}, Sealed: make([]byte, 500)}
			must(b, m.Replace(b.Context(), r.Key, rec, store.Options{}))
		}
		b.StartTimer()
		for i := 0; i < n; i += batch {
			_, err := m.EndAll(b.Context(), refs[i:min(i+batch, n)], store.Ending{Reason: session.ReasonCeiling}, store.Options{})
			must(b, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/session")
}

// BenchmarkMemory_page asks for pages of 100 among 100,000 sessions, one after the other from the first on. A session comes and one
// goes between two pages of a listing by deadline, so that the order of their second is to be found anew.
func BenchmarkMemory_page(b *testing.B) {
	const n, limit = 100_000, 100
	issuer := store.IndexValue{1}
	put := func(b *testing.B, m *store.Memory, i, seconds int) {
		key := keyOf(i)
		rec := store.Record{
			Ceiling: 2_000_000_000 + session.Ceiling(i%seconds), Index: []store.IndexValue{issuer, sha256.Sum256(key[:])}, Sealed: make([]byte, 500),
		}
		must(b, m.Replace(b.Context(), key, rec, store.Options{}))
	}
	for _, l := range []struct {
		name    string
		listing store.Listing
		seconds int // in which their ceilings are
	}{
		{"all", store.Listing{}, 1},
		{"issuer", store.Listing{Value: issuer}, 1},
		{"due in one second", store.Listing{Until: 3_000_000_000}, 1},
		{"due in a day", store.Listing{Until: 3_000_000_000}, 86_400},
	} {
		b.Run(l.name, func(b *testing.B) {
			m := store.NewMemory(clock.NewFake(t0))
			for i := range n {
				put(b, m, i, l.seconds)
			}
			l.listing.Limit = limit
			come := n
			for b.Loop() {
				page, err := m.List(b.Context(), l.listing, store.Options{})
				must(b, err)
				l.listing.After = page.Next
				if l.listing.Until > 0 {
					put(b, m, come, l.seconds)
					must(b, m.End(b.Context(), keyOf(come-n), session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}))
					come++
				}
			}
		})
	}
}

func keyOf(i int) session.Key {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(i))
	return sha256.Sum256(b[:])
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
