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
		theirs := next(afterRelease)
		theirs.Epoch = second
		r.must(r.other.Update(r.Context(), key, afterRelease.Version, theirs, opt))
		r.wantRecord(key, theirs)
	}},
	{"a lapsed lease that nobody took overtakes nothing", func(r *rig) {
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
	{"a login is written whoever holds the lease", func(r *rig) {
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

var intentStories = []story{
	{"an intent stands until it is cleared", func(r *rig) {
		a, _ := r.login()
		b, _ := r.login()
		in := ability[store.Intents](r, r.store)
		old, young := newIntent(1000), newIntent(2000)
		r.intend(r.store, a, young)
		r.intend(r.store, b, old)
		r.wantOrphans(10, store.Orphan{Key: b, Intent: old}, store.Orphan{Key: a, Intent: young})
		r.wantOrphans(1, store.Orphan{Key: b, Intent: old})

		newer := newIntent(3000)
		r.intend(r.store, b, newer)
		r.wantOrphans(10, store.Orphan{Key: a, Intent: young}, store.Orphan{Key: b, Intent: newer})
		r.must(in.ClearIntent(r.Context(), b, old, opt))
		almost := newer
		almost.Epoch++
		r.must(in.ClearIntent(r.Context(), b, almost, opt))
		r.wantOrphans(10, store.Orphan{Key: a, Intent: young}, store.Orphan{Key: b, Intent: newer})
		r.must(in.ClearIntent(r.Context(), b, newer, opt))
		r.must(in.ClearIntent(r.Context(), b, newer, opt))
		r.must(in.ClearIntent(r.Context(), random[session.Key](), newer, opt))
		r.wantOrphans(10, store.Orphan{Key: a, Intent: young})
	}},
	{"an intent says whether its token was about to be spent before", func(r *rig) {
		key, rec := r.login()
		in := ability[store.Intents](r, r.store)
		one, two := newIntent(1000), newIntent(2000)
		again := one
		again.At = 1500
		r.wantAgain(r.store, key, one, false)
		r.wantAgain(r.other, key, again, true)
		r.wantAgain(r.store, key, two, false)
		r.must(in.ClearIntent(r.Context(), key, two, opt))
		r.wantAgain(r.store, key, two, false)
		r.must(r.store.Update(r.Context(), key, rec.Version, next(rec), opt))
		r.wantAgain(r.store, key, two, false)
	}},
	{"an intent keeps how often its token was presented again", func(r *rig) {
		key, rec := r.login()
		in := ability[store.Intents](r, r.store)
		one := newIntent(1000)
		r.intend(r.store, key, one)
		tried := one
		tried.At, tried.Tries, tried.Next = 2000, 1, 2005
		r.wantAgain(r.other, key, tried, true)
		r.wantOrphans(10, store.Orphan{Key: key, Intent: tried})
		r.wantPresented(key, tried)

		asked := one // by a caller
		asked.At = 3000
		r.wantAgain(r.store, key, asked, true)
		asked.Tries, asked.Next = tried.Tries, tried.Next
		r.wantOrphans(10, store.Orphan{Key: key, Intent: asked})
		r.wantPresented(key, tried)
		tried.At, tried.Tries, tried.Next = 4000, 8, 7600
		r.wantAgain(r.store, key, tried, true)
		r.wantOrphans(10, store.Orphan{Key: key, Intent: tried})
		r.wantPresented(key, asked)

		cleared := tried // whatever is known of the tries
		cleared.Tries, cleared.Next = 0, 0
		almost := cleared
		almost.At++
		r.must(in.ClearIntent(r.Context(), key, almost, opt))
		r.wantOrphans(10, store.Orphan{Key: key, Intent: tried})
		r.must(in.ClearIntent(r.Context(), key, cleared, opt))
		r.wantOrphans(10)
		r.wantAgain(r.store, key, one, false)
		r.wantOrphans(10, store.Orphan{Key: key, Intent: one})

		r.intend(r.store, key, tried)
		other := newIntent(5000)
		r.wantAgain(r.store, key, other, false)
		r.wantOrphans(10, store.Orphan{Key: key, Intent: other})
		another := newIntent(6000)
		another.Tries, another.Next = 1, 6005
		r.wantAgain(r.store, key, another, false)
		r.wantOrphans(10, store.Orphan{Key: key, Intent: another})
		r.must(r.store.Update(r.Context(), key, rec.Version, next(rec), opt))
		r.wantOrphans(10)
		another.Tries, another.Next = 0, 0
		r.wantAgain(r.store, key, another, false)
		r.wantOrphans(10, store.Orphan{Key: key, Intent: another})
	}},
	{"an intent is no write of the record", func(r *rig) {
		key, rec := r.login()
		r.intend(r.store, key, newIntent(1000))
		r.wantRecord(key, rec)
		r.must(r.store.Update(r.Context(), key, rec.Version, next(rec), opt))
	}},
	{"an update clears the intent, when it succeeds", func(r *rig) {
		key, rec := r.login()
		i := newIntent(1000)
		r.intend(r.store, key, i)
		r.wantErr("Update", r.store.Update(r.Context(), key, random[session.Version](), next(rec), opt), store.ErrConflict)
		r.wantOrphans(10, store.Orphan{Key: key, Intent: i})
		r.must(r.store.Update(r.Context(), key, rec.Version, next(rec), opt))
		r.wantOrphans(10)
	}},
	{"a login and a deletion clear the intent", func(r *rig) {
		key, rec := r.login()
		i := newIntent(1000)
		r.intend(r.store, key, i)
		r.must(r.store.Delete(r.Context(), key, random[session.Incarnation](), session.ReasonCeiling, opt))
		r.wantOrphans(10, store.Orphan{Key: key, Intent: i})
		r.must(r.store.Delete(r.Context(), key, rec.Incarnation, session.ReasonCeiling, opt))
		r.wantOrphans(10)

		key, _ = r.login()
		r.intend(r.store, key, newIntent(1000))
		r.must(r.store.Replace(r.Context(), key, newRecord(), opt))
		r.wantOrphans(10)
	}},
	{"without a record there is no intent", func(r *rig) {
		key, _ := r.login()
		r.must(r.store.Delete(r.Context(), key, session.Incarnation{}, session.ReasonLogout, opt))
		r.wantErr("PutIntent on a tombstone", r.tryIntent(r.Context(), key, newIntent(1000)), store.ErrNotFound)
		r.wantErr("PutIntent on nothing", r.tryIntent(r.Context(), random[session.Key](), newIntent(1000)), store.ErrNotFound)
		r.wantOrphans(10)
	}},
	{"a living lease keeps its intent from being an orphan", func(r *rig) {
		if !has[store.Leaser](r.store) {
			r.Skip("the store has no leases")
		}
		l := ability[store.Leaser](r, r.store)
		key, rec := r.login()
		i := newIntent(1000)
		i.Epoch = r.lease(key, "a", long)
		r.intend(r.store, key, i)
		r.wantOrphans(10)
		r.must(l.Release(r.Context(), key, "a", i.Epoch, opt))
		r.wantOrphans(10, store.Orphan{Key: key, Intent: i})

		epoch := r.lease(key, "b", r.traits.Short)
		r.wantOrphans(10)
		r.wantErr("PutIntent under the old epoch", r.tryIntent(r.Context(), key, i), store.ErrConflict)
		r.lapse(r.traits.Short)
		r.wantOrphans(10, store.Orphan{Key: key, Intent: i})

		recovered := next(rec)
		recovered.Epoch = max(epoch, r.lease(key, "c", long))
		r.must(r.store.Update(r.Context(), key, rec.Version, recovered, opt))
		r.must(l.Release(r.Context(), key, "c", recovered.Epoch, opt))
		r.wantOrphans(10)
	}},
	{"an intent goes with a record whose TTL has passed", func(r *rig) {
		if r.traits.NoExpiry {
			r.Skip("the store does not expire")
		}
		key, _ := r.login(withTTL(r.traits.Short))
		r.intend(r.store, key, newIntent(1000))
		r.lapse(r.traits.Short)
		r.wantOrphans(10)
	}},
	{"a call whose context has ended records nothing", func(r *rig) {
		ended, cancel := context.WithCancel(r.Context())
		cancel()
		in := ability[store.Intents](r, r.store)
		key, _ := r.login()
		i := newIntent(1000)
		r.wantErr("PutIntent", r.tryIntent(ended, key, i), context.Canceled)
		r.wantOrphans(10)
		r.intend(r.store, key, i)
		r.wantErr("ClearIntent", in.ClearIntent(ended, key, i, opt), context.Canceled)
		_, err := in.Orphans(ended, 10, opt)
		r.wantErr("Orphans", err, context.Canceled)
		r.wantOrphans(10, store.Orphan{Key: key, Intent: i})
	}},
}

// intend puts an intent, by the process that has s.
func (r *rig) intend(s store.StateStore, key session.Key, in store.Intent) {
	r.Helper()
	_, err := ability[store.Intents](r, s).PutIntent(r.Context(), key, in, opt)
	r.must(err)
}

func (r *rig) tryIntent(ctx context.Context, key session.Key, in store.Intent) error {
	r.Helper()
	_, err := ability[store.Intents](r, r.store).PutIntent(ctx, key, in, opt)
	return err
}

func (r *rig) wantAgain(s store.StateStore, key session.Key, in store.Intent, want bool) {
	r.Helper()
	again, err := ability[store.Intents](r, s).PutIntent(r.Context(), key, in, opt)
	r.must(err)
	if again != want {
		r.Fatalf("PutIntent: again = %v, want %v", again, want)
	}
}

// wantPresented fails unless each process is told that the token was presented since.
func (r *rig) wantPresented(key session.Key, in store.Intent) {
	r.Helper()
	for _, s := range []store.StateStore{r.store, r.other} {
		_, err := ability[store.Intents](r, s).PutIntent(r.Context(), key, in, opt)
		r.wantErr("PutIntent", err, store.ErrPresented)
	}
}

func newIntent(at int64) store.Intent {
	return store.Intent{Token: random[[32]byte](), At: at}
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

func (r *rig) wantOrphans(limit int, want ...store.Orphan) {
	r.Helper()
	for _, s := range []store.StateStore{r.store, r.other} {
		got, err := ability[store.Intents](r, s).Orphans(r.Context(), limit, opt)
		r.must(err)
		if !slices.Equal(got, want) {
			r.Fatalf("Orphans = %v, want %v", got, want)
		}
	}
}
