package bench

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
)

const crowdSize = 100_000

// BenchmarkHit asks for the cached token of one session, from one goroutine and from
// as many as there are processors.
func BenchmarkHit(b *testing.B) {
	for _, e := range hitters {
		c := e.make(1, 0)
		b.Run("serial/"+e.name, func(b *testing.B) { serial(b, c.hits, c.ids) })
		b.Run("parallel/"+e.name, func(b *testing.B) { parallel(b, c.hits, c.ids) })
		c.close()
	}
	l := newLibrary(1, 0, century, clock.System())
	defer l.Close()
	hits := l.handleHits(ids(l.sessions))
	b.Run("serial/tokenward+handle", func(b *testing.B) { serial(b, hits, nil) })
	b.Run("parallel/tokenward+handle", func(b *testing.B) { parallel(b, hits, nil) })
	hits = l.hits(tokenward.TokenRequest{Audience: named, Scope: "read:x write:x"})
	hits(ids(l.sessions), 1) // the provider grants it once
	b.Run("serial/tokenward+named", func(b *testing.B) { serial(b, hits, ids(l.sessions)) })
	hits = l.machineHits(tokenward.MachineRequest{Audience: named, Scope: "read:x write:x"})
	b.Run("serial/tokenward+machine", func(b *testing.B) { serial(b, hits, nil) })
	b.Run("parallel/tokenward+machine", func(b *testing.B) { parallel(b, hits, nil) })
}

// BenchmarkCrowd asks for the cached tokens of 100,000 sessions in random order.
func BenchmarkCrowd(b *testing.B) {
	for _, e := range hitters {
		c := e.make(crowdSize, 0)
		order := shuffled(c.ids)
		b.Run(e.name, func(b *testing.B) { serial(b, c.hits, order) })
		c.close()
	}
}

// BenchmarkGetUser reads the user of one session, which copies the claims.
func BenchmarkGetUser(b *testing.B) {
	l := newLibrary(1, 0, century, clock.System())
	defer l.Close()
	ctx, o := context.Background(), tokenward.SessionID(l.sessions[0].ID)
	b.ReportAllocs()
	for b.Loop() {
		if u, err := l.client.GetUser(ctx, o); u == nil || err != nil {
			b.Fatal(u, err)
		}
	}
}

func serial(b *testing.B, hits func([]string, int), ids []string) {
	b.ReportAllocs()
	hits(ids, 1)
	b.ResetTimer()
	hits(ids, b.N)
}

func parallel(b *testing.B, hits func([]string, int), ids []string) {
	b.ReportAllocs()
	hits(ids, 1)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			hits(ids, 1)
		}
	})
}

// shuffled returns ids in an order of its own, the same each time.
func shuffled(ids []string) []string {
	runtime.GC() // what was built before is not collected while this is timed
	order := make([]string, len(ids))
	for i, k := range rand.New(rand.NewPCG(1, 2)).Perm(len(ids)) {
		order[i] = ids[k]
	}
	return order
}
