package storetest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var contractStories = []story{
	{"a record comes back as it was written", func(r *rig) {
		full := func(rec *store.Record) {
			rec.Epoch = 7
			rec.Ceiling = 9_999_999_999
			rec.Index = []store.IndexValue{random[store.IndexValue](), random[store.IndexValue]()}
			rec.TTL = math.MaxInt64
			rec.Connections = true
		}
		bare := func(rec *store.Record) { rec.Sealed = []byte{0} }
		for _, shape := range []func(*store.Record){full, bare} {
			key, rec := r.login(shape)
			r.wantRecord(key, rec)
			after := next(rec)
			r.must(r.store.Update(r.Context(), key, rec.Version, after, opt))
			r.wantRecord(key, after)
		}
	}},
	{"absence is ErrNotFound, and ending it is success", func(r *rig) {
		key := random[session.Key]()
		_, err := r.store.Load(r.Context(), key, opt)
		r.wantAbsent("Load", err)
		rec := newRecord()
		r.wantErr("Update", r.store.Update(r.Context(), key, rec.Version, rec, opt), store.ErrNotFound)
		r.end(key, session.Incarnation{}, logout)
		r.end(key, rec.Incarnation, logout)
		_, err = r.store.Load(r.Context(), key, opt)
		r.wantAbsent("Load after End of nothing", err)
	}},
	{"a login replaces whatever was there", func(r *rig) {
		key, _ := r.login()
		rec := newRecord()
		r.must(r.store.Replace(r.Context(), key, rec, opt))
		r.wantRecord(key, rec)
	}},
	{"sessions do not touch each other", func(r *rig) {
		ending, _ := r.login()
		staying, rec := r.login()
		r.end(ending, session.Incarnation{}, logout)
		r.wantRecord(staying, rec)
	}},
	{"a stale version conflicts", func(r *rig) {
		key, one := r.login()
		two, three := next(one), next(one)
		r.must(r.store.Update(r.Context(), key, one.Version, two, opt))
		r.wantErr("Update over another's write", r.other.Update(r.Context(), key, one.Version, three, opt), store.ErrConflict)
		r.wantErr("the same Update again", r.store.Update(r.Context(), key, one.Version, two, opt), store.ErrConflict)
		r.wantErr("Update of no version", r.store.Update(r.Context(), key, session.Version{}, three, opt), store.ErrConflict)
		r.wantRecord(key, two)
	}},
	{"another incarnation conflicts", func(r *rig) {
		key, old := r.login()
		fresh := newRecord()
		r.must(r.store.Replace(r.Context(), key, fresh, opt))
		late := next(old)
		r.wantErr("Update by the old login", r.store.Update(r.Context(), key, old.Version, late, opt), store.ErrConflict)
		r.wantErr("Update by the old login with the new version", r.store.Update(r.Context(), key, fresh.Version, late, opt), store.ErrConflict)
		r.wantRecord(key, fresh)
	}},
	{"deleted stays deleted", func(r *rig) {
		key, one := r.login()
		two := next(one)
		r.must(r.store.Update(r.Context(), key, one.Version, two, opt))
		r.end(key, session.Incarnation{}, logout)
		for _, late := range []session.Version{one.Version, two.Version, {}} {
			r.wantErr("a late Update", r.store.Update(r.Context(), key, late, next(two), opt), store.ErrNotFound)
			_, err := r.store.Load(r.Context(), key, opt)
			r.wantGone("Load", err, session.ReasonLogout)
		}
	}},
	{"a login follows a tombstone", func(r *rig) {
		key, old := r.login()
		r.end(key, session.Incarnation{}, logout)
		fresh := newRecord()
		r.must(r.store.Replace(r.Context(), key, fresh, opt))
		r.wantRecord(key, fresh)
		r.wantErr("a late Update", r.store.Update(r.Context(), key, old.Version, next(old), opt), store.ErrConflict)
		r.wantRecord(key, fresh)
	}},
	{"a tombstone does not stand for ever", func(r *rig) {
		if r.traits.Tombstones < 0 {
			r.Skip("the store's tombstones stand too long to wait for")
		}
		key, rec := r.login()
		r.end(key, session.Incarnation{}, logout)
		r.lapse(r.traits.Tombstones)
		_, err := r.store.Load(r.Context(), key, opt)
		r.wantAbsent("Load", err)
		r.wantErr("Update", r.store.Update(r.Context(), key, rec.Version, next(rec), opt), store.ErrNotFound)
	}},
	{"a record is dropped when its TTL has passed", func(r *rig) {
		if r.traits.NoExpiry {
			r.Skip("the store does not expire")
		}
		short, forever := withTTL(r.traits.Short), withTTL(0)
		lapsing, _ := r.login(short)
		kept, rec := r.login(short)
		after := next(rec)
		forever(&after)
		r.must(r.store.Update(r.Context(), kept, rec.Version, after, opt))
		shortened, rec := r.login(forever)
		before := next(rec)
		short(&before)
		r.must(r.store.Update(r.Context(), shortened, rec.Version, before, opt))
		r.wantRecord(shortened, before)
		again, _ := r.login()
		r.end(again, session.Incarnation{}, logout)
		r.must(r.store.Replace(r.Context(), again, newRecord(short), opt))

		r.lapse(r.traits.Short)
		_, err := r.store.Load(r.Context(), lapsing, opt)
		r.wantAbsent("Load", err)
		_, err = r.store.Load(r.Context(), shortened, opt)
		r.wantAbsent("Load of what an Update gave a TTL", err)
		_, err = r.store.Load(r.Context(), again, opt)
		r.wantAbsent("Load of a login that followed a tombstone", err)
		r.wantErr("Update", r.store.Update(r.Context(), shortened, before.Version, next(before), opt), store.ErrNotFound)
		r.wantRecord(kept, after)
	}},
	{"the store and its callers share no memory", func(r *rig) {
		value := random[store.IndexValue]()
		key, rec := r.login(withIndex(value))
		want := rec
		want.Sealed, want.Index = bytes.Clone(rec.Sealed), slices.Clone(rec.Index)
		rec.Sealed[0]++
		rec.Index[0][0]++
		r.wantRecord(key, want)

		got, err := r.store.Load(r.Context(), key, opt)
		r.must(err)
		got.Sealed[0]++
		got.Index[0][0]++
		r.wantRecord(key, want)

		update := next(want)
		want = update
		want.Sealed, want.Index = bytes.Clone(update.Sealed), slices.Clone(update.Index)
		r.must(r.store.Update(r.Context(), key, got.Version, update, opt))
		update.Sealed[0]++
		update.Index[0][0]++
		r.wantRecord(key, want)
	}},
	{"a record may be large", func(r *rig) {
		key, rec := r.login(func(rec *store.Record) { rec.Sealed = bytes.Repeat([]byte("0123456789abcde\x00"), 1<<16) })
		r.wantRecord(key, rec)
		after := next(rec)
		after.Sealed = bytes.Repeat([]byte("\xfffedcba987654321"), 1<<16)
		r.must(r.store.Update(r.Context(), key, rec.Version, after, opt))
		r.wantRecord(key, after)
	}},
	{"a call whose context has ended does nothing", func(r *rig) {
		key, rec := r.login()
		ended, cancel := context.WithCancel(r.Context())
		cancel()
		check := func(doing string, err error) {
			r.Helper()
			if !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
				r.Errorf("%s: err = %v, want %v", doing, err, context.Canceled)
			}
		}
		_, err := r.store.Load(ended, key, opt)
		check("Load", err)
		_, err = r.store.Load(ended, random[session.Key](), opt)
		check("Load of nothing", err)
		check("Replace", r.store.Replace(ended, key, newRecord(), opt))
		check("Update", r.store.Update(ended, key, rec.Version, next(rec), opt))
		check("End", r.store.End(ended, key, session.Incarnation{}, logout, opt))
		r.wantRecord(key, rec)
	}},
}
