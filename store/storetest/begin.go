package storetest

import (
	"context"
	"errors"
	"reflect"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var beginStories = []story{
	{"a begin takes the lease and writes the intent", func(r *rig) {
		key, rec := r.login()
		first := r.begin(key, r.beginning("a", rec, newIntent(1000)))
		r.wantHolder(key, rec, "a")
		if first.Prior != nil {
			r.Errorf("a first Begin answers that %v stood", first.Prior)
		}
		again := r.beginning("a", rec, first.Intent)
		again.Intent.At = 1500
		second := r.begin(key, again)
		if second.Epoch != first.Epoch {
			r.Errorf("the epoch of a lease that is renewed = %d, want %d", second.Epoch, first.Epoch)
		}
		r.wantPrior(second, first.Intent)
		other := r.begin(key, r.beginning("a", rec, newIntent(2000)))
		if other.Prior != nil {
			r.Errorf("the first intent of a token answers that %v stood", other.Prior)
		}
		r.giveBack(key, "a", first.Epoch)
		r.wantStanding(key, other.Intent)
		r.wantRecord(key, rec)
	}},
	{"a begin where the record has moved returns it and changes nothing", func(r *rig) {
		key, old := r.login(withIndex(random[store.IndexValue]()), withCeiling(2_000_000_000), withConnections)
		moved := next(old)
		r.must(r.other.Update(r.Context(), key, old.Version, moved, opt))
		answer := r.begin(key, r.beginning("a", old, newIntent(1000)))
		if answer.Moved == nil || !same(*answer.Moved, moved) {
			r.Fatalf("Moved = %v, want the record as it is", answer.Moved)
		}
		if answer.Epoch != 0 || answer.Prior != nil || answer.Intent != (store.Intent{}) {
			r.Errorf("Begin = %+v, want nothing beside the record", answer)
		}
		r.wantStanding(key)
		taken := r.begin(key, r.beginning("b", moved, newIntent(2000)))
		r.wantStanding(key, r.unleased(taken.Intent)...)
	}},
	{"a begin without a record fails", func(r *rig) {
		key, rec := r.login()
		r.end(key, session.Incarnation{}, logout)
		_, err := r.tryBegin(r.Context(), key, r.beginning("a", rec, newIntent(1000)))
		r.wantGone("Begin", err, session.ReasonLogout)
		_, err = r.tryBegin(r.Context(), random[session.Key](), r.beginning("a", rec, newIntent(1000)))
		r.wantAbsent("Begin", err)
		r.wantStanding(key)
	}},
	{"a begin without a token leaves the intent", func(r *rig) {
		key, rec := r.login()
		first := r.begin(key, r.beginning("a", rec, newIntent(1000)))
		bare := r.begin(key, r.beginning("a", rec, store.Intent{}))
		if bare.Prior != nil || bare.Intent != (store.Intent{}) || bare.Epoch != first.Epoch {
			r.Errorf("Begin = %+v, want the lease alone", bare)
		}
		r.giveBack(key, "a", first.Epoch)
		r.wantStanding(key, first.Intent)
	}},
	{"a begin keeps how often the token was presented again", func(r *rig) {
		if !has[store.Intents](r.store) {
			r.Skip("the store has no intents")
		}
		key, rec := r.login()
		tried := newIntent(1000)
		tried.Tries, tried.Next = 2, 1010
		first := r.begin(key, r.beginning("a", rec, tried))
		asked := tried
		asked.At, asked.Tries, asked.Next = 2000, 0, 0
		second := r.begin(key, r.beginning("a", rec, asked))
		if second.Intent.Tries != 2 || second.Intent.Next != 1010 || second.Intent.At != 2000 {
			r.Errorf("the intent that a caller asks for = %+v, want the tries of the one before", second.Intent)
		}
		r.wantPrior(second, first.Intent)
		r.giveBack(key, "a", first.Epoch)

		_, err := r.tryBegin(r.Context(), key, r.beginning("b", rec, tried))
		r.wantErr("Begin", err, store.ErrPresented)
		r.wantStanding(key, second.Intent)
		tried.Tries = 3
		third := r.begin(key, r.beginning("c", rec, tried)) // "b" has not taken the lease
		r.wantPrior(third, second.Intent)
	}},
	{"a begin whose context has ended does nothing", func(r *rig) {
		key, rec := r.login()
		ended, cancel := context.WithCancel(r.Context())
		cancel()
		_, err := r.tryBegin(ended, key, r.beginning("a", rec, newIntent(1000)))
		r.wantErr("Begin", err, context.Canceled)
		r.wantStanding(key)
		r.begin(key, r.beginning("b", rec, newIntent(2000)))
	}},
	{"an update ends what a begin began", func(r *rig) {
		key, rec := r.login()
		first := r.begin(key, r.beginning("a", rec, newIntent(1000)))
		saved := next(rec)
		saved.Epoch, saved.Release = first.Epoch, "a"
		r.must(r.store.Update(r.Context(), key, rec.Version, saved, opt))
		saved.Release = ""
		r.wantRecord(key, saved)
		r.wantStanding(key)
		second := r.begin(key, r.beginning("b", saved, newIntent(2000)))
		if r.leases() && second.Epoch <= first.Epoch {
			r.Errorf("epochs = %d, %d, want them to grow", first.Epoch, second.Epoch)
		}
	}},
	keepIntentStory,
}

var keepIntentStory = story{"an update that knows nothing of the token leaves its intent", func(r *rig) {
	key, rec := r.login()
	first := r.begin(key, r.beginning("a", rec, newIntent(1000)))
	saved := next(rec)
	saved.Epoch, saved.KeepIntent = first.Epoch, true
	r.must(r.store.Update(r.Context(), key, rec.Version, saved, opt))
	r.wantErr("an update of an older version", r.store.Update(r.Context(), key, rec.Version, next(rec), opt), store.ErrConflict)
	saved.KeepIntent = false
	r.wantRecord(key, saved)
	r.giveBack(key, "a", first.Epoch)
	r.wantStanding(key, first.Intent)
	last := next(saved)
	last.Epoch = first.Epoch
	r.must(r.store.Update(r.Context(), key, saved.Version, last, opt))
	r.wantStanding(key)
	r.wantRecord(key, last)
}}

var beginLeaseStories = []story{
	{"a begin while another owner holds the lease says so and changes nothing", func(r *rig) {
		key, rec := r.login()
		first := r.begin(key, r.beginning("a", rec, newIntent(1000)))
		r.wantHolder(key, rec, "a")
		moved := next(rec)
		moved.Epoch = first.Epoch
		r.must(r.store.Update(r.Context(), key, rec.Version, moved, opt))
		if answer := r.begin(key, r.beginning("b", rec, newIntent(2000))); answer.Moved == nil || !same(*answer.Moved, moved) {
			r.Errorf("Begin of an old version while another holds the lease = %+v, want the record", answer)
		}
		r.wantHolder(key, moved, "a")
	}},
	{"of many that begin one does", func(r *rig) {
		key, rec := r.login()
		owners := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
		errs := make([]error, len(owners))
		together(len(owners), func(i int) {
			_, errs[i] = beginner(r, r.process(i)).Begin(r.Context(), key, r.beginning(owners[i], rec, newIntent(1000)), opt)
		})
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			r.wantErr("Begin", err, store.ErrLeased)
		}
		if won != 1 {
			r.Errorf("%d owners have begun, want 1", won)
		}
	}},
	{"a flight that was begun under an overtaken epoch is fenced", func(r *rig) {
		key, rec := r.login()
		first := r.begin(key, r.beginning("a", rec, newIntent(1000)))
		r.giveBack(key, "a", first.Epoch)
		second := r.begin(key, r.beginning("b", rec, newIntent(2000)))
		if second.Epoch <= first.Epoch || first.Epoch < 1 {
			r.Errorf("epochs = %d, %d, want them to grow, from 1", first.Epoch, second.Epoch)
		}
		late := next(rec)
		late.Epoch, late.Release = first.Epoch, "b"
		r.wantErr("a late Update", r.store.Update(r.Context(), key, rec.Version, late, opt), store.ErrConflict)
		r.wantHolder(key, rec, "b")
		_, err := r.tryBegin(r.Context(), key, r.beginning("", rec, newIntent(3000)))
		r.wantErr("Begin without an owner", err, store.ErrConflict)
	}},
	{"a lease that was begun lapses unless it is renewed", func(r *rig) {
		short := r.traits.Short
		l := ability[store.Leaser](r, r.store)
		key, rec := r.login()
		renewed, recRenewed := r.login()
		for k, record := range map[session.Key]store.Record{key: rec, renewed: recRenewed} {
			b := r.beginning("a", record, newIntent(1000))
			b.TTL = short
			epoch := r.begin(k, b).Epoch
			r.wantErr("Renew by another owner", l.Renew(r.Context(), k, "b", epoch, long, opt), store.ErrConflict)
			r.wantErr("Renew at another epoch", l.Renew(r.Context(), k, "a", epoch+1, long, opt), store.ErrConflict)
			if k == renewed {
				r.must(l.Renew(r.Context(), k, "a", epoch, 20*short, opt))
			}
		}
		r.lapse(short)
		r.begin(key, r.beginning("b", rec, newIntent(2000)))
		r.wantHolder(renewed, recRenewed, "a")
		r.wantErr("Renew of nothing", l.Renew(r.Context(), random[session.Key](), "a", 1, long, opt), store.ErrConflict)
	}},
	{"a lease that has lapsed or was released is not renewed", func(r *rig) {
		l := ability[store.Leaser](r, r.store)
		key, rec := r.login()
		b := r.beginning("a", rec, newIntent(1000))
		b.TTL = r.traits.Short
		lapsed := r.begin(key, b).Epoch
		r.lapse(r.traits.Short)
		r.wantErr("Renew of a lease that has lapsed", l.Renew(r.Context(), key, "a", lapsed, long, opt), store.ErrConflict)
		epoch := r.begin(key, r.beginning("a", rec, newIntent(2000))).Epoch
		r.giveBack(key, "a", epoch)
		r.wantErr("Renew of a lease that was released", l.Renew(r.Context(), key, "a", epoch, long, opt), store.ErrConflict)
		r.begin(key, r.beginning("b", rec, newIntent(3000)))
	}},
	{"an update gives back only the lease of its owner", func(r *rig) {
		key, rec := r.login()
		epoch := r.begin(key, r.beginning("a", rec, newIntent(1000))).Epoch
		one := next(rec)
		one.Epoch, one.Release = epoch, "b"
		r.must(r.store.Update(r.Context(), key, rec.Version, one, opt))
		r.wantHolder(key, one, "a")
		two := next(one)
		two.Release = ""
		r.must(r.store.Update(r.Context(), key, one.Version, two, opt))
		r.wantHolder(key, two, "a")
		three := next(two)
		three.Release = "a"
		r.wantErr("a stale Update", r.store.Update(r.Context(), key, one.Version, three, opt), store.ErrConflict)
		r.wantHolder(key, two, "a")
		r.must(r.store.Update(r.Context(), key, two.Version, three, opt))
		r.begin(key, r.beginning("b", three, newIntent(2000)))
	}},
}

