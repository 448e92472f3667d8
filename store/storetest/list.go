package storetest

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var listStories = []story{
	{"lists every session once, page by page, with what stands in clear and its state", func(r *rig) {
		value := random[store.IndexValue]()
		want := map[session.Key]store.Record{}
		for i := range 23 {
			rec := withCeiling(session.Ceiling(1_900_000_000 + i%3))
			key, saved := r.login(rec, withIndex(random[store.IndexValue](), value), withTTL(long))
			want[key] = saved
		}
		for range 5 {
			key, saved := r.login(withIndex(random[store.IndexValue]()))
			want[key] = saved
		}
		r.login() // without an index value it is no session
		ended, rec := r.login(withIndex(value))
		r.end(ended, rec.Incarnation, logout)

		for _, limit := range []int{1, 2, 7, 23, 28, 100} {
			r.wantListed(store.Listing{Limit: limit}, want, func(store.Record) bool { return true })
			r.wantListed(store.Listing{Limit: limit, Value: value}, want, func(rec store.Record) bool { return slices.Contains(rec.Index, value) })
			r.wantListed(store.Listing{Limit: limit, Until: 1_900_000_002}, want, func(rec store.Record) bool {
				return rec.Ceiling > 0 && rec.Ceiling < 1_900_000_002
			})
			r.wantListed(store.Listing{Limit: limit, From: 1_900_000_001, Until: 2_000_000_000}, want, func(rec store.Record) bool {
				return rec.Ceiling >= 1_900_000_001
			})
		}
		r.wantListed(store.Listing{Limit: 7, Value: random[store.IndexValue]()}, want, func(store.Record) bool { return false })
	}},
	{"lists those of a deadline in the order of their ceilings", func(r *rig) {
		for i := range 9 {
			r.login(withCeiling(session.Ceiling(1_900_000_000+(i*5)%9)), withIndex(random[store.IndexValue]()))
		}
		listed := r.list(store.Listing{Limit: 4, Until: 2_000_000_000})
		if len(listed) != 9 || !slices.IsSortedFunc(listed, func(a, b store.Listed) int { return int(a.Ceiling - b.Ceiling) }) {
			r.Errorf("%d sessions: %v", len(listed), listed)
		}
	}},
	{"lists a session that was saved or touched under the values that it has then", func(r *rig) {
		old, fresh := random[store.IndexValue](), random[store.IndexValue]()
		key, rec := r.login(withIndex(old), withTTL(long))
		after := next(rec)
		after.Index, after.TTL = []store.IndexValue{fresh}, long
		r.must(r.store.Update(r.Context(), key, rec.Version, after, opt))
		if listed := r.list(store.Listing{Limit: 5, Value: old}); len(listed) != 0 {
			r.Errorf("under the value before: %v", listed)
		}
		for _, l := range []store.Listing{{Limit: 5, Value: fresh}, {Limit: 5}} {
			if listed := r.list(l); len(listed) != 1 || !bytes.Equal(listed[0].Sealed, after.Sealed) {
				r.Errorf("under its value and among all: %v", listed)
			}
		}
	}},
	{"does not list what has lapsed, and lists a session that a touch keeps", func(r *rig) {
		if r.traits.NoExpiry || !has[store.Toucher](r.store) {
			r.Skip("the store does not expire, or has no Touch")
		}
		value, short := random[store.IndexValue](), r.traits.Short
		lives, _ := r.login(withIndex(value), withTTL(short))
		r.login(withIndex(value), withTTL(short))
		r.must(ability[store.Toucher](r, r.store).Touch(r.Context(), lives, 20*short, opt))
		r.lapse(short)
		for _, l := range []store.Listing{{Limit: 5, Value: value}, {Limit: 5}} {
			if listed := r.list(l); len(listed) != 1 || listed[0].Key != lives {
				r.Errorf("listed %v, want %s alone", listed, lives)
			}
		}
	}},
	{"says when a session was used: at its login, its save and its touch", func(r *rig) {
		key, rec := r.login(withIndex(random[store.IndexValue]()), withTTL(long))
		used := func() time.Time {
			r.Helper()
			listed := r.list(store.Listing{Limit: 5})
			if len(listed) != 1 || listed[0].Used.IsZero() {
				r.Fatalf("listed %v, want one session and when it was used", listed)
			}
			return listed[0].Used
		}
		uses := []time.Time{used()}
		r.lapse(r.traits.Short)
		after := next(rec)
		after.TTL = long
		r.must(r.store.Update(r.Context(), key, rec.Version, after, opt))
		uses = append(uses, used())
		if has[store.Toucher](r.store) {
			r.lapse(r.traits.Short)
			r.must(ability[store.Toucher](r, r.store).Touch(r.Context(), key, long, opt))
			uses = append(uses, used())
		}
		for i := range len(uses) - 1 {
			if !uses[i].Before(uses[i+1]) {
				r.Errorf("used at %v", uses)
			}
		}
	}},
	{"lists what a ceiling left under its values, and not among all", func(r *rig) {
		value := random[store.IndexValue]()
		key, rec := r.login(withCeiling(1_900_000_000), withIndex(value))
		left := newRemainder()
		left.Index = []store.IndexValue{value}
		r.end(key, rec.Incarnation, atCeiling(rec.Version, left))
		listed := r.list(store.Listing{Limit: 5, Value: value})
		if len(listed) != 1 || !listed[0].Ended || listed[0].Key != key || listed[0].Incarnation != rec.Incarnation || listed[0].Sealed != nil {
			r.Errorf("listed %v", listed)
		}
		for _, l := range []store.Listing{{Limit: 5}, {Limit: 5, Until: 2_000_000_000}} {
			if listed := r.list(l); len(listed) != 0 {
				r.Errorf("%+v: listed %v", l, listed)
			}
		}
	}},
	{"goes on where a page ended, whatever came and went", func(r *rig) {
		value := random[store.IndexValue]()
		stands := map[session.Key]bool{}
		var goes []session.Key
		for i := range 40 {
			key, _ := r.login(withIndex(value))
			if stands[key] = i%2 == 0; !stands[key] {
				goes = append(goes, key)
			}
		}
		l := store.Listing{Limit: 3, Value: value}
		seen := map[session.Key]bool{}
		for more := true; more; more = l.After != "" {
			page, err := ability[store.Lister](r, r.store).List(r.Context(), l, opt)
			r.must(err)
			for _, s := range page.Sessions {
				seen[s.Key] = true
			}
			if len(goes) > 0 {
				r.end(goes[0], session.Incarnation{}, logout)
				goes = goes[1:]
				r.login(withIndex(value))
			}
			l.After = page.Next
		}
		for key, stays := range stands {
			if stays && !seen[key] {
				r.Errorf("%s stood all the time, and was not listed", key)
			}
		}
	}},
	{"refuses a page of no listing, and a context that has ended", func(r *rig) {
		r.login(withIndex(random[store.IndexValue]()))
		lister := ability[store.Lister](r, r.store)
		for _, after := range []string{"x", "k", "c-1", "0x"} {
			_, err := lister.List(r.Context(), store.Listing{Limit: 1, After: after}, opt)
			r.wantErr("List after "+after, err, store.ErrPage)
		}
		ended, cancel := context.WithCancel(r.Context())
		cancel()
		_, err := lister.List(ended, store.Listing{Limit: 1}, opt)
		r.wantErr("List", err, context.Canceled)
	}},
}

