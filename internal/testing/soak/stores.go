package soak

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Stores are the stores that can be chosen: each opens one, in dir if it needs files, and
// returns what closes it.
var Stores = map[string]func(ctx context.Context, dir string, c clock.Clock) (store.StateStore, func() error, error){
	"memory": func(_ context.Context, _ string, c clock.Clock) (store.StateStore, func() error, error) {
		return store.NewMemory(c, store.TombstoneLife(time.Second)), func() error { return nil }, nil
	},
	"shared memory": func(_ context.Context, _ string, c clock.Clock) (store.StateStore, func() error, error) {
		return store.NewMemory(c, store.TombstoneLife(time.Second), store.Shared()), func() error { return nil }, nil
	},
}

var errShaky = errors.New("soak: the store fails")

// shaky is a store of which now and then a call fails, before or after it was done.
type shaky struct {
	store.StateStore
	shaking atomic.Bool
}

// Unwrap returns the store inside, which has the abilities.
func (s *shaky) Unwrap() store.StateStore { return s.StateStore }

func (s *shaky) set(shaking bool) { s.shaking.Store(shaking) }

func (s *shaky) call(work func() error) error {
	if s.fails() {
		return errShaky
	}
	if err := work(); err != nil {
		return err
	}
	if s.fails() {
		return errShaky
	}
	return nil
}

func (s *shaky) fails() bool { return s.shaking.Load() && rand.IntN(100) == 0 }

// Load implements store.StateStore.
func (s *shaky) Load(ctx context.Context, k session.Key, o store.Options) (r store.Record, err error) {
	err = s.call(func() (err error) {
		r, err = s.StateStore.Load(ctx, k, o)
		return err
	})
	return r, err
}

// Replace implements store.StateStore.
func (s *shaky) Replace(ctx context.Context, k session.Key, r store.Record, o store.Options) error {
	if o.Request != nil {
		// Where it fails after the fact the new session's id is lost, and its record would stay
		// in the store for as long as such a session lives.
		if s.fails() {
			return errShaky
		}
		return s.StateStore.Replace(ctx, k, r, o)
	}
	return s.call(func() error { return s.StateStore.Replace(ctx, k, r, o) })
}

// Update implements store.StateStore.
func (s *shaky) Update(ctx context.Context, k session.Key, prev session.Version, r store.Record, o store.Options) error {
	return s.call(func() error { return s.StateStore.Update(ctx, k, prev, r, o) })
}

// End implements store.StateStore.
func (s *shaky) End(ctx context.Context, k session.Key, only session.Incarnation, e store.Ending, o store.Options) error {
	return s.call(func() error { return s.StateStore.End(ctx, k, only, e, o) })
}