// beginning is what owner asks for, long enough for a story.
func (r *rig) beginning(owner string, rec store.Record, in store.Intent) store.Beginning {
	return store.Beginning{Version: rec.Version, Owner: owner, TTL: long, Intent: in}
}

// beginner returns what s has of leases and intents. A story that needs neither is not told.
func beginner(r *rig, s store.StateStore) store.Beginner {
	r.Helper()
	if l, ok := store.As[store.Leaser](s); ok {
		return l
	}
	return ability[store.Intents](r, s)
}

func (r *rig) leases() bool { return has[store.Leaser](r.store) }

func (r *rig) tryBegin(ctx context.Context, key session.Key, b store.Beginning) (store.Begun, error) {
	r.Helper()
	return beginner(r, r.store).Begin(ctx, key, b, opt)
}

// begin begins in the first process, and holds the answer to the question.
func (r *rig) begin(key session.Key, b store.Beginning) store.Begun {
	r.Helper()
	answer, err := r.tryBegin(r.Context(), key, b)
	r.must(err)
	if answer.Moved != nil {
		return answer
	}
	if leased := r.leases() && b.Owner != ""; leased != (answer.Epoch > 0) {
		r.Fatalf("the epoch = %d, and that a lease is taken is %v", answer.Epoch, leased)
	}
	written := has[store.Intents](r.store) && b.Intent.Token != [32]byte{}
	if !written {
		b.Intent.Token = [32]byte{}
	}
	if answer.Intent.Token != b.Intent.Token || written && (answer.Intent.Epoch != answer.Epoch || answer.Intent.At != b.Intent.At) {
		r.Fatalf("the intent = %+v under epoch %d, want %+v", answer.Intent, answer.Epoch, b.Intent)
	}
	return answer
}

