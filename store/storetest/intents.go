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
		r.mustIntend(r.store, a, young)
		r.mustIntend(r.store, b, old)
		r.wantStale(10, store.StaleIntent{Key: b, Intent: old}, store.StaleIntent{Key: a, Intent: young})
		r.wantStale(1, store.StaleIntent{Key: b, Intent: old})

		newer := newIntent(3000)
		r.mustIntend(r.store, b, newer)
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
		r.mustIntend(r.store, key, one)
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

		r.mustIntend(r.store, key, tried)
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
		r.mustIntend(r.store, key, newIntent(1000))
		r.wantRecord(key, rec)
		r.must(r.store.Update(r.Context(), key, rec.Version, next(rec), opt))
	}},
	{"an update clears the intent, when it succeeds", func(r *rig) {
		key, rec := r.login()
		i := newIntent(1000)
		r.mustIntend(r.store, key, i)
		r.wantErr("Update", r.store.Update(r.Context(), key, random[session.Version](), next(rec), opt), store.ErrConflict)
		r.wantStale(10, store.StaleIntent{Key: key, Intent: i})
		r.must(r.store.Update(r.Context(), key, rec.Version, next(rec), opt))
		r.wantStale(10)
	}},
	{"a login and a deletion clear the intent", func(r *rig) {
		key, rec := r.login()
		i := newIntent(1000)
		r.mustIntend(r.store, key, i)
		r.end(key, random[session.Incarnation](), ceiling)
		r.wantStale(10, store.StaleIntent{Key: key, Intent: i})
		r.end(key, rec.Incarnation, ceiling)
		r.wantStale(10)

		key, _ = r.login()
		r.mustIntend(r.store, key, newIntent(1000))
		r.must(r.store.Replace(r.Context(), key, newRecord(), opt))
		r.wantStale(10)
	}},
	{"a living lease keeps its intent from being stale", func(r *rig) {
		if !r.leases() {
			r.Skip("the store has no leases")
		}
		key, rec := r.login()
		first := r.begin(key, r.beginning("a", rec, newIntent(1000)))
		r.wantStale(10)
		r.giveBack(key, "a", first.Epoch)
		r.wantStanding(key, first.Intent)
		r.lease(key, "b", r.traits.Short)
		r.wantStale(10)
		r.lapse(r.traits.Short)
		r.wantStanding(key, first.Intent)

		recovered := next(rec)
		recovered.Epoch = r.lease(key, "c", long)
		r.must(r.store.Update(r.Context(), key, rec.Version, recovered, opt))
		r.giveBack(key, "c", recovered.Epoch)
		r.wantStale(10)
	}},
	{"an intent goes with a record whose TTL has passed", func(r *rig) {
		if r.traits.NoExpiry {
			r.Skip("the store does not expire")
		}
		key, _ := r.login(withTTL(r.traits.Short))
		r.mustIntend(r.store, key, newIntent(1000))
		r.lapse(r.traits.Short)
		r.wantStale(10)
	}},
	{"a call whose context has ended records nothing", func(r *rig) {
		ended, cancel := context.WithCancel(r.Context())
		cancel()
		in := ability[store.Intents](r, r.store)
		key, _ := r.login()
		i := newIntent(1000)
		_, err := in.Begin(ended, key, store.Beginning{Version: r.version(key), Intent: i}, opt)
		r.wantErr("Begin", err, context.Canceled)
		r.wantStale(10)
		r.mustIntend(r.store, key, i)
		r.wantErr("ClearIntent", in.ClearIntent(ended, key, i, opt), context.Canceled)
		_, err = in.StaleIntents(ended, 10, opt)
		r.wantErr("StaleIntents", err, context.Canceled)
		r.wantStale(10, store.StaleIntent{Key: key, Intent: i})
	}},
}

// intend writes an intent, by the process that has s.
func (r *rig) intend(s store.StateStore, key session.Key, in store.Intent) (begun store.Begun, err error) {
	r.Helper()
	return ability[store.Intents](r, s).Begin(r.Context(), key, store.Beginning{Version: r.version(key), Intent: in}, opt)
}

func (r *rig) mustIntend(s store.StateStore, key session.Key, in store.Intent) store.Begun {
	r.Helper()
	begun, err := r.intend(s, key, in)
	r.must(err)
	return begun
}

func (r *rig) wantAgain(s store.StateStore, key session.Key, in store.Intent, want bool) {
	r.Helper()
	if begun := r.mustIntend(s, key, in); (begun.Prior != nil) != want {
		r.Fatalf("an intent of the same token stood = %v, want %v", !want, want)
	}
}

// wantPresented fails unless each process is told that the token was presented since.
func (r *rig) wantPresented(key session.Key, in store.Intent) {
	r.Helper()
	for _, s := range []store.StateStore{r.store, r.other} {
		_, err := r.intend(s, key, in)
		r.wantErr("Begin", err, store.ErrPresented)
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
