//go:build unix

package redis_test

import (
	"errors"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
)

// The primary crashes, and the sentinels put the replica in its place. The store follows by itself: what the replica had is there, what it is told
// stays, and the feed ends and can be watched again.
func TestNew_followsSentinel(t *testing.T) {
	all := servers.NewSentinels(t, servers.RedisConfig{})
	c := hosts(t, &goredis.UniversalOptions{Addrs: all.Addrs, MasterName: servers.SentinelMaster})
	s := newOn(t, c)
	key, rec := login(t, s)
	epoch, err := lease(t.Context(), s, key, "me", patience)
	must(t, err)
	w := watchOn(t, s)
	within(t, "the feed", w.lost)
	must(t, all.Synced())
	all.Primary.Kill()
	if err := within(t, "the end of Watch", w.ended); !errors.As(err, new(*redis.Error)) {
		t.Errorf("Watch: %v, want a *redis.Error", err)
	}
	must(t, all.FailedOver())
	newer := next(rec)
	newer.Epoch = epoch
	await.Eventually(t, "the new primary takes writes", func() bool { return s.Check(t.Context()) == nil })
	must(t, s.Update(t.Context(), key, rec.Version, newer, opt))
	if got, err := s.Load(t.Context(), key, opt); err != nil || got.Version != newer.Version {
		t.Errorf("after the failover: %v, %v", got.Version, err)
	}
	if again, err := lease(t.Context(), s, newKey(), "me", patience); err != nil || again <= epoch {
		t.Errorf("a lease after the failover: epoch %d after %d, %v", again, epoch, err)
	}
	w = watchOn(t, s)
	within(t, "the feed of the new primary", w.lost)
	must(t, s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: "logout"}, opt))
	if got := within(t, "the notice", w.notices); got != (notice{key: key}) {
		t.Error("another notice came")
	}

	must(t, all.Primary.Restart()) // until the sentinels see it, it is a primary of its own
	key, rec = login(t, s)
	if got, err := s.Load(t.Context(), key, opt); err != nil || got.Version != rec.Version {
		t.Errorf("after the old primary has come back: %v, %v", got.Version, err)
	}
}

// Of a client of replicas, and of a name that the sentinels do not know, New says so.
func TestNew_refusesWhereSentinelLeadsToNoPrimary(t *testing.T) {
	all := servers.NewSentinels(t, servers.RedisConfig{})
	replicas := goredis.NewFailoverClient(&goredis.FailoverOptions{SentinelAddrs: all.Addrs, MasterName: servers.SentinelMaster, ReplicaOnly: true})
	t.Cleanup(func() { _ = replicas.Close() })
	for name, tt := range map[string]struct {
		client goredis.UniversalClient
		want   redis.Refusal
	}{
		"replicas only": {replicas, redis.Replica},
		"another name":  {hosts(t, &goredis.UniversalOptions{Addrs: all.Addrs, MasterName: "other"}), redis.Unreachable},
	} {
		_, err := redis.New(t.Context(), tt.client)
		var refused *redis.OpenError
		if !errors.As(err, &refused) || refused.Why != tt.want {
			t.Errorf("%s: %v, want an OpenError %s", name, err, tt.want)
		}
	}
}
