package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var indexStories = []story{
	{"finds sessions by each of their values", func(r *rig) {
		phone, laptop, user := random[store.IndexValue](), random[store.IndexValue](), random[store.IndexValue]()
		a, recA := r.login(withIndex(phone, user), withCeiling(2_000_000_000))
		b, recB := r.login(withIndex(laptop, user))
		r.login()
		refA, refB := refOf(a, recA), refOf(b, recB)
		r.wantFound([]store.Ref{refA}, phone)
		r.wantFound([]store.Ref{refB}, laptop)
		r.wantFound([]store.Ref{refA, refB}, user)
		r.wantFound([]store.Ref{refA, refB}, laptop, phone)
		r.wantFound([]store.Ref{refA, refB}, laptop, phone, user)
		r.wantFound(nil, random[store.IndexValue]())
		r.wantFound(nil)
	}},
	{"an update moves a session in the index", func(r *rig) {
		before, after, stays := random[store.IndexValue](), random[store.IndexValue](), random[store.IndexValue]()
		key, rec := r.login(withIndex(before, stays))
		moved := next(rec)
		moved.Index = []store.IndexValue{after, stays}
		r.must(r.store.Update(r.Context(), key, rec.Version, moved, opt))
		r.wantFound(nil, before)
		r.wantFound([]store.Ref{refOf(key, moved)}, after)
		r.wantFound([]store.Ref{refOf(key, moved)}, stays)

		refused := next(rec)
		refused.Index = []store.IndexValue{before}
		r.wantErr("a stale Update", r.store.Update(r.Context(), key, rec.Version, refused, opt), store.ErrConflict)
		r.wantFound(nil, before)
	}},
	{"a login takes the values of the one before", func(r *rig) {
		alice, bob := random[store.IndexValue](), random[store.IndexValue]()
		key, _ := r.login(withIndex(alice))
		fresh := newRecord(withIndex(bob))
		r.must(r.store.Replace(r.Context(), key, fresh, opt))
		r.wantFound(nil, alice)
		r.wantFound([]store.Ref{refOf(key, fresh)}, bob)
	}},
	{"a deleted session is not found", func(r *rig) {
		value := random[store.IndexValue]()
		key, rec := r.login(withIndex(value))
		other, otherRec := r.login(withIndex(value))
		r.end(key, random[session.Incarnation](), ceiling)
		r.wantFound([]store.Ref{refOf(key, rec), refOf(other, otherRec)}, value)
		r.end(key, rec.Incarnation, ceiling)
		r.wantFound([]store.Ref{refOf(other, otherRec)}, value)
	}},
	{"a session whose TTL has passed is not found", func(r *rig) {
		if r.traits.NoExpiry {
			r.Skip("the store does not expire")
		}
		value := random[store.IndexValue]()
		r.login(withIndex(value), withTTL(r.traits.Short))
		r.lapse(r.traits.Short)
		r.wantFound(nil, value)
	}},
	{"finds what a ceiling left, until it ends", func(r *rig) {
		phone, user := random[store.IndexValue](), random[store.IndexValue]()
		key, rec := r.login(withIndex(phone, user), withCeiling(1_900_000_000), withConnections)
		left := newRemainder()
		left.Index = []store.IndexValue{user}
		r.end(key, rec.Incarnation, atCeiling(rec.Version, left))
		ended := store.Ref{Key: key, Incarnation: rec.Incarnation, Connections: true, Ended: true}
		other, otherRec := r.login(withIndex(user))
		r.wantFound(nil, phone)
		r.wantFound([]store.Ref{ended, refOf(other, otherRec)}, user)
		r.wantFound([]store.Ref{ended, refOf(other, otherRec)}, phone, user)
		r.wantDue(0, 2_000_000_000, 10, nil)
		r.wantClaimed(nil, long)
		more := newRemainder()
		r.end(key, rec.Incarnation, atCeiling(left.Version, more))
		r.wantFound([]store.Ref{refOf(other, otherRec)}, user)
		r.wantFound([]store.Ref{ended}, more.Index...)
		r.end(key, rec.Incarnation, logout)
		r.wantFound(nil, more.Index...)
		r.wantFound([]store.Ref{refOf(other, otherRec)}, user)
	}},
	{"what a ceiling left is not found when it has lapsed, or after a login", func(r *rig) {
		_, _, left := r.endedAtCeiling()
		key, in, replaced := r.endedAtCeiling()
		r.wantFound([]store.Ref{{Key: key, Incarnation: in, Connections: true, Ended: true}}, replaced.Index...)
		r.must(r.store.Replace(r.Context(), key, newRecord(), opt))
		r.wantFound(nil, replaced.Index...)
		if !r.traits.NoExpiry && r.traits.Tombstones > 0 {
			r.lapse(left.TTL)
			r.wantFound(nil, left.Index...)
		}
	}},
	{"leaves no entry behind", func(r *rig) {
		if r.traits.IndexEntries == nil {
			r.Skip("the store does not say how many entries its index has")
		}
		want := func(doing string, n int) {
			r.Helper()
			if got := r.traits.IndexEntries(r, r.store); got != n {
				r.Fatalf("%s: the index has %d entries, want %d", doing, got, n)
			}
		}
		value := func() store.IndexValue { return random[store.IndexValue]() }
		shared := value()
		key, rec := r.login(withIndex(value(), shared))
		other, _ := r.login(withIndex(value(), shared))
		want("two logins", 4)
		moved := next(rec)
		moved.Index = []store.IndexValue{value(), shared}
		r.must(r.store.Update(r.Context(), key, rec.Version, moved, opt))
		want("an update to other values", 4)
		fewer := next(moved)
		fewer.Index = moved.Index[:1]
		r.must(r.store.Update(r.Context(), key, moved.Version, fewer, opt))
		want("an update to fewer values", 3)
		r.must(r.store.Update(r.Context(), key, fewer.Version, next(fewer), opt))
		want("an update that keeps its values", 3)
		fresh := newRecord(withIndex(value(), value()), withConnections)
		r.must(r.store.Replace(r.Context(), key, fresh, opt))
		want("a login in its place", 4)
		left := newRemainder()
		left.Index = left.Index[:1]
		r.end(key, fresh.Incarnation, atCeiling(fresh.Version, left))
		want("what a ceiling left", 3)
		r.end(key, fresh.Incarnation, atCeiling(left.Version, newRemainder()))
		want("what another ceiling added", 4)
		r.end(key, fresh.Incarnation, logout)
		want("a logout", 2)
		r.end(other, session.Incarnation{}, logout)
		want("a deletion", 0)
		again, _, _ := r.endedAtCeiling()
		r.must(r.store.Replace(r.Context(), again, newRecord(withIndex(shared)), opt))
		want("a login after a ceiling", 1)
	}},
	{"finds every session of a user", func(r *rig) {
		value := random[store.IndexValue]()
		var want []store.Ref
		for range 150 {
			key, rec := r.login(withIndex(value))
			want = append(want, refOf(key, rec))
		}
		r.wantFound(want, value)
	}},
	{"a find whose context has ended fails", func(r *rig) {
		ended, cancel := context.WithCancel(r.Context())
		cancel()
		ix := ability[store.Index](r, r.store)
		_, err := ix.Find(ended, []store.IndexValue{{1}}, opt)
		r.wantErr("Find", err, context.Canceled)
		_, err = ix.Due(ended, 0, 10, store.Ref{}, 10, opt)
		r.wantErr("Due", err, context.Canceled)
		_, err = ix.ClaimDue(ended, 10, 10, time.Minute, opt)
		r.wantErr("ClaimDue", err, context.Canceled)
	}},
}

