package redis_test

import (
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
	"github.com/tokenward/tokenward/store/storetest"
)

// The suite lets time pass on the server by a script, so that no machine is too slow for
// it. That leases and the rest lapse by themselves, lapse_test.go looks at.
func traits() storetest.Traits {
	return storetest.Traits{
		Lapse: lapse,
		Another: func(t *testing.T, s store.StateStore, c clock.Clock) store.StateStore {
			other := again(t, s.(*redis.Store), redis.Clock(c))
			redis.Driven(other)
			return other
		},
		IndexEntries: func(t testing.TB, s store.StateStore) (n int) {
			c := goredis.NewClient(&goredis.Options{Addr: server.Get(t).Addr(), Protocol: 2})
			defer func() { _ = c.Close() }()
			lists, err := c.Keys(t.Context(), redis.PrefixOf(s.(*redis.Store))+"x:*").Result()
			must(t, err)
			all := 0
			for _, list := range lists {
				entries, err := c.ZCard(t.Context(), list).Result()
				must(t, err)
				if strings.HasSuffix(list, "x:all") {
					all = int(entries)
				} else {
					n += int(entries)
				}
			}
			if n == 0 || all > n { // each session has an entry under a value, and one more among all
				n += all
			}
			return n
		},
	}
}

func TestStore(t *testing.T) {
	storetest.RunTraits(t, traits(), func(t *testing.T, c clock.Clock) store.StateStore { return driven(t, c) })
}

func TestStore_inPagesOfThree(t *testing.T) {
	tr := traits()
	storetest.RunTraits(t, tr, func(t *testing.T, c clock.Clock) store.StateStore {
		s := driven(t, c)
		redis.InPages(s, 3)
		return s
	})
}

func TestTransactions(t *testing.T) {
	storetest.RunTransactionsTraits(t, traits(), func(t *testing.T, c clock.Clock) store.TransactionStore {
		return driven(t, c).Transactions()
	})
}

func TestStore_hasEveryAbilityButExclusive(t *testing.T) {
	s := open(t)
	if store.IsExclusive(s) {
		t.Error("it counts as exclusive")
	}
	for name, has := range map[string]bool{
		"Index":      has[store.Index](s),
		"Leaser":     has[store.Leaser](s),
		"Intents":    has[store.Intents](s),
		"ChangeFeed": has[store.ChangeFeed](s),
		"Toucher":    has[store.Toucher](s),
	} {
		if !has {
			t.Errorf("it lacks %s", name)
		}
	}
}

func has[T any](s store.StateStore) bool {
	_, ok := store.As[T](s)
	return ok
}
