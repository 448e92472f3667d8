package postgres_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
)

// The lease changes hands while its old owner writes on. What the new owner has read then
// stays as it is.
func TestLease_fencesTheOneBefore(t *testing.T) {
	h := newHome(t)
	old, young := h.open(), h.open()
	var opt store.Options
	for i := range 25 {
		key, rec := keyOf(i), record()
		must(t, old.Replace(t.Context(), key, rec, opt))
		first, err := lease(t.Context(), old, key, "old", time.Hour)
		must(t, err)
		var wg sync.WaitGroup
		writing := make(chan struct{})
		wg.Go(func() {
			for n := 0; ; n++ {
				if n == 2 {
					close(writing)
				}
				late := next(rec)
				late.Epoch = first
				err := old.Update(t.Context(), key, rec.Version, late, opt)
				if errors.Is(err, store.ErrConflict) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				rec = late
			}
		})
		<-writing
		must(t, old.Release(t.Context(), key, "old", first, opt))
		second, err := lease(t.Context(), young, key, "young", time.Hour)
		must(t, err)
		seen, err := young.Load(t.Context(), key, opt)
		must(t, err)
		wg.Wait()
		got, err := young.Load(t.Context(), key, opt)
		must(t, err)
		if second <= first || got.Version != seen.Version || got.Version != rec.Version {
			t.Fatalf("epochs %d, %d: the new owner read %v, then there was %v, and the old one wrote %v", first, second, seen.Version, got.Version, rec.Version)
		}
	}
}

// history is all that was done to one session, by any caller.
type history struct {
	mu      sync.Mutex
	written map[session.Version]write
	ends    map[session.Incarnation]bool // those that somebody wanted to delete
}

type write struct {
	incarnation session.Incarnation
	update      bool
	prev        session.Version
}

func (h *history) note(rec store.Record, w write) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.incarnation = rec.Incarnation
	h.written[rec.Version] = w
}

// Two processes do whatever they like to one session. The notices tell the order in which
// the server did it, and in that order every update follows the very write it was made from, each
// deletion ends an incarnation that was to be ended, and nothing is told twice or not at all.
func TestStress_everyWriteFollowsTheOneItSaw(t *testing.T) {
	const workers, steps = 8, 60
	h := newHome(t)
	stores := []*postgres.Store{h.open(), h.open()}
	w := watch(t, stores[0])
	key := keyOf(1)
	past := &history{written: make(map[session.Version]write), ends: make(map[session.Incarnation]bool)}
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range steps {
				if err := past.step(t, stores[i%2], key, random, string(rune('a'+i))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if odd := query[int](h, `SELECT count(*) FROM x.sessions s WHERE
		(SELECT count(*) FROM x.session_values v WHERE v.key = s.key) <> cardinality(s.index_values)
		OR EXISTS (SELECT FROM unnest(s.index_values) u (value) WHERE NOT EXISTS (
			SELECT FROM x.session_values v WHERE v.key = s.key AND v.value = u.value))`); odd != 0 {
		t.Error("the session cannot be found by the values that its record has")
	}
	last := record()
	must(t, stores[1].Replace(t.Context(), key, last, store.Options{}))

	var before session.Version
	var lives session.Incarnation // zero: none
	for count := 0; before != last.Version; count++ {
		n := receive(t, "a notice", w.notices)
		is, written := past.written[n.version]
		switch {
		case n.version == last.Version:
		case n.version.IsZero():
			if !past.ends[lives] && !past.ends[session.Incarnation{}] { // lives is zero: what had ended has ended for another reason
				t.Fatalf("notice %d: incarnation %v was deleted, which nobody wanted", count, lives)
			}
		case !written:
			t.Fatalf("notice %d: version %v was told, which nobody wrote, or twice", count, n.version)
		case is.update && is.prev != before:
			t.Fatalf("notice %d: version %v was made from %v, and followed %v", count, n.version, is.prev, before)
		}
		delete(past.written, n.version)
		before, lives = n.version, is.incarnation
	}
	if len(past.written) != 0 {
		t.Errorf("%d writes were not told", len(past.written))
	}
}

// step does one thing at random, and notes what it wrote.
func (h *history) step(t testing.TB, s *postgres.Store, key session.Key, random *rand.Rand, owner string) error {
	ctx, opt := t.Context(), store.Options{}
	values := func(r *store.Record) {
		r.Index = nil
		for v := range random.IntN(4) {
			r.Index = append(r.Index, store.IndexValue{byte(v + random.IntN(2))})
		}
		r.Index = slices.Compact(r.Index)
		r.Ceiling = session.Ceiling(random.IntN(3))
	}
	current, err := s.Load(ctx, key, opt)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	switch random.IntN(10) {
	case 0:
		rec := record(values)
		h.note(rec, write{})
		return s.Replace(ctx, key, rec, opt)
	case 1:
		if random.IntN(5) == 0 {
			current.Incarnation = session.Incarnation{} // any
		}
		h.mu.Lock()
		h.ends[current.Incarnation] = true
		h.mu.Unlock()
		return s.End(ctx, key, current.Incarnation, store.Ending{Reason: session.ReasonCeiling}, opt)
	case 2:
		epoch, err := lease(ctx, s, key, owner, time.Hour)
		if err != nil {
			return expected(err)
		}
		return s.Release(ctx, key, owner, epoch, opt)
	case 3:
		begun, err := begin(ctx, s, key, store.Beginning{Owner: owner, TTL: time.Hour, Intent: store.Intent{Token: [32]byte{1}, At: 1}})
		if err != nil || begun.Moved != nil {
			return expected(err)
		}
		return s.Release(ctx, key, owner, begun.Epoch, opt)
	case 4:
		return expected(s.Touch(ctx, key, time.Hour, opt))
	case 5:
		_, err := s.ClaimDue(ctx, 2, 10, time.Millisecond, opt)
		return err
	}
	rec := next(current)
	rec.Epoch = 1 << 40
	values(&rec)
	err = s.Update(ctx, key, current.Version, rec, opt)
	if err == nil {
		h.note(rec, write{update: true, prev: current.Version})
	}
	return expected(err)
}

// expected returns err unless it only says that another one was faster.
func expected(err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrLeased) {
		return nil
	}
	return err
}