var deadlineStories = []story{
	{"lists a window in pages, by ceiling and then key", func(r *rig) {
		const base = session.Ceiling(1_900_000_000)
		var want []store.Ref
		for i := range 25 {
			c := base + session.Ceiling(i/3) // three to a second
			key, rec := r.login(withCeiling(c))
			want = append(want, refOf(key, rec))
		}
		r.login()                       // no ceiling
		r.login(withCeiling(base - 1))  // before the window
		r.login(withCeiling(base + 9))  // its end is not in it
		r.login(withCeiling(base + 10)) // after it
		sortRefs(want)
		for _, limit := range []int{1, 4, 25, 100} {
			r.wantDue(base, base+9, limit, want)
		}
		r.wantDue(base+2, base+4, 4, want[6:12])
		r.wantDue(base+9, base+9, 4, nil)
		r.wantDue(0, base-1, 4, nil)
	}},
	{"a page goes on where the last one ended", func(r *rig) {
		var want []store.Ref
		for i := range 6 {
			key, rec := r.login(withCeiling(session.Ceiling(1_900_000_000 + i)))
			want = append(want, refOf(key, rec))
		}
		ix := ability[store.Index](r, r.store)
		page, err := ix.Due(r.Context(), 1, 2_000_000_000, store.Ref{}, 3, opt)
		r.must(err)
		r.end(page[2].Key, session.Incarnation{}, ceiling)
		page, err = ix.Due(r.Context(), 1, 2_000_000_000, page[2], 3, opt)
		r.must(err)
		if !slices.Equal(page, want[3:]) {
			r.Errorf("the page after a deleted session = %v, want %v", page, want[3:])
		}
	}},
	{"a ceiling moves with its record", func(r *rig) {
		key, rec := r.login(withCeiling(1_900_000_000))
		later := next(rec)
		later.Ceiling = 1_900_000_100
		r.must(r.store.Update(r.Context(), key, rec.Version, later, opt))
		r.wantDue(1, 2_000_000_000, 10, []store.Ref{refOf(key, later)})

		fresh := newRecord(withCeiling(1_900_000_050))
		r.must(r.store.Replace(r.Context(), key, fresh, opt))
		r.wantDue(1, 2_000_000_000, 10, []store.Ref{refOf(key, fresh)})

		none := next(fresh)
		none.Ceiling = 0
		r.must(r.store.Update(r.Context(), key, fresh.Version, none, opt))
		r.wantDue(0, 2_000_000_000, 10, nil)

		again := next(none)
		again.Ceiling = 9_999_999_999
		r.must(r.store.Update(r.Context(), key, none.Version, again, opt))
		r.wantDue(1, 10_000_000_000, 10, []store.Ref{refOf(key, again)})
		r.end(key, session.Incarnation{}, logout)
		r.wantDue(0, 10_000_000_000, 10, nil)
	}},
	{"claims each due session for one caller", func(r *rig) {
		const due, until = 120, session.Ceiling(1_900_000_000)
		for i := range due {
			r.login(withCeiling(until - 1 - session.Ceiling(i%7)))
		}
		r.login(withCeiling(until))
		r.login()
		claims := make([][]store.Ref, 6)
		errs := make([]error, len(claims))
		together(len(claims), func(i int) {
			ix, ok := store.As[store.Index](r.process(i))
			if !ok {
				errs[i] = errors.New("the other process has no index")
				return
			}
			for {
				refs, err := ix.ClaimDue(r.Context(), until, 7, time.Hour, opt)
				if len(refs) > 7 {
					err = errors.New("ClaimDue returned more than its limit")
				}
				if err != nil || len(refs) == 0 {
					errs[i] = err
					return
				}
				claims[i] = append(claims[i], refs...)
			}
		})
		r.must(errors.Join(errs...))
		seen := make(map[session.Key]bool)
		for _, refs := range claims {
			for _, ref := range refs {
				if seen[ref.Key] {
					r.Fatal("a session was handed out twice")
				}
				seen[ref.Key] = true
				if ref.Ceiling == 0 || ref.Ceiling >= until {
					r.Errorf("a session with ceiling %d was claimed as due before %d", ref.Ceiling, until)
				}
			}
		}
		if len(seen) != due {
			r.Errorf("%d sessions were claimed, want %d", len(seen), due)
		}
		if refs := r.due(1, until, 1000); len(refs) != due {
			r.Errorf("Due lists %d sessions when they are claimed, want %d", len(refs), due)
		}
	}},
	{"a claim that was not used lapses", func(r *rig) {
		done, doneRec := r.login(withCeiling(1_000_000_000))
		left, leftRec := r.login(withCeiling(1_000_000_001))
		both := []store.Ref{refOf(done, doneRec), refOf(left, leftRec)}
		r.wantClaimed(both, r.traits.Short)
		r.end(done, doneRec.Incarnation, ceiling)
		r.wantClaimed(nil, r.traits.Short)
		r.lapse(r.traits.Short)
		r.wantClaimed(both[1:], time.Hour)
		r.wantClaimed(nil, time.Hour)
	}},
	{"a login ends the claim on the one before", func(r *rig) {
		key, rec := r.login(withCeiling(1_000_000_000))
		r.wantClaimed([]store.Ref{refOf(key, rec)}, time.Hour)
		fresh := newRecord(withCeiling(1_000_000_001))
		r.must(r.store.Replace(r.Context(), key, fresh, opt))
		r.wantClaimed([]store.Ref{refOf(key, fresh)}, time.Hour)
		r.end(key, session.Incarnation{}, logout)
		again := newRecord(withCeiling(1_000_000_001))
		r.must(r.store.Replace(r.Context(), key, again, opt))
		r.wantClaimed([]store.Ref{refOf(key, again)}, time.Hour)
	}},
}

