package redis_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
)

// moment is what lapses before anybody has waited long.
const moment = 40 * time.Millisecond

// Time that really passes, on the server's clock.
func TestLapse_leases(t *testing.T) {
	a := open(t)
	b := again(t, a)
	key, _ := login(t, a)
	first, err := lease(t.Context(), a, key, "a", moment)
	must(t, err)
	await.Eventually(t, "the lease lapses", func() bool {
		second, err := lease(t.Context(), b, key, "b", time.Hour)
		if err == nil && second <= first {
			t.Fatalf("epochs = %d, %d, want them to grow", first, second)
		}
		return !errors.Is(err, store.ErrLeased)
	})
	if _, err := lease(t.Context(), a, key, "a", moment); !errors.Is(err, store.ErrLeased) {
		t.Errorf("Lease by the one who let it lapse: err = %v, want %v", err, store.ErrLeased)
	}
}

func TestLapse_claims(t *testing.T) {
	s := open(t)
	key, rec := login(t, s, func(r *store.Record) { r.Ceiling = 1_000_000_000 })
	want := []store.Ref{{Key: key, Incarnation: rec.Incarnation, Ceiling: rec.Ceiling}}
	claim := func() []store.Ref {
		refs, err := s.ClaimDue(t.Context(), 1_500_000_000, 10, moment, opt)
		must(t, err)
		return refs
	}
	for range 2 {
		await.Eventually(t, "it can be claimed", func() bool { return slices.Equal(claim(), want) })
	}
}

func TestLapse_transactions(t *testing.T) {
	s := open(t)
	tx := s.Transactions()
	must(t, tx.Put(t.Context(), "state", []byte("data"), moment, opt))
	await.Eventually(t, "it lapses", func() bool {
		_, err := tx.Get(t.Context(), "state", opt)
		return errors.Is(err, store.ErrNotFound)
	})
	wantKeys(t, s)
}

// What Redis keeps is bounded by what lives: when everything has lapsed, nothing is left but
// two numbers, though no call looked.
func TestLapse_leavesNothingBehind(t *testing.T) {
	s := open(t, redis.TombstoneLife(moment))
	value := store.IndexValue{1}
	var keys []session.Key
	for i := range 12 {
		key, rec := login(t, s, func(r *store.Record) {
			r.TTL = moment * time.Duration(1+i%3)
			r.Index = []store.IndexValue{value, {2, byte(i)}}
		})
		keys = append(keys, key)
		switch i % 4 {
		case 0:
			_, err := lease(t.Context(), s, key, "a", 2*moment)
			must(t, err)
		case 1:
			_ = s.Touch(t.Context(), key, 3*moment, opt)
		case 2:
			must(t, s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt))
		case 3:
			_ = s.Update(t.Context(), key, rec.Version, next(rec), opt)
		}
	}
	await.Eventually(t, "all of them are gone", func() bool {
		for _, key := range keys {
			if _, err := s.Load(t.Context(), key, opt); err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			} else if err == nil || errors.As(err, new(*store.GoneError)) {
				return false
			}
		}
		return true
	})
	c := side(t)
	await.Eventually(t, "so is what was kept of them", func() bool { return len(keysOf(t, c, s)) == 0 })
}

// Entries of sessions that Redis dropped by itself are never reported, and go when they are met.
func TestLapse_indexesForgetWhatRedisDropped(t *testing.T) {
	s := driven(t, nil)
	redis.InPages(s, 7)
	c := side(t)
	for range 50 {
		key, _ := login(t, s, func(r *store.Record) { r.Ceiling, r.TTL = 1_000_000_000, time.Minute })
		must(t, intend(t.Context(), s, key, "", store.Intent{At: 1}))
	}
	living, rec := login(t, s, func(r *store.Record) { r.Ceiling = 1_000_000_001 })
	want := []store.Ref{{Key: living, Incarnation: rec.Incarnation, Ceiling: rec.Ceiling}}
	_, err := s.ClaimDue(t.Context(), 1_500_000_000, 20, time.Second, opt) // some are claimed then
	must(t, err)
	lapse(t, time.Hour)

	refs, err := s.ClaimDue(t.Context(), 1_500_000_000, 10, time.Hour, opt)
	must(t, err)
	if !slices.Equal(refs, want) {
		t.Errorf("ClaimDue = %v, want the one that lives", refs)
	}
	if refs, err = s.Due(t.Context(), 0, 1_500_000_000, store.Ref{}, 10, opt); err != nil || !slices.Equal(refs, want) {
		t.Errorf("Due = %v, %v, want the one that lives", refs, err)
	}
	if found, err := s.StaleIntents(t.Context(), 10, opt); err != nil || len(found) != 0 {
		t.Errorf("StaleIntents = %v, %v, want none", found, err)
	}
	for name, want := range map[string]int64{"due": 1, "open": 0, "claims": 1, "intents": 0} {
		n, err := c.ZCard(t.Context(), redis.PrefixOf(s)+name).Result()
		if err != nil || n != want {
			t.Errorf("%s has %d entries (%v), want %d", name, n, err, want)
		}
	}
}

// A user who signs in day after day has a list that never ends as a whole.
func TestLapse_theListOfAUserDoesNotGrow(t *testing.T) {
	s := driven(t, nil)
	user, c := store.IndexValue{7}, side(t)
	most := int64(0)
	for range 40 {
		login(t, s, func(r *store.Record) { r.Index, r.TTL = []store.IndexValue{user}, time.Hour })
		n, err := c.ZCard(t.Context(), redis.ListOf(s, user)).Result()
		must(t, err)
		most = max(most, n)
		lapse(t, 40*time.Minute)
	}
	if most > 2 {
		t.Errorf("the list had up to %d entries, want 2", most)
	}
}

// wantKeys fails unless s has exactly these keys, and those that every store has.
func wantKeys(t *testing.T, s *redis.Store, want ...string) {
	t.Helper()
	if got := keysOf(t, side(t), s); !slices.Equal(got, want) {
		t.Errorf("keys = %q, want %q", got, want)
	}
}

// keysOf returns the keys of s, but for those that every store has.
func keysOf(t *testing.T, c *goredis.Client, s *redis.Store) []string {
	t.Helper()
	prefix := redis.PrefixOf(s)
	keys, err := c.Keys(context.Background(), prefix+"*").Result()
	must(t, err)
	slices.Sort(keys)
	keys = slices.DeleteFunc(keys, func(k string) bool {
		return k == prefix+"format" || k == prefix+"epoch" || k == prefix+"skew"
	})
	if len(keys) == 0 {
		return nil
	}
	return keys
}
