package storetest

import (
	"testing"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
)

// RunTraits is Run for a store with other traits.
func RunTraits(t *testing.T, traits Traits, newStore func(t *testing.T, c clock.Clock) store.StateStore) {
	t.Helper()
}

// RunTransactions holds a store to the contract of store.TransactionStore.
func RunTransactions(t *testing.T, newStore func(t *testing.T, c clock.Clock) store.TransactionStore) {
	t.Helper()
}