func refOf(key session.Key, rec store.Record) store.Ref {
	return store.Ref{Key: key, Incarnation: rec.Incarnation, Ceiling: rec.Ceiling, Connections: rec.Connections}
}

func sortRefs(refs []store.Ref) {
	slices.SortFunc(refs, func(a, b store.Ref) int {
		return cmp.Or(cmp.Compare(a.Ceiling, b.Ceiling), bytes.Compare(a.Key[:], b.Key[:]))
	})
}

// wantFound fails unless Find of the values returns these sessions, in any order.
func (r *rig) wantFound(want []store.Ref, values ...store.IndexValue) {
	r.Helper()
	want = slices.Clone(want)
	sortRefs(want)
	for _, s := range []store.StateStore{r.store, r.other} {
		got, err := ability[store.Index](r, s).Find(r.Context(), values, opt)
		r.must(err)
		sortRefs(got)
		if !slices.Equal(got, want) {
			r.Fatalf("Find = %v, want %v", got, want)
		}
	}
}

// due returns what Due lists, page by page.
func (r *rig) due(from, until session.Ceiling, limit int) []store.Ref {
	r.Helper()
	ix := ability[store.Index](r, r.store)
	var refs []store.Ref
	var last store.Ref
	for {
		page, err := ix.Due(r.Context(), from, until, last, limit, opt)
		r.must(err)
		if len(page) > limit {
			r.Fatalf("a page has %d sessions, want %d at most", len(page), limit)
		}
		refs = append(refs, page...)
		if len(page) < limit {
			return refs
		}
		last = page[len(page)-1]
	}
}

func (r *rig) wantDue(from, until session.Ceiling, limit int, want []store.Ref) {
	r.Helper()
	if got := r.due(from, until, limit); !slices.Equal(got, want) {
		r.Fatalf("Due from %d until %d in pages of %d = %v, want %v", from, until, limit, got, want)
	}
}

// wantClaimed fails unless ClaimDue hands out these sessions, in any order.
func (r *rig) wantClaimed(want []store.Ref, hold time.Duration) {
	r.Helper()
	got, err := ability[store.Index](r, r.store).ClaimDue(r.Context(), 1_500_000_000, 100, hold, opt)
	r.must(err)
	sortRefs(got)
	if !slices.Equal(got, want) {
		r.Fatalf("ClaimDue = %v, want %v", got, want)
	}
}
