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
	homes := make(map[store.StateStore]*home)
	var last *home
	storetest.RunTraits(t, storetest.Traits{
		Lapse: func(t testing.TB, d time.Duration) { last.lapse(d) },
		Another: func(t *testing.T, s store.StateStore, c clock.Clock) store.StateStore {
			return homes[s].open(postgres.Clock(c), homes[s].alsoSteered())
		},
	}, func(t *testing.T, c clock.Clock) store.StateStore {
		h := newHome(t)
		s := h.open(postgres.Clock(c), h.steered())
		homes[s], last = h, h
		return s
	})
}

func TestTransactions(t *testing.T) {
	var last *home
	storetest.RunTransactionsTraits(t, storetest.Traits{
		Lapse: func(t testing.TB, d time.Duration) { last.lapse(d) },
	}, func(t *testing.T, c clock.Clock) store.TransactionStore {
		last = newHome(t)
		return last.open(postgres.Clock(c), last.steered()).Transactions()
	})
}
