package soak

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/clock"
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

func newShaky(inner store.StateStore) *shaky {
	s := &shaky{}
	s.StateStore = store.Around(inner, s.call)
	return s
}

// Unwrap returns the store that has the abilities.
func (s *shaky) Unwrap() store.StateStore { return s.StateStore }

func (s *shaky) set(shaking bool) { s.shaking.Store(shaking) }

// call carries out an operation of a record, or has it fail before or after.
func (s *shaky) call(ctx context.Context, call store.Call, do func(context.Context) error) error {
	switch call.Op {
	case "load", "replace", "update", "end":
	default:
		return do(ctx)
	}
	if s.fails() {
		return errShaky
	}
	// A login in a browser does not fail after the fact: the new session's id would be lost, and its record stay in the store for as long
	// as such a session lives.
	if err := do(ctx); err != nil || call.Op == "replace" && call.Options.Request != nil {
		return err
	}
	if s.fails() {
		return errShaky
	}
	return nil
}

func (s *shaky) fails() bool { return s.shaking.Load() && rand.IntN(100) == 0 }
