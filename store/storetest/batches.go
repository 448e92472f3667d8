package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var batchStories = []story{
	{"ends many at their ceiling, and leaves those that hold connection tokens", func(r *rig) {
		var refs, held []store.Ref
		records := map[session.Key]store.Record{}
		for i := range 700 {
			key, rec := r.login(withCeiling(1_900_000_000))
			if i%100 == 0 {
				rec.Connections = true
				r.must(r.store.Replace(r.Context(), key, rec, opt))
				held = append(held, refOf(key, rec))
			}
			refs, records[key] = append(refs, refOf(key, rec)), rec
		}
		loggedOut, gone := r.login()
		r.end(loggedOut, gone.Incarnation, logout)
		renewed, old := r.login()
		fresh := newRecord()
		r.must(r.store.Replace(r.Context(), renewed, fresh, opt))
		absent := store.Ref{Key: random[session.Key](), Incarnation: random[session.Incarnation]()}
		all := append(slices.Clone(refs), refOf(loggedOut, gone), refOf(renewed, old), absent)
		asked := slices.Clone(all)
		for range 2 { // what has ended is done
			left, err := ability[store.BatchEnder](r, r.store).EndAll(r.Context(), all, atEnd(long), opt)
			r.must(err)
			if !slices.Equal(all, asked) {
				r.Fatalf("EndAll has changed what it was given")
			}
			sortRefs(left)
			sortRefs(held)
			if !slices.Equal(left, held) {
				r.Fatalf("EndAll leaves %d sessions, want those %d that hold connection tokens", len(left), len(held))
			}
		}
		for _, ref := range refs {
			if slices.Contains(held, ref) {
				r.wantRecord(ref.Key, records[ref.Key])
			} else {
				r.wantTombstone(ref.Key, ref.Incarnation, session.ReasonCeiling, nil)
			}
		}
		r.wantTombstone(loggedOut, gone.Incarnation, session.ReasonLogout, nil)
		r.wantRecord(renewed, fresh)
		_, err := r.store.Load(r.Context(), absent.Key, opt)
		r.wantAbsent("Load", err)
		if has[store.Index](r.store) {
			r.wantDue(1, 2_000_000_000, 1000, held)
		}
	}},
	{"the tombstones of many stand for as long as they were told to", func(r *rig) {
		key, rec := r.login()
		_, err := ability[store.BatchEnder](r, r.store).EndAll(r.Context(), []store.Ref{refOf(key, rec)}, atEnd(100*time.Hour), opt)
		r.must(err)
		if gone := r.tombstone(r.store, key); gone.Stands <= 99*time.Hour || gone.Stands > 100*time.Hour {
			r.Errorf("a tombstone of %v stands for %v more", 100*time.Hour, gone.Stands)
		}
	}},
	{"ending many whose context has ended does nothing", func(r *rig) {
		key, rec := r.login()
		ended, cancel := context.WithCancel(r.Context())
		cancel()
		_, err := ability[store.BatchEnder](r, r.store).EndAll(ended, []store.Ref{refOf(key, rec)}, atEnd(long), opt)
		r.wantErr("EndAll", err, context.Canceled)
		r.wantRecord(key, rec)
		left, err := ability[store.BatchEnder](r, r.store).EndAll(r.Context(), nil, atEnd(long), opt)
		if err != nil || len(left) != 0 {
			r.Errorf("EndAll of none = %v, %v", left, err)
		}
	}},
	{"logs many out, with their connection tokens and with what ceilings left", func(r *rig) {
		var refs []store.Ref
		for range 5 {
			key, rec := r.login(withConnections, withCeiling(1_900_000_000), withIndex(random[store.IndexValue]()))
			refs = append(refs, refOf(key, rec))
		}
		key, in, left := r.endedAtCeiling()
		atCeiling, rec := r.login()
		r.end(atCeiling, rec.Incarnation, ceiling)
		refs = append(refs, store.Ref{Key: key, Incarnation: in}, refOf(atCeiling, rec))
		renewed, old := r.login()
		fresh := newRecord()
		r.must(r.store.Replace(r.Context(), renewed, fresh, opt))
		absent := store.Ref{Key: random[session.Key](), Incarnation: random[session.Incarnation]()}
		for range 2 {
			held, err := ability[store.BatchEnder](r, r.store).EndAll(r.Context(), append(slices.Clone(refs), refOf(renewed, old), absent), logout, opt)
			if r.must(err); len(held) != 0 {
				r.Fatalf("EndAll leaves %d sessions, want none", len(held))
			}
		}
		for _, ref := range refs {
			r.wantTombstone(ref.Key, ref.Incarnation, session.ReasonLogout, nil)
		}
		r.wantRecord(renewed, fresh)
		if has[store.Index](r.store) {
			r.wantFound(nil, left.Index...)
		}
		_, err := r.store.Load(r.Context(), absent.Key, opt)
		r.wantAbsent("Load", err)
	}},
}

// atEnd is the end of many at their ceiling.
func atEnd(stands time.Duration) store.Ending {
	return store.Ending{Reason: session.ReasonCeiling, Stands: stands}
}
