package bolt_test

import (
	"path/filepath"
	"testing"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
	"github.com/tokenward/tokenward/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.RunTraits(t, storetest.Traits{
		IndexEntries: func(_ testing.TB, s store.StateStore) int { return s.(*bolt.Store).Keys(bolt.ValueIndex) },
	}, func(t *testing.T, c clock.Clock) store.StateStore {
		return open(t, newPath(t), bolt.Clock(c))
	})
}

func TestTransactions(t *testing.T) {
	storetest.RunTransactions(t, func(t *testing.T, c clock.Clock) store.TransactionStore {
		return open(t, newPath(t), bolt.Clock(c)).Transactions()
	})
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "store.db") }

// open opens the store at path, and closes it when the test ends.
func open(t testing.TB, path string, opts ...bolt.Option) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(path, opts...)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
