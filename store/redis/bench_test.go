package redis_test

import (
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
)

// BenchmarkRefresh times what a refresh asks of the store: Begin, and the Update that gives the lease
// back, on a record of 4 KiB with a ceiling, two index values and a TTL.
func BenchmarkRefresh(b *testing.B) {
	s, _ := openBench(b)
	b.RunParallel(func(p *testing.PB) {
		key, rec := benchLogin(b, s)
		for p.Next() {
			begun, err := s.Begin(b.Context(), key, store.Beginning{
				Version: rec.Version, Owner: "a", TTL: time.Minute, Intent: store.Intent{Token: [32]byte{1}},
			}, opt)
			must(b, err)
			after := next(rec)
			after.Epoch, after.Release = begun.Epoch, "a"
			must(b, s.Update(b.Context(), key, rec.Version, after, opt))
			rec = after
		}
	})
}

// BenchmarkLoad times one Load, beside a GET of as many bytes by the client library alone.
func BenchmarkLoad(b *testing.B) {
	s, r := openBench(b)
	key, rec := benchLogin(b, s)
	b.Run("Load", func(b *testing.B) {
		for b.Loop() {
			_, err := s.Load(b.Context(), key, opt)
			must(b, err)
		}
	})
	b.Run("GET", func(b *testing.B) {
		c := goredis.NewClient(&goredis.Options{Addr: r.Addr(), Protocol: 2})
		defer func() { _ = c.Close() }()
		must(b, c.Set(b.Context(), "bytes", rec.Sealed, 0).Err())
		for b.Loop() {
			must(b, c.Get(b.Context(), "bytes").Err())
		}
	})
}

// BenchmarkPage times the longest scripts, for no other call is served during them.
func BenchmarkPage(b *testing.B) {
	s, _ := openBench(b)
	const sessions = 2000
	for range sessions {
		benchLogin(b, s)
	}
	b.Run("Due", func(b *testing.B) {
		for b.Loop() {
			refs, err := s.Due(b.Context(), 1, 3_000_000_000, store.Ref{}, 500, opt)
			must(b, err)
			if len(refs) != 500 {
				b.Fatal(len(refs))
			}
		}
	})
	b.Run("ClaimDue", func(b *testing.B) {
		for b.Loop() {
			_, err := s.ClaimDue(b.Context(), 3_000_000_000, 500, time.Millisecond, opt)
			must(b, err)
		}
	})
	b.Run("Find", func(b *testing.B) {
		for b.Loop() {
			refs, err := s.Find(b.Context(), []store.IndexValue{{1}}, opt)
			must(b, err)
			if len(refs) != sessions {
				b.Fatal(len(refs))
			}
		}
	})
}

func openBench(b *testing.B) (*redis.Store, *servers.Redis) {
	b.Helper()
	r := servers.NewRedis(b, servers.RedisConfig{})
	s, err := redis.Open(b.Context(), r.URL())
	must(b, err)
	b.Cleanup(func() { _ = s.Close() })
	return s, r
}

func benchLogin(b *testing.B, s *redis.Store) (session.Key, store.Record) {
	b.Helper()
	key, rec := newKey(), newRecord()
	rec.Ceiling, rec.TTL, rec.Sealed = 2_000_000_000, time.Hour, make([]byte, 4096)
	rec.Index = []store.IndexValue{{1}, store.IndexValue(key)}
	must(b, s.Replace(b.Context(), key, rec, opt))
	return key, rec
}
