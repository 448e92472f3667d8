package storetest

import (
	"context"
	"slices"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var intentStories = []story{
	{"an intent stands until it is cleared", func(r *rig) {
		a, _ := r.login()
		b, _ := r.login()
		in := ability[store.Intents](r, r.store)
		old, young := newIntent(1000), newIntent(2000)
		r.intend(r.store, a, young)
		r.intend(r.store, b, old)
		r.wantStale(10, store.StaleIntent{Key: b, Intent: old}, store.StaleIntent{Key: a, Intent: young})
		r.wantStale(1, store.StaleIntent{Key: b, Intent: old})

		newer := newIntent(3000)
		r.intend(r.store, b, newer)
		r.wantStale(10, store.StaleIntent{Key: a, Intent: young}, store.StaleIntent{Key: b, Intent: newer})
		r.must(in.ClearIntent(r.Context(), b, old, opt))
		almost := newer
		almost.Epoch++
		r.must(in.ClearIntent(r.Context(), b, almost, opt))
		r.wantStale(10, store.StaleIntent{Key: a, Intent: young}, store.StaleIntent{Key: b, Intent: newer})
		r.must(in.ClearIntent(r.Context(), b, newer, opt))
		r.must(in.ClearIntent(r.Context(), b, newer, opt))
		r.must(in.ClearIntent(r.Context(), random[session.Key](), newer, opt))
		r.wantStale(10, store.StaleIntent{Key: a, Intent: young})
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
		r.wantStale(10, store.StaleIntent{Key: key, Intent: tried})
		r.wantPresented(key, tried)

		asked := one // by a caller
		asked.At = 3000
		r.wantAgain(r.store, key, asked, true)
		asked.Tries, asked.Next = tried.Tries, tried.Next
		r.wantStale(10, store.StaleIntent{Key: key, Intent: asked})
		r.wantPresented(key, tried)
		tried.At, tried.Tries, tried.Next = 4000, 8, 7600
		r.wantAgain(r.store, key, tried, true)
		r.wantStale(10, store.StaleIntent{Key: key, Intent: tried})
		r.wantPresented(key, asked)

		cleared := tried // whatever is known of the tries
		cleared.Tries, cleared.Next = 0, 0
		almost := cleared
		almost.At++
		r.must(in.ClearIntent(r.Context(), key, almost, opt))
		r.wantStale(10, store.StaleIntent{Key: key, Intent: tried})
		r.must(in.ClearIntent(r.Context(), key, cleared, opt))
		r.wantStale(10)
		r.wantAgain(r.store, key, one, false)
		r.wantStale(10, store.StaleIntent{Key: key, Intent: one})

		r.intend(r.store, key, tried)
		other := newIntent(5000)
		r.wantAgain(r.store, key, other, false)
		r.wantStale(10, store.StaleIntent{Key: key, Intent: other})
		another := newIntent(6000)
		another.Tries, another.Next = 1, 6005
		r.wantAgain(r.store, key, another, false)
		r.wantStale(10, store.StaleIntent{Key: key, Intent: another})
		r.must(r.store.Update(r.Context(), key, rec.Version, next(rec), opt))
		r.wantStale(10)
		another.Tries, another.Next = 0, 0
		r.wantAgain(r.store, key, another, false)
		r.wantStale(10, store.StaleIntent{Key: key, Intent: another})
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
		r.wantStale(10, store.StaleIntent{Key: key, Intent: i})
		r.must(r.store.Update(r.Context(), key, rec.Version, next(rec), opt))
		r.wantStale(10)
	}},
	{"a login and a deletion clear the intent", func(r *rig) {
		key, rec := r.login()
		i := newIntent(1000)
		r.intend(r.store, key, i)
		r.must(r.store.Delete(r.Context(), key, random[session.Incarnation](), session.ReasonCeiling, opt))
		r.wantStale(10, store.StaleIntent{Key: key, Intent: i})
		r.must(r.store.Delete(r.Context(), key, rec.Incarnation, session.ReasonCeiling, opt))
		r.wantStale(10)

		key, _ = r.login()
		r.intend(r.store, key, newIntent(1000))
		r.must(r.store.Replace(r.Context(), key, newRecord(), opt))
		r.wantStale(10)
	}},
	{"without a record there is no intent", func(r *rig) {
		key, _ := r.login()
		r.must(r.store.Delete(r.Context(), key, session.Incarnation{}, session.ReasonLogout, opt))
		r.wantErr("PutIntent on a tombstone", r.tryIntent(r.Context(), key, newIntent(1000)), store.ErrNotFound)
		r.wantErr("PutIntent on nothing", r.tryIntent(r.Context(), random[session.Key](), newIntent(1000)), store.ErrNotFound)
		r.wantStale(10)
	}},
	{"a living lease keeps its intent from being stale", func(r *rig) {
		if !has[store.Leaser](r.store) {
			r.Skip("the store has no leases")
		}
		l := ability[store.Leaser](r, r.store)
		key, rec := r.login()
		i := newIntent(1000)
		i.Epoch = r.lease(key, "a", long)
		r.intend(r.store, key, i)
		r.wantStale(10)
		r.must(l.Release(r.Context(), key, "a", i.Epoch, opt))
		r.wantStale(10, store.StaleIntent{Key: key, Intent: i})

		epoch := r.lease(key, "b", r.traits.Short)
		r.wantStale(10)
		r.wantErr("PutIntent under the old epoch", r.tryIntent(r.Context(), key, i), store.ErrConflict)
		r.lapse(r.traits.Short)
		r.wantStale(10, store.StaleIntent{Key: key, Intent: i})

		recovered := next(rec)
		recovered.Epoch = max(epoch, r.lease(key, "c", long))
		r.must(r.store.Update(r.Context(), key, rec.Version, recovered, opt))
		r.must(l.Release(r.Context(), key, "c", recovered.Epoch, opt))
		r.wantStale(10)
	}},
	{"an intent goes with a record whose TTL has passed", func(r *rig) {
		if r.traits.NoExpiry {
			r.Skip("the store does not expire")
		}
		key, _ := r.login(withTTL(r.traits.Short))
		r.intend(r.store, key, newIntent(1000))
		r.lapse(r.traits.Short)
		r.wantStale(10)
	}},
	{"a call whose context has ended records nothing", func(r *rig) {
		ended, cancel := context.WithCancel(r.Context())
		cancel()
		in := ability[store.Intents](r, r.store)
		key, _ := r.login()
		i := newIntent(1000)
		r.wantErr("PutIntent", r.tryIntent(ended, key, i), context.Canceled)
		r.wantStale(10)
		r.intend(r.store, key, i)
		r.wantErr("ClearIntent", in.ClearIntent(ended, key, i, opt), context.Canceled)
		_, err := in.StaleIntents(ended, 10, opt)
		r.wantErr("StaleIntents", err, context.Canceled)
		r.wantStale(10, store.StaleIntent{Key: key, Intent: i})
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

func (r *rig) wantStale(limit int, want ...store.StaleIntent) {
	r.Helper()
	for _, s := range []store.StateStore{r.store, r.other} {
		got, err := ability[store.Intents](r, s).StaleIntents(r.Context(), limit, opt)
		r.must(err)
		if !slices.Equal(got, want) {
			r.Fatalf("StaleIntents = %v, want %v", got, want)
		}
	}
}
