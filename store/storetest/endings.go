package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Each pair of writers that can meet at the end of a session has a story: what ends it first,
// and what comes then.
var endingStories = []story{
	{"a session that ended has a tombstone", func(r *rig) {
		for _, why := range []session.Reason{
			session.ReasonLogout, session.ReasonBackchannelLogout, session.ReasonAdministration, session.ReasonCeiling,
			session.ReasonRevoked, session.ReasonReplaced, session.ReasonLifetime,
		} {
			key, rec := r.login()
			r.end(key, rec.Incarnation, store.Ending{Reason: why})
			r.wantTombstone(key, rec.Incarnation, why, nil)
			r.wantErr("Update", r.store.Update(r.Context(), key, rec.Version, next(rec), opt), store.ErrNotFound)
		}
	}},
	{"an end of any incarnation ends the one that is there", func(r *rig) {
		key, rec := r.login(withConnections)
		r.end(key, session.Incarnation{}, logout)
		r.wantTombstone(key, rec.Incarnation, session.ReasonLogout, nil)
	}},
	{"an end of one incarnation leaves another", func(r *rig) {
		key, old := r.login()
		fresh := newRecord()
		r.must(r.store.Replace(r.Context(), key, fresh, opt))
		r.end(key, old.Incarnation, ceiling)
		r.end(key, old.Incarnation, logout)
		r.wantRecord(key, fresh)
		r.end(key, fresh.Incarnation, ceiling)
		r.end(key, old.Incarnation, logout)
		r.wantTombstone(key, fresh.Incarnation, session.ReasonCeiling, nil)
	}},
	{"an end of what is absent is success and leaves nothing", func(r *rig) {
		key := random[session.Key]()
		r.end(key, session.Incarnation{}, logout)
		r.end(key, random[session.Incarnation](), atCeiling(session.Version{}, newRemainder()))
		_, err := r.store.Load(r.Context(), key, opt)
		r.wantAbsent("Load", err)
	}},
	{"a ceiling without a remainder ends what holds no connection tokens, whatever its version", func(r *rig) {
		key, rec := r.login()
		r.must(r.store.Update(r.Context(), key, rec.Version, next(rec), opt))
		r.end(key, rec.Incarnation, ceiling)
		r.wantTombstone(key, rec.Incarnation, session.ReasonCeiling, nil)
	}},
	{"a ceiling that knows of no connection tokens conflicts where they are held", func(r *rig) {
		key, rec := r.login()
		held := next(rec)
		held.Connections = true
		r.must(r.store.Update(r.Context(), key, rec.Version, held, opt))
		r.wantErr("End", r.store.End(r.Context(), key, rec.Incarnation, ceiling, opt), store.ErrConflict)
		r.wantErr("End", r.store.End(r.Context(), key, rec.Incarnation, atCeiling(rec.Version, newRemainder()), opt), store.ErrConflict)
		r.wantErr("End", r.store.End(r.Context(), key, rec.Incarnation, atCeiling(rec.Version, nil), opt), store.ErrConflict)
		r.wantRecord(key, held)
		r.end(key, rec.Incarnation, atCeiling(held.Version, nil)) // all of them have expired
		r.wantTombstone(key, rec.Incarnation, session.ReasonCeiling, nil)
	}},
	{"a ceiling leaves a remainder, of the version that it names", func(r *rig) {
		key, rec := r.login(withConnections)
		left := newRemainder()
		r.end(key, rec.Incarnation, atCeiling(rec.Version, left))
		r.wantTombstone(key, rec.Incarnation, session.ReasonCeiling, left)
	}},
	{"every other reason leaves none", func(r *rig) {
		for _, why := range []session.Reason{session.ReasonLogout, session.ReasonRevoked, session.ReasonLifetime} {
			key, rec := r.login(withConnections)
			r.end(key, rec.Incarnation, store.Ending{Reason: why, Remainder: newRemainder()})
			r.wantTombstone(key, rec.Incarnation, why, nil)
		}
	}},
	{"a logout after a ceiling takes the remainder", func(r *rig) {
		for _, why := range []session.Reason{session.ReasonLogout, session.ReasonBackchannelLogout, session.ReasonAdministration, session.ReasonReplaced} {
			for _, anyOne := range []bool{true, false} {
				key, in, left := r.endedAtCeiling()
				only := in
				if anyOne {
					only = session.Incarnation{}
				}
				r.end(key, random[session.Incarnation](), store.Ending{Reason: why})
				r.wantTombstone(key, in, session.ReasonCeiling, left)
				r.end(key, only, store.Ending{Reason: why})
				r.wantTombstone(key, in, why, nil)
				r.end(key, in, atCeiling(left.Version, newRemainder()))
				r.end(key, in, atCeiling(session.Version{}, newRemainder()))
				r.wantTombstone(key, in, why, nil)
			}
		}
	}},
	{"a logout after a logout says the last reason", func(r *rig) {
		key, rec := r.login()
		r.end(key, rec.Incarnation, logout)
		r.end(key, rec.Incarnation, store.Ending{Reason: session.ReasonBackchannelLogout})
		r.wantTombstone(key, rec.Incarnation, session.ReasonBackchannelLogout, nil)
	}},
	{"an end that is no logout changes nothing about what has ended", func(r *rig) {
		for _, why := range []session.Reason{session.ReasonRevoked, session.ReasonLifetime, session.ReasonCeiling} {
			key, in, left := r.endedAtCeiling()
			r.end(key, in, store.Ending{Reason: why})
			r.end(key, session.Incarnation{}, store.Ending{Reason: why})
			r.wantTombstone(key, in, session.ReasonCeiling, left)

			ended, rec := r.login()
			r.end(ended, rec.Incarnation, logout)
			r.end(ended, rec.Incarnation, store.Ending{Reason: why})
			r.wantTombstone(ended, rec.Incarnation, session.ReasonLogout, nil)
		}
	}},
	{"a ceiling adds to what a ceiling left, of the version that it names", func(r *rig) {
		key, in, left := r.endedAtCeiling()
		stale := atCeiling(random[session.Version](), newRemainder())
		r.wantErr("End", r.store.End(r.Context(), key, in, stale, opt), store.ErrConflict)
		r.wantErr("End", r.store.End(r.Context(), key, in, atCeiling(session.Version{}, newRemainder()), opt), store.ErrConflict)
		r.wantTombstone(key, in, session.ReasonCeiling, left)
		more := newRemainder()
		r.end(key, in, atCeiling(left.Version, more))
		r.wantTombstone(key, in, session.ReasonCeiling, more)
		r.wantErr("the same End again", r.store.End(r.Context(), key, in, atCeiling(left.Version, newRemainder()), opt), store.ErrConflict)
		r.end(key, random[session.Incarnation](), atCeiling(more.Version, newRemainder()))
		r.wantTombstone(key, in, session.ReasonCeiling, more)
	}},
	{"a ceiling adds where a ceiling left nothing", func(r *rig) {
		key, rec := r.login()
		r.end(key, rec.Incarnation, ceiling)
		r.wantErr("End", r.store.End(r.Context(), key, rec.Incarnation, atCeiling(rec.Version, newRemainder()), opt), store.ErrConflict)
		left := newRemainder()
		r.end(key, rec.Incarnation, atCeiling(session.Version{}, left))
		r.wantTombstone(key, rec.Incarnation, session.ReasonCeiling, left)
	}},
	{"a login follows what a ceiling left", func(r *rig) {
		key, in, left := r.endedAtCeiling()
		fresh := newRecord()
		r.must(r.store.Replace(r.Context(), key, fresh, opt))
		r.end(key, in, atCeiling(left.Version, newRemainder()))
		r.end(key, in, logout)
		r.wantRecord(key, fresh)
		r.end(key, fresh.Incarnation, ceiling)
		r.wantTombstone(key, fresh.Incarnation, session.ReasonCeiling, nil)
	}},
	{"of ceilings and logouts at once the logout stays", func(r *rig) {
		for range 10 {
			key, rec := r.login(withConnections)
			errs := make([]error, 6)
			together(len(errs), func(i int) {
				switch s := r.process(i); i {
				case 0:
					errs[i] = s.End(r.Context(), key, rec.Incarnation, logout, opt)
				case 1:
					after := next(rec)
					after.Connections = true
					if err := s.Update(r.Context(), key, rec.Version, after, opt); !errors.Is(err, store.ErrNotFound) {
						errs[i] = err
					}
				default:
					errs[i] = r.endAtCeiling(s, key, rec.Incarnation)
				}
			})
			r.must(errors.Join(errs...))
			r.wantTombstone(key, rec.Incarnation, session.ReasonLogout, nil)
		}
	}},
	{"of ceilings at once none loses what another left", func(r *rig) {
		key, rec := r.login(withConnections)
		errs := make([]error, 12)
		together(len(errs), func(i int) { errs[i] = r.endAtCeiling(r.process(i), key, rec.Incarnation) })
		r.must(errors.Join(errs...))
		gone := r.tombstone(r.store, key)
		if gone.Remainder == nil || len(gone.Remainder.Sealed) != len(errs) {
			r.Fatalf("what is left = %+v, want what each of %d writers added", gone.Remainder, len(errs))
		}
	}},
	{"a tombstone stands for as long as it was told to", func(r *rig) {
		if r.traits.Tombstones < 0 {
			r.Skip("the store's tombstones stand too long to wait for")
		}
		long, _ := r.login()
		short, _ := r.login()
		r.end(long, session.Incarnation{}, store.Ending{Reason: session.ReasonCeiling, Stands: 20 * r.traits.Tombstones})
		r.end(short, session.Incarnation{}, store.Ending{Reason: session.ReasonCeiling, Stands: 1})
		if gone := r.tombstone(r.store, long); gone.Stands <= 19*r.traits.Tombstones || gone.Stands > 20*r.traits.Tombstones {
			r.Errorf("a tombstone of %v stands for %v more", 20*r.traits.Tombstones, gone.Stands)
		}
		_ = r.tombstone(r.store, short)
		r.lapse(r.traits.Tombstones)
		_, err := r.store.Load(r.Context(), short, opt)
		r.wantAbsent("Load", err)
		_ = r.tombstone(r.store, long)
	}},
	{"a tombstone stands for as long as its remainder, and a remainder no longer than its TTL", func(r *rig) {
		if r.traits.NoExpiry || r.traits.Tombstones < 0 {
			r.Skip("the store does not expire")
		}
		key, in, _ := r.endedAtCeiling()
		gone := r.tombstone(r.store, key)
		if gone.Stands < gone.Remainder.TTL-time.Second {
			r.Errorf("the tombstone stands for %v, its remainder for %v", gone.Stands, gone.Remainder.TTL)
		}
		lapsing, rec := r.login(withConnections)
		left := newRemainder()
		left.TTL = r.traits.Short
		ending := atCeiling(rec.Version, left)
		ending.Stands = 100 * r.traits.Short
		r.end(lapsing, rec.Incarnation, ending)
		r.wantTombstone(lapsing, rec.Incarnation, session.ReasonCeiling, left)
		r.lapse(r.traits.Short)
		r.wantTombstone(lapsing, rec.Incarnation, session.ReasonCeiling, nil)
		more := newRemainder()
		r.wantErr("End", r.store.End(r.Context(), lapsing, rec.Incarnation, atCeiling(left.Version, more), opt), store.ErrConflict)
		r.end(lapsing, rec.Incarnation, atCeiling(session.Version{}, more))
		r.wantTombstone(lapsing, rec.Incarnation, session.ReasonCeiling, more)
		r.end(key, in, logout)
	}},
	{"a remainder may be large", func(r *rig) {
		key, rec := r.login(withConnections)
		left := newRemainder()
		left.Sealed = bytes.Repeat([]byte("0123456789abcde\x00"), 1<<16)
		r.end(key, rec.Incarnation, atCeiling(rec.Version, left))
		r.wantTombstone(key, rec.Incarnation, session.ReasonCeiling, left)
	}},
	{"the store and its callers share no memory of a remainder", func(r *rig) {
		key, in, left := r.endedAtCeiling()
		want := left.Clone()
		left.Sealed[0]++
		left.Index[0][0]++
		r.wantTombstone(key, in, session.ReasonCeiling, want)
		gone := r.tombstone(r.store, key)
		gone.Remainder.Sealed[0]++
		gone.Remainder.Index[0][0]++
		r.wantTombstone(key, in, session.ReasonCeiling, want)
	}},
	{"an end whose context has ended does nothing", func(r *rig) {
		key, rec := r.login()
		ended, cancel := context.WithCancel(r.Context())
		cancel()
		r.wantErr("End", r.store.End(ended, key, rec.Incarnation, logout, opt), context.Canceled)
		r.wantRecord(key, rec)
	}},
}