// list returns what List lists, page by page, and fails where a session comes twice.
func (r *rig) list(l store.Listing) (all []store.Listed) {
	r.Helper()
	seen := map[session.Key]bool{}
	for {
		page, err := ability[store.Lister](r, r.store).List(r.Context(), l, opt)
		r.must(err)
		if len(page.Sessions) > l.Limit {
			r.Fatalf("a page has %d sessions, want %d at most", len(page.Sessions), l.Limit)
		}
		for _, s := range page.Sessions {
			if seen[s.Key] {
				r.Fatalf("%s is listed twice", s.Key)
			}
			seen[s.Key] = true
		}
		all = append(all, page.Sessions...)
		if page.Next == "" {
			return all
		}
		l.After = page.Next
	}
}

// wantListed fails unless l lists those of want that are in it.
func (r *rig) wantListed(l store.Listing, want map[session.Key]store.Record, in func(store.Record) bool) {
	r.Helper()
	n := 0
	for _, rec := range want {
		if in(rec) {
			n++
		}
	}
	for _, brief := range []bool{false, true} {
		l.Brief = brief
		listed := r.list(l)
		if len(listed) != n {
			r.Fatalf("%+v lists %d sessions, want %d", l, len(listed), n)
		}
		for _, s := range listed {
			rec, ok := want[s.Key]
			sealed := rec.Sealed
			if brief {
				sealed = nil
			}
			if !ok || !in(rec) || s.Ref != refOf(s.Key, rec) || !bytes.Equal(s.Sealed, sealed) {
				r.Fatalf("%+v lists %v, want %v", l, s, rec)
			}
		}
	}
}
