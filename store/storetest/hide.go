package storetest

import "github.com/tokenward/tokenward/store"

// Bare returns s without any of its abilities.
func Bare(s store.StateStore) store.StateStore { return struct{ store.StateStore }{s} }

// Without returns s without the ability T, and with all others:
//
//	s := storetest.Without[store.ChangeFeed](store.NewMemory(clk))
func Without[T any](s store.StateStore) store.StateStore { return without[T]{s} }

type without[T any] struct{ store.StateStore }

// Ability hides T. There is no Unwrap, so the answer is final.
func (w without[T]) Ability(target any) bool {
	if _, hidden := target.(*T); hidden {
		return false
	}
	return store.Ability(w.StateStore, target)
}
