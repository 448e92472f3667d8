package postgres_test

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
	"github.com/tokenward/tokenward/store/storetest"
)

// The suite has two stores on one schema, as two processes would. They stay open while it runs,
// with all that they have prepared; it is the schema that is emptied for each test. Their
// server has a clock that is steered, so that nothing waits for leases and TTLs; that the real
// one judges by default is for TestServerClock.
func TestStore(t *testing.T) {
	h := newHome(t)
	steered := h.steered()
	suite(t, h, h.open(steered), h.open(steered))
}

// The same on a pool of the host's, beside a process that has its own.
func TestStore_onTheHostsPool(t *testing.T) {
	h := newHome(t)
	steered := h.steered()
	suite(t, h, h.openOn(h.pool(10), steered), h.open(steered))
}

func suite(t *testing.T, h *home, s, other *postgres.Store) {
	t.Helper()
	storetest.RunTraits(t, storetest.Traits{
		IndexEntries: func(testing.TB, store.StateStore) int {
			return query[int](h, "SELECT count(*) FROM x.session_values")
		},
		Lapse:   func(_ testing.TB, d time.Duration) { h.lapse(d) },
		Another: func(*testing.T, store.StateStore, clock.Clock) store.StateStore { return other },
	}, func(*testing.T, clock.Clock) store.StateStore {
		h.empty()
		return s
	})
}

func TestTransactions(t *testing.T) {
	h := newHome(t)
	s := h.open(h.steered())
	storetest.RunTransactionsTraits(t, storetest.Traits{
		Lapse: func(_ testing.TB, d time.Duration) { h.lapse(d) },
	}, func(*testing.T, clock.Clock) store.TransactionStore {
		h.empty()
		return s.Transactions()
	})
}
