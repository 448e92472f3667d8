package storetest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// t0 is when every test begins.
var t0 = time.Date(2030, time.January, 1, 12, 0, 0, 0, time.UTC)

// story is one test of the suite.
type story struct {
	name string
	tell func(r *rig)
}

// RunTraits is Run for a store with other traits.
func RunTraits(t *testing.T, traits Traits, newStore func(t *testing.T, c clock.Clock) store.StateStore) {
	t.Helper()
	traits = traits.withDefaults()
	tell := func(t *testing.T, stories []story) {
		for _, s := range stories {
			t.Run(s.name, func(t *testing.T) { s.tell(newRig(t, traits, newStore)) })
		}
	}
	tell(t, contractStories)
	tell(t, raceStories)
	t.Run("endings", func(t *testing.T) { tell(t, endingStories) })

	// Each story begins with an empty store, so what a store can do is asked of one
	// more.
	s := newStore(t, clock.NewFake(t0))
	for _, ability := range []struct {
		has     bool
		name    string
		stories []story
	}{
		{has[store.Index](s), "index", indexStories},
		{has[store.Index](s), "deadlines", deadlineStories},
		{has[store.Leaser](s), "leases", leaseStories},
		{has[store.Intents](s), "intents", intentStories},
		{has[store.Leaser](s) || has[store.Intents](s), "begin", beginStories},
		{has[store.Leaser](s), "begin with a lease", beginLeaseStories},
		{has[store.BatchEnder](s), "ending many", batchStories},
		{has[store.ChangeFeed](s), "change feed", feedStories},
		{has[store.Toucher](s), "touch", touchStories},
		{has[store.Lister](s), "listing", listStories},
	} {
		if ability.has {
			t.Run(ability.name, func(t *testing.T) { tell(t, ability.stories) })
		}
	}
}

func (tr Traits) withDefaults() Traits {
	if tr.Short == 0 {
		tr.Short = time.Minute
	}
	if tr.Tombstones == 0 {
		tr.Tombstones = store.DefaultTombstoneLife
	}
	if tr.MaxTransaction == 0 {
		tr.MaxTransaction = 64 << 10
	}
	return tr
}

// rig is a store under test, and the same one as a second process sees it.
type rig struct {
	*testing.T
	traits Traits
	clock  *clock.Fake
	store  store.StateStore
	other  store.StateStore
}

func newRig(t *testing.T, traits Traits, newStore func(t *testing.T, c clock.Clock) store.StateStore) *rig {
	t.Helper()
	c := clock.NewFake(t0)
	s := newStore(t, c)
	r := &rig{T: t, traits: traits, clock: c, store: s, other: s}
	if traits.Another != nil {
		r.other = traits.Another(t, s, c)
	}
	return r
}

func has[T any](s store.StateStore) bool {
	_, ok := store.As[T](s)
	return ok
}

// ability returns an ability that the store is known to have.
func ability[T any](r *rig, s store.StateStore) T {
	r.Helper()
	a, ok := store.As[T](s)
	if !ok {
		r.Fatalf("the store lost the ability %T between two calls of newStore", *new(T))
	}
	return a
}

// lapse lets d pass, and a little more.
func (r *rig) lapse(d time.Duration) {
	r.Helper()
	d += min(d/10, time.Second)
	if r.traits.Lapse != nil {
		r.traits.Lapse(r, d)
	}
	r.clock.Advance(d)
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) wantErr(doing string, err, want error) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Fatalf("%s: err = %v, want %v", doing, err, want)
	}
}

// wantGone fails unless err tells of a tombstone with this reason.
func (r *rig) wantGone(doing string, err error, why session.Reason) {
	r.Helper()
	var gone *store.GoneError
	if !errors.As(err, &gone) || gone.Reason != why {
		r.Fatalf("%s: err = %v, want a tombstone that says %q", doing, err, why)
	}
}

// wantAbsent fails unless err says that there is nothing, not even a tombstone.
func (r *rig) wantAbsent(doing string, err error) {
	r.Helper()
	var gone *store.GoneError
	if !errors.Is(err, store.ErrNotFound) || errors.As(err, &gone) {
		r.Fatalf("%s: err = %v, want %v and no tombstone", doing, err, store.ErrNotFound)
	}
}

// wantRecord fails unless this record is under key, for this process and another.
func (r *rig) wantRecord(key session.Key, want store.Record) {
	r.Helper()
	want.TTL = 0
	for _, s := range []store.StateStore{r.store, r.other} {
		got, err := s.Load(r.Context(), key, opt)
		if err != nil {
			r.Fatalf("Load: %v", err)
		}
		if !same(got, want) {
			r.Fatalf("Load = %v, want %v", brief(got), brief(want))
		}
	}
}

// opt is what every call of the suite passes: nothing.
var opt store.Options

// login writes a new record under a new key.
func (r *rig) login(change ...func(*store.Record)) (session.Key, store.Record) {
	r.Helper()
	key, rec := random[session.Key](), newRecord(change...)
	r.must(r.store.Replace(r.Context(), key, rec, opt))
	return key, rec
}

func newRecord(change ...func(*store.Record)) store.Record {
	rec := store.Record{
		Version:     random[session.Version](),
		Incarnation: random[session.Incarnation](),
		Sealed:      []byte("what is sealed, " + rand.Text()),
	}
	for _, c := range change {
		c(&rec)
	}
	return rec
}

// next is rec as its next writer writes it.
func next(rec store.Record) store.Record {
	rec.Version = random[session.Version]()
	rec.Sealed = []byte("what is sealed next, " + rand.Text())
	rec.Index = slices.Clone(rec.Index)
	return rec
}

func withCeiling(c session.Ceiling) func(*store.Record) {
	return func(rec *store.Record) { rec.Ceiling = c }
}

func withIndex(values ...store.IndexValue) func(*store.Record) {
	return func(rec *store.Record) { rec.Index = values }
}

func withTTL(d time.Duration) func(*store.Record) {
	return func(rec *store.Record) { rec.TTL = d }
}

func random[T ~[16]byte | ~[32]byte]() T {
	var b [32]byte
	_, _ = rand.Read(b[:])
	var v T
	for i := range len(v) {
		v[i] = b[i]
	}
	return v
}

func same(a, b store.Record) bool {
	return a.Version == b.Version && a.Incarnation == b.Incarnation && a.Epoch == b.Epoch && a.Ceiling == b.Ceiling &&
		a.TTL == b.TTL && a.Connections == b.Connections && slices.Equal(a.Index, b.Index) && bytes.Equal(a.Sealed, b.Sealed)
}

// brief is rec without what would fill the screen.
func brief(rec store.Record) store.Record {
	rec.Sealed = rec.Sealed[:min(len(rec.Sealed), 48)]
	return rec
}

// together runs f n times at once and returns when all have.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-start; f(i) })
	}
	close(start)
	wg.Wait()
}
