package storetest

import (
	"context"
	"errors"
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
		r.lease(random[session.Key](), "b", long) // another session, without a record
	}},
	{"of many takers one wins", func(r *rig) {
		key, _ := r.login()
		owners := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
		errs := make([]error, len(owners))
		together(len(owners), func(i int) {
			l, _ := store.As[store.Leaser](r.process(i))
			_, errs[i] = l.Lease(r.Context(), key, owners[i], long, opt)
		})
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			r.wantErr("Lease", err, store.ErrLeased)
		}
		if won != 1 {
			r.Errorf("%d owners hold the lease, want 1", won)
		}
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
		r.must(r.store.Delete(r.Context(), key, session.Incarnation{}, session.ReasonLogout, opt))
		r.wantLeased(key, "b")
	}},
	{"a lease keeps nothing else alive", func(r *rig) {
		ended, _ := r.login()
		r.lease(ended, "a", 100*long)
		r.must(r.store.Delete(r.Context(), ended, session.Incarnation{}, session.ReasonLogout, opt))
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
		_, err := l.Lease(ended, key, "a", long, opt)
		r.wantErr("Lease", err, context.Canceled)
		epoch := r.lease(key, "b", long)
		r.wantErr("Release", l.Release(ended, key, "b", epoch, opt), context.Canceled)
		r.wantLeased(key, "a")
	}},
}

// lease takes the lease of key for owner, in the first process.
func (r *rig) lease(key session.Key, owner string, ttl time.Duration) int64 {
	r.Helper()
	epoch, err := ability[store.Leaser](r, r.store).Lease(r.Context(), key, owner, ttl, opt)
	r.must(err)
	return epoch
}

// wantLeased fails unless owner is told, in each process, that another holds the lease.
func (r *rig) wantLeased(key session.Key, owner string) {
	r.Helper()
	for _, s := range []store.StateStore{r.store, r.other} {
		_, err := ability[store.Leaser](r, s).Lease(r.Context(), key, owner, long, opt)
		if !errors.Is(err, store.ErrLeased) {
			r.Fatalf("Lease for %s: err = %v, want %v", owner, err, store.ErrLeased)
		}
	}
}
