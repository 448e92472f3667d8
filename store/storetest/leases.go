package storetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// long is a lease that does not lapse while a story is told.
const long = time.Hour

var leaseStories = []story{
	{"one owner at a time", func(r *rig) {
		key, _ := r.login()
		epoch := r.lease(key, "a", long)
		if epoch < 1 {
			r.Errorf("the first epoch = %d, want 1 or more", epoch)
		}
		r.wantLeased(key, "b")
		if again := r.lease(key, "a", long); again != epoch {
			r.Errorf("the epoch after renewing = %d, want %d", again, epoch)
		}
		r.wantLeased(key, "b")
	}},
	{"a key without a record is leased to one of many", func(r *rig) {
		key := random[session.Key]()
		owners := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
		epochs := make([]int64, len(owners))
		together(len(owners), func(i int) {
			begun, err := ability[store.Leaser](r, r.process(i)).Begin(r.Context(), key, store.Beginning{
				Owner: owners[i], TTL: long, Intent: newIntent(1000),
			}, opt)
			if epochs[i] = begun.Epoch; (err == nil) != (begun.Epoch > 0) || err != nil && !errors.Is(err, store.ErrLeased) || begun.Intent != (store.Intent{}) {
				r.Errorf("Begin = %+v, %v, want a lease alone, or ErrLeased", begun, err)
			}
		})
		slices.Sort(epochs)
		if epochs[len(epochs)-2] != 0 || epochs[len(epochs)-1] == 0 {
			r.Errorf("the epochs of %d owners = %v, want one lease", len(owners), epochs)
		}
		r.wantLeased(key, "another")
		_, err := r.store.Load(r.Context(), key, opt)
		r.wantAbsent("Load", err)

		rec := newRecord()
		r.must(r.store.Replace(r.Context(), key, rec, opt))
		begun, err := ability[store.Leaser](r, r.other).Begin(r.Context(), key, store.Beginning{Owner: "another", TTL: long}, opt)
		if r.must(err); begun.Moved == nil || !same(*begun.Moved, rec) || begun.Epoch != 0 {
			r.Errorf("Begin where a record was written since = %+v, want the record", begun)
		}
		r.wantLeased(key, "another")
		r.end(key, rec.Incarnation, logout)
		_, err = ability[store.Leaser](r, r.store).Begin(r.Context(), key, store.Beginning{Owner: "another", TTL: long}, opt)
		r.wantGone("Begin", err, session.ReasonLogout)
	}},
	{"a released lease is taken under a higher epoch", func(r *rig) {
		key, _ := r.login()
		l := ability[store.Leaser](r, r.store)
		first := r.lease(key, "a", long)
		r.must(l.Release(r.Context(), key, "a", first, opt))
		r.must(l.Release(r.Context(), key, "a", first, opt))
		second := r.lease(key, "b", long)
		if second <= first {
			r.Errorf("epochs = %d, %d, want them to grow", first, second)
		}
		r.must(l.Release(r.Context(), key, "a", first, opt))
		r.must(l.Release(r.Context(), key, "b", first, opt))
		r.must(l.Release(r.Context(), key, "a", second, opt))
		r.wantLeased(key, "c")
		r.must(l.Release(r.Context(), key, "b", second, opt))
		if third := r.lease(key, "a", long); third <= second {
			r.Errorf("epochs = %d, %d, want them to grow", second, third)
		}
		r.must(l.Release(r.Context(), random[session.Key](), "a", 1, opt))
	}},
	{"a lease lapses unless it is renewed", func(r *rig) {
		short := r.traits.Short
		key, _ := r.login()
		renewed, _ := r.login()
		first := r.lease(key, "a", short)
		r.lease(renewed, "a", short)
		r.lease(renewed, "a", 20*short)
		r.lapse(short)
		if second := r.lease(key, "b", long); second <= first {
			r.Errorf("epochs = %d, %d, want them to grow", first, second)
		}
		r.wantLeased(key, "a")
		r.wantLeased(renewed, "b")
	}},
	{"an update under an overtaken epoch conflicts", func(r *rig) {
		key, rec := r.login()
		l := ability[store.Leaser](r, r.store)
		first := r.lease(key, "a", long)
		ours := next(rec)
		ours.Epoch = first
		r.must(r.store.Update(r.Context(), key, rec.Version, ours, opt))
		r.must(l.Release(r.Context(), key, "a", first, opt))
		afterRelease := next(ours)
		r.must(r.store.Update(r.Context(), key, ours.Version, afterRelease, opt))

		second := r.lease(key, "b", long)
		late := next(afterRelease)
		r.wantErr("Update under the old epoch", r.store.Update(r.Context(), key, afterRelease.Version, late, opt), store.ErrConflict)
		none := late
		none.Epoch = 0
		r.wantErr("Update under no epoch", r.store.Update(r.Context(), key, afterRelease.Version, none, opt), store.ErrConflict)
		r.wantRecord(key, afterRelease)
		other := next(afterRelease)
		other.Epoch = second
		r.must(r.other.Update(r.Context(), key, afterRelease.Version, other, opt))
		r.wantRecord(key, other)
	}},
	{"a lapsed lease that no other owner took overtakes nothing", func(r *rig) {
		key, rec := r.login()
		ours := next(rec)
		ours.Epoch = r.lease(key, "a", r.traits.Short)
		r.lapse(r.traits.Short)
		r.must(r.store.Update(r.Context(), key, rec.Version, ours, opt))
		r.wantRecord(key, ours)
	}},
	{"the epoch outlives the lease", func(r *rig) {
		key, rec := r.login()
		late := next(rec)
		late.Epoch = r.lease(key, "a", long)
		r.must(ability[store.Leaser](r, r.store).Release(r.Context(), key, "a", late.Epoch, opt))
		r.lease(key, "b", r.traits.Short)
		r.lapse(r.traits.Short)
		r.wantErr("Update", r.store.Update(r.Context(), key, rec.Version, late, opt), store.ErrConflict)
	}},
	{"a login is written though another owner holds the lease", func(r *rig) {
		key, _ := r.login()
		epoch := r.lease(key, "a", long)
		fresh := newRecord()
		r.must(r.store.Replace(r.Context(), key, fresh, opt))
		r.wantRecord(key, fresh)
		r.wantLeased(key, "b")
		if again := r.lease(key, "a", long); again != epoch {
			r.Errorf("the epoch after a login = %d, want %d", again, epoch)
		}
		r.end(key, session.Incarnation{}, logout)
		r.must(r.store.Replace(r.Context(), key, newRecord(), opt))
		r.wantLeased(key, "b")
	}},
	{"a lease keeps nothing else alive", func(r *rig) {
		ended, _ := r.login()
		r.lease(ended, "a", 100*long)
		r.end(ended, session.Incarnation{}, logout)
		if !r.traits.NoExpiry {
			lapsing, _ := r.login(withTTL(r.traits.Short))
			r.lease(lapsing, "a", 100*long)
			r.lapse(r.traits.Short)
			_, err := r.store.Load(r.Context(), lapsing, opt)
			r.wantAbsent("Load of a record whose TTL has passed", err)
		}
		if r.traits.Tombstones >= 0 {
			r.lapse(r.traits.Tombstones)
			_, err := r.store.Load(r.Context(), ended, opt)
			r.wantAbsent("Load where the tombstone has lapsed", err)
		}
	}},
	{"a call whose context has ended takes nothing", func(r *rig) {
		key, _ := r.login()
		ended, cancel := context.WithCancel(r.Context())
		cancel()
		l := ability[store.Leaser](r, r.store)
		_, err := l.Begin(ended, key, store.Beginning{Owner: "a", TTL: long}, opt)
		r.wantErr("Begin", err, context.Canceled)
		epoch := r.lease(key, "b", long)
		r.wantErr("Release", l.Release(ended, key, "b", epoch, opt), context.Canceled)
		r.wantLeased(key, "a")
	}},
}

// lease takes the lease of key for owner, in the first process.
func (r *rig) lease(key session.Key, owner string, ttl time.Duration) int64 {
	r.Helper()
	return r.begin(key, store.Beginning{Version: r.version(key), Owner: owner, TTL: ttl}).Epoch
}

// version returns that of the record under key; zero: there is none.
func (r *rig) version(key session.Key) session.Version {
	r.Helper()
	rec, err := r.store.Load(r.Context(), key, opt)
	if !errors.Is(err, store.ErrNotFound) {
		r.must(err)
	}
	return rec.Version
}

// wantLeased fails unless owner is told, in each process, that another holds the lease.
func (r *rig) wantLeased(key session.Key, owner string) {
	r.Helper()
	for _, s := range []store.StateStore{r.store, r.other} {
		_, err := ability[store.Leaser](r, s).Begin(r.Context(), key, store.Beginning{Version: r.version(key), Owner: owner, TTL: long}, opt)
		r.wantErr("Begin for "+owner, err, store.ErrLeased)
	}
}
