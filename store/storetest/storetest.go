// Package storetest is for tests of stores: the suite that every store passes, and stores that fail as a test says.
package storetest

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
)

// Traits says what the suite must know of a store whose time cannot be driven, or
// that keeps less than others. The zero Traits fits a store that lives by the clock it
// is given and keeps every promise.
type Traits struct {
	// Lapse lets time pass for the store, which takes the place of moving the fake
	// clock: a sleep, or a command to the server. The fake clock is moved as well.
	Lapse func(t testing.TB, d time.Duration)

	// Short is how long the suite takes leases, claims and TTLs that it then lets
	// lapse. The default is a minute; a store that really sleeps names the shortest
	// time that it can tell apart from nothing.
	Short time.Duration

	// Tombstones is how long a tombstone stands. The default is
	// store.DefaultTombstoneLife. Negative: too long to wait for, it is not tested.
	Tombstones time.Duration

	// NoExpiry says that the store does not drop records by their TTL.
	NoExpiry bool

	// IndexEntries counts the entries in the index of s: one for each value of each record and of
	// each remainder. Find does not show one too many, for it looks at the record. Without
	// it, that none is left behind is not tested.
	IndexEntries func(t testing.TB, s store.StateStore) int

	// MaxTransaction is how many bytes a transaction may have. The default is 64 KiB,
	// which every store keeps that has no reason not to.
	MaxTransaction int

	// Another opens the store behind s once more, as a second process would. Without
	// it the tests with several processes use s alone.
	Another func(t *testing.T, s store.StateStore, c clock.Clock) store.StateStore
}

// Run holds a store to the contract of store.StateStore, and to that of every ability
// it has. For each test newStore returns an empty store that lives by c, and closes
// it with t.Cleanup.
func Run(t *testing.T, newStore func(t *testing.T, c clock.Clock) store.StateStore) {
	t.Helper()
	RunTraits(t, Traits{}, newStore)
}
