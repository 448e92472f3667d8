package postgres_test

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
	"github.com/tokenward/tokenward/store/storetest"
)

// The suite has two stores on one schema, as two processes would. Their server has a clock
// that is steered, so that nothing waits for leases and TTLs; that the real one judges by
// default is for TestServerClock.
func TestStore(t *testing.T) {
	h := newHome(t)
	steered := h.steered()
	storetest.RunTraits(t, storetest.Traits{
		Lapse: func(_ testing.TB, d time.Duration) { h.lapse(d) },
		Another: func(t *testing.T, _ store.StateStore, c clock.Clock) store.StateStore {
			return h.openFor(t, postgres.Clock(c), steered)
		},
	}, func(t *testing.T, c clock.Clock) store.StateStore {
		s := h.openFor(t, postgres.Clock(c), steered)
		h.empty()
		return s
	})
}

func TestTransactions(t *testing.T) {
	h := newHome(t)
	steered := h.steered()
	storetest.RunTransactionsTraits(t, storetest.Traits{
		Lapse: func(_ testing.TB, d time.Duration) { h.lapse(d) },
	}, func(t *testing.T, c clock.Clock) store.TransactionStore {
		s := h.openFor(t, postgres.Clock(c), steered)
		h.empty()
		return s.Transactions()
	})
}
