package redis_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
)

// durable is a server on whose disk everything is before a call returns.
var durable = []string{"--appendonly", "yes", "--appendfsync", "always"}

func TestRestart_everythingSurvives(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{Args: durable})
	s := openAt(t, r.URL())
	value := store.IndexValue{3}
	key, rec := login(t, s, func(r *store.Record) { r.Index, r.Ceiling = []store.IndexValue{value}, 1_000_000_000 })
	ended, _ := login(t, s)
	must(t, s.End(t.Context(), ended, session.Incarnation{}, store.Ending{Reason: session.ReasonCeiling}, opt))
	old, err := lease(t.Context(), s, key, "a", time.Hour)
	must(t, err)
	must(t, s.Release(t.Context(), key, "a", old, opt))
	epoch, err := lease(t.Context(), s, key, "b", time.Hour)
	must(t, err)
	held := store.Intent{Token: [32]byte{1}, Epoch: epoch, At: 1}
	must(t, intend(t.Context(), s, key, "b", held))
	crashed, _ := login(t, s)
	stale := store.Intent{Token: [32]byte{2}, At: 2}
	must(t, intend(t.Context(), s, crashed, "", stale))
	must(t, s.Transactions().Put(t.Context(), "state", []byte("data"), time.Hour, opt))
	claimed, claimedRec := login(t, s, func(r *store.Record) { r.Ceiling = 999_999_999 })
	refs, err := s.ClaimDue(t.Context(), 1_000_000_000, 10, time.Hour, opt)
	must(t, err)
	if len(refs) != 1 || refs[0].Key != claimed {
		t.Fatalf("ClaimDue = %v, want one", refs)
	}

	r.Kill()
	_, err = s.Load(t.Context(), key, opt)
	if err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("Load while nobody listens: err = %v, want one that tells so", err)
	}
	must(t, r.Restart())

	got, err := s.Load(t.Context(), key, opt) // by the store that was there before
	must(t, err)
	if got.Version != rec.Version || string(got.Sealed) != string(rec.Sealed) {
		t.Error("the record is another one")
	}
	_, err = s.Load(t.Context(), ended, opt)
	if gone := (*store.GoneError)(nil); !errors.As(err, &gone) || gone.Reason != session.ReasonCeiling {
		t.Errorf("Load: err = %v, want the tombstone", err)
	}
	_, err = lease(t.Context(), s, key, "c", time.Hour)
	wantErr(t, "Lease", err, store.ErrLeased)
	late := next(rec)
	late.Epoch = old
	wantErr(t, "Update under the old epoch", s.Update(t.Context(), key, rec.Version, late, opt), store.ErrConflict)
	if later, err := lease(t.Context(), s, crashed, "c", time.Hour); err != nil || later <= epoch {
		t.Errorf("Lease = %d, %v, want an epoch after %d", later, err, epoch)
	} else {
		must(t, s.Release(t.Context(), crashed, "c", later, opt))
	}
	found, err := s.StaleIntents(t.Context(), 10, opt)
	if err != nil || !slices.Equal(found, []store.StaleIntent{{Key: crashed, Intent: stale}}) {
		t.Errorf("StaleIntents = %v, %v, want the one without a lease", found, err)
	}
	refs, err = s.Find(t.Context(), []store.IndexValue{value}, opt)
	if err != nil || len(refs) != 1 || refs[0].Key != key {
		t.Errorf("Find = %v, %v, want the session", refs, err)
	}
	refs, err = s.ClaimDue(t.Context(), 1_000_000_001, 10, time.Hour, opt)
	if err != nil || len(refs) != 1 || refs[0].Key != key {
		t.Errorf("ClaimDue = %v, %v, want the session that nobody had claimed", refs, err)
	}
	must(t, s.End(t.Context(), claimed, claimedRec.Incarnation, store.Ending{Reason: session.ReasonCeiling}, opt))
	data, err := s.Transactions().Take(t.Context(), "state", opt)
	if err != nil || string(data) != "data" {
		t.Errorf("Take = %q, %v, want what was put", data, err)
	}
}

// After a restart the connections that waited are dead. A call must not have to find that out.
func TestRestart_costsNoCall(t *testing.T) {
	for _, config := range []servers.RedisConfig{{Args: durable}, {Args: durable, TLS: true}} {
		t.Run(fmt.Sprintf("TLS %v", config.TLS), func(t *testing.T) {
			r := servers.NewRedis(t, config)
			s := openAt(t, r.URL(), redisTLS(r)...)
			key, _ := login(t, s)
			load := func(times int) error {
				errs := make([]error, times)
				var wg sync.WaitGroup
				for i := range errs {
					wg.Go(func() { _, errs[i] = s.Load(t.Context(), key, opt) })
				}
				wg.Wait()
				return errors.Join(errs...)
			}
			must(t, load(8)) // some connections
			for range 3 {
				must(t, r.Restart())
				must(t, load(8))
			}
		})
	}
}

// Of a server that keeps everything before it answers, nothing that it answered is lost.
func TestCrash_losesNothingThatWasAcknowledged(t *testing.T) {
	const writers = 8
	r := servers.NewRedis(t, servers.RedisConfig{Args: durable})
	s := openAt(t, r.URL())
	type progress struct {
		key        session.Key
		saved      store.Record // acknowledged
		doubtful   store.Record // sent, and not acknowledged
		leaseEpoch int64
	}
	all := make([]progress, writers)
	for i := range all {
		all[i].key, all[i].saved = login(t, s)
	}
	for round := range 3 {
		var saves atomic.Int64
		enough := make(chan struct{})
		var wg sync.WaitGroup
		for i := range all {
			wg.Go(func() {
				p := &all[i]
				for {
					epoch, err := lease(t.Context(), s, p.key, fmt.Sprint(i, round), time.Hour)
					if err != nil {
						return
					}
					p.leaseEpoch = epoch
					p.doubtful = next(p.saved)
					p.doubtful.Epoch = epoch
					if s.Update(t.Context(), p.key, p.saved.Version, p.doubtful, opt) != nil {
						return
					}
					p.saved = p.doubtful
					if s.Release(t.Context(), p.key, fmt.Sprint(i, round), epoch, opt) != nil {
						return
					}
					if saves.Add(1) == 100 {
						close(enough)
					}
				}
			})
		}
		within(t, "a hundred saves", enough)
		r.Kill()
		wg.Wait()
		must(t, r.Restart())
		for i := range all {
			p := &all[i]
			got, err := s.Load(t.Context(), p.key, opt)
			must(t, err)
			if got.Version != p.saved.Version && got.Version != p.doubtful.Version {
				t.Fatalf("round %d: the acknowledged save of writer %d is lost", round, i)
			}
			p.saved = got
			// Another owner waits for the lease to lapse; the epoch does not go back in that time.
			late := next(got)
			late.Epoch = p.leaseEpoch - 1
			wantErr(t, "Update under an overtaken epoch", s.Update(t.Context(), p.key, got.Version, late, opt), store.ErrConflict)
			must(t, s.Release(t.Context(), p.key, fmt.Sprint(i, round), p.leaseEpoch, opt))
		}
	}
}

func redisTLS(r *servers.Redis) []redis.Option {
	if r.Roots == nil {
		return nil
	}
	return []redis.Option{redis.TLS(&tls.Config{RootCAs: r.Roots})}
}