var (
	logout  = store.Ending{Reason: session.ReasonLogout}
	ceiling = store.Ending{Reason: session.ReasonCeiling}
)

// atCeiling is the end at a ceiling of the version prev, which leaves that remainder.
func atCeiling(prev session.Version, left *store.Remainder) store.Ending {
	return store.Ending{Reason: session.ReasonCeiling, Prev: prev, Remainder: left}
}

func newRemainder() *store.Remainder {
	return &store.Remainder{
		Version: random[session.Version](), Index: []store.IndexValue{random[store.IndexValue](), random[store.IndexValue]()},
		Sealed: []byte("what is left, " + rand.Text()), TTL: 10 * long,
	}
}

func (r *rig) end(key session.Key, only session.Incarnation, e store.Ending) {
	r.Helper()
	r.must(r.store.End(r.Context(), key, only, e, opt))
}

// endedAtCeiling is a session that ended at its ceiling, and left something.
func (r *rig) endedAtCeiling() (session.Key, session.Incarnation, *store.Remainder) {
	r.Helper()
	key, rec := r.login(withConnections)
	left := newRemainder()
	r.end(key, rec.Incarnation, atCeiling(rec.Version, left))
	return key, rec.Incarnation, left
}

// endAtCeiling adds one byte to what the session leaves, and tries again for as long as others
// are faster.
func (r *rig) endAtCeiling(s store.StateStore, key session.Key, in session.Incarnation) error {
	for {
		left := newRemainder()
		e := atCeiling(session.Version{}, left)
		rec, err := s.Load(r.Context(), key, opt)
		var gone *store.GoneError
		switch {
		case err == nil:
			e.Prev, left.Sealed = rec.Version, []byte{'0'}
		case !errors.As(err, &gone):
			return err
		case gone.Remainder != nil:
			e.Prev, left.Sealed = gone.Remainder.Version, append(gone.Remainder.Sealed, '1')
		default:
			left.Sealed = []byte{'0'}
		}
		if err := s.End(r.Context(), key, in, e, opt); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// tombstone returns the tombstone under key.
func (r *rig) tombstone(s store.StateStore, key session.Key) *store.GoneError {
	r.Helper()
	_, err := s.Load(r.Context(), key, opt)
	var gone *store.GoneError
	if !errors.As(err, &gone) || !errors.Is(err, store.ErrNotFound) {
		r.Fatalf("Load: err = %v, want a tombstone", err)
	}
	return gone
}

// wantTombstone fails unless this is what each process reads of a session that has ended, and the
// index finds what it left.
func (r *rig) wantTombstone(key session.Key, of session.Incarnation, why session.Reason, left *store.Remainder) {
	r.Helper()
	for _, s := range []store.StateStore{r.store, r.other} {
		gone := r.tombstone(s, key)
		if gone.Reason != why || gone.Incarnation != of || gone.Stands <= 0 {
			r.Fatalf("the tombstone says %q of %x for %v, want %q of %x", gone.Reason, gone.Incarnation, gone.Stands, why, of)
		}
		r.wantRemainder(gone.Remainder, left)
	}
	if left != nil && has[store.Index](r.store) {
		for _, v := range left.Index {
			r.wantFound([]store.Ref{{Key: key, Incarnation: of, Connections: true, Ended: true}}, v)
		}
	}
}

func (r *rig) wantRemainder(got, want *store.Remainder) {
	r.Helper()
	switch {
	case want == nil && got == nil:
	case want == nil || got == nil:
		r.Fatalf("the remainder = %v, want %v", got, want)
	case got.Version != want.Version, !slices.Equal(got.Index, want.Index), !bytes.Equal(got.Sealed, want.Sealed):
		r.Fatalf("the remainder = %.200v, want %.200v", got, want)
	case got.TTL <= 0 || got.TTL > want.TTL || want.TTL-got.TTL > long:
		r.Fatalf("the remainder stands for %v, want %v", got.TTL, want.TTL)
	}
}
