package storetest_test

import (
	"testing"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// The test of a store is one function.
func ExampleRun() {
	TestStore := func(t *testing.T) {
		storetest.Run(t, func(_ *testing.T, c clock.Clock) store.StateStore {
			return store.NewMemory(c) // your own, empty, which lives by c
		})
	}
	_ = TestStore
}
