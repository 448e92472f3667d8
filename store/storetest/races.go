package storetest

import (
	"errors"
	"sync/atomic"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var raceStories = []story{
	{"of writers with one version in hand one succeeds", func(r *rig) {
		key, rec := r.login()
		won := make([]store.Record, 50)
		errs := make([]error, len(won))
		together(len(won), func(i int) {
			won[i] = next(rec)
			errs[i] = r.process(i).Update(r.Context(), key, rec.Version, won[i], opt)
		})
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner >= 0:
				r.Fatal("two Updates of one version succeeded")
			case err == nil:
				winner = i
			default:
				r.wantErr("Update", err, store.ErrConflict)
			}
		}
		if winner < 0 {
			r.Fatal("no Update succeeded")
		}
		r.wantRecord(key, won[winner])
	}},
	{"a hundred writers lose nothing", func(r *rig) {
		const writers = 100
		key, rec := r.login(func(rec *store.Record) { rec.Sealed = []byte{0xff} })
		errs := make([]error, writers)
		together(writers, func(i int) {
			errs[i] = r.add(r.process(i), key, byte(i))
		})
		r.must(errors.Join(errs...))
		got, err := r.store.Load(r.Context(), key, opt)
		r.must(err)
		seen := make(map[byte]bool)
		for _, b := range got.Sealed {
			seen[b] = true
		}
		if len(got.Sealed) != writers+1 || len(seen) != writers+1 {
			r.Errorf("%d writes of %d left, %d of them different", len(got.Sealed)-1, writers, len(seen)-1)
		}
		if got.Incarnation != rec.Incarnation {
			r.Error("the incarnation changed")
		}
	}},
	{"no writer brings a deleted session back", func(r *rig) {
		key, _ := r.login(func(rec *store.Record) { rec.Sealed = []byte{0xff} })
		var deleted atomic.Bool
		errs := make([]error, 20)
		together(len(errs), func(i int) {
			if i == 0 {
				for range 5 {
					errs[i] = errors.Join(errs[i], r.add(r.store, key, 0))
				}
				errs[i] = errors.Join(errs[i], r.store.End(r.Context(), key, session.Incarnation{}, logout, opt))
				deleted.Store(true)
				return
			}
			for range 20 {
				late := deleted.Load()
				err := r.add(r.process(i), key, byte(i))
				if err == nil && late {
					errs[i] = errors.New("an Update after the Delete succeeded")
				}
				if errors.Is(err, store.ErrNotFound) {
					return
				}
				errs[i] = errors.Join(errs[i], err)
			}
		})
		r.must(errors.Join(errs...))
		_, err := r.store.Load(r.Context(), key, opt)
		r.wantErr("Load", err, store.ErrNotFound)
	}},
	{"a login outlives the end of the one before", func(r *rig) {
		for range 20 {
			key, old := r.login()
			fresh := newRecord()
			errs := make([]error, 4)
			together(len(errs), func(i int) {
				switch i {
				case 0:
					errs[i] = r.store.Replace(r.Context(), key, fresh, opt)
				case 1, 2:
					errs[i] = r.process(i).End(r.Context(), key, old.Incarnation, ceiling, opt)
				case 3:
					err := r.other.Update(r.Context(), key, old.Version, next(old), opt)
					if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
						errs[i] = err
					}
				}
			})
			r.must(errors.Join(errs...))
			r.wantRecord(key, fresh)
		}
	}},
	{"readers see whole records", func(r *rig) {
		key, rec := r.login(func(rec *store.Record) { rec.Sealed = make([]byte, 4096) })
		errs := make([]error, 8)
		together(len(errs), func(i int) {
			for n := range 25 {
				if i == 0 {
					after := next(rec)
					after.Sealed = make([]byte, 4096)
					for j := range after.Sealed {
						after.Sealed[j] = byte(n + 1)
					}
					if errs[i] = r.store.Update(r.Context(), key, rec.Version, after, opt); errs[i] != nil {
						return
					}
					rec = after
					continue
				}
				got, err := r.process(i).Load(r.Context(), key, opt)
				if err != nil {
					errs[i] = err
					return
				}
				for _, b := range got.Sealed {
					if b != got.Sealed[0] {
						errs[i] = errors.New("a Load returned half of one record and half of another")
						return
					}
				}
			}
		})
		r.must(errors.Join(errs...))
	}},
}

// process returns the store as process i sees it.
func (r *rig) process(i int) store.StateStore {
	if i%2 == 0 {
		return r.store
	}
	return r.other
}

// add appends b to the sealed state, and tries again for as long as others are faster.
func (r *rig) add(s store.StateStore, key session.Key, b byte) error {
	for {
		rec, err := s.Load(r.Context(), key, opt)
		if err != nil {
			return err
		}
		prev := rec.Version
		rec.Version = random[session.Version]()
		rec.Sealed = append(rec.Sealed, b)
		if err = s.Update(r.Context(), key, prev, rec, opt); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}