func (r *rig) wantPrior(answer store.Begun, want store.Intent) {
	r.Helper()
	if has[store.Intents](r.store) && (answer.Prior == nil || *answer.Prior != want) {
		r.Fatalf("the intent that stood = %+v, want %+v", answer.Prior, want)
	}
}

// wantHolder fails unless every other owner is told, in each process, that this one holds the lease.
func (r *rig) wantHolder(key session.Key, rec store.Record, owner string) {
	r.Helper()
	if !r.leases() {
		return
	}
	for _, s := range []store.StateStore{r.store, r.other} {
		answer, err := beginner(r, s).Begin(r.Context(), key, r.beginning("another than "+owner, rec, newIntent(9000)), opt)
		var held *store.LeasedError
		if !errors.As(err, &held) || !errors.Is(err, store.ErrLeased) || !reflect.DeepEqual(answer, store.Begun{}) {
			r.Fatalf("Begin = %+v, %v, want a LeasedError", answer, err)
		}
		if held.Owner != owner || held.Left <= 0 || held.Left > 20*max(long, 20*r.traits.Short) {
			r.Fatalf("the lease is held by %q for %v, want %q", held.Owner, held.Left, owner)
		}
	}
}

func (r *rig) giveBack(key session.Key, owner string, epoch int64) {
	r.Helper()
	if r.leases() {
		r.must(ability[store.Leaser](r, r.store).Release(r.Context(), key, owner, epoch, opt))
	}
}

// unleased returns in where the store has no leases: then it can be seen to stand.
func (r *rig) unleased(in store.Intent) []store.Intent {
	if r.leases() {
		return nil
	}
	return []store.Intent{in}
}

// wantStanding fails unless these intents of key stand without a lease, in a store that has intents.
func (r *rig) wantStanding(key session.Key, want ...store.Intent) {
	r.Helper()
	if !has[store.Intents](r.store) {
		return
	}
	var stale []store.StaleIntent
	for _, in := range want {
		stale = append(stale, store.StaleIntent{Key: key, Intent: in})
	}
	r.wantStale(10, stale...)
}

func withConnections(rec *store.Record) { rec.Connections = true }
