package bench

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkBurst times n callers who find the same token expired at once.
// refreshes/burst is the point of it: 1 means they shared one refresh.
func BenchmarkBurst(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		for _, e := range crowds {
			b.Run(fmt.Sprintf("%d/%s", n, e.name), func(b *testing.B) {
				crowd(b, "burst", e.make(1, 0), n, Request{})
			})
		}
	}
}

// BenchmarkStorm times 10 callers of each of 1,000 sessions whose tokens have all
// expired. refreshes/storm is 1,000 when each session's callers shared one.
func BenchmarkStorm(b *testing.B) {
	for _, e := range crowds {
		b.Run(e.name, func(b *testing.B) {
			crowd(b, "storm", e.make(1000, 0), 10, Request{})
		})
	}
}

func crowd(b *testing.B, unit string, c *contender, callers int, requests ...Request) {
	defer c.close()
	var wall time.Duration
	for b.Loop() {
		b.StopTimer()
		c.expire()
		b.StartTimer()
		took, failed := c.crowd(callers, requests...)
		if failed > 0 {
			b.Fatal(failed, "failed")
		}
		wall += took
	}
	b.ReportMetric(float64(wall.Microseconds())/float64(b.N), "µs/"+unit)
	b.ReportMetric(float64(c.provider.Refreshes())/float64(b.N), "refreshes/"+unit)
}

// BenchmarkAudiences times callers of one session who want tokens for four audiences
// at once, from a provider that takes 1 ms and rotates refresh tokens. Each
// audience costs one refresh. lost/burst is the share of bursts after which the provider
// had ended the session, for a refresh token came twice.
func BenchmarkAudiences(b *testing.B) {
	for _, e := range crowds {
		if e.name == "ReuseTokenSource" {
			continue // knows no audiences
		}
		b.Run(e.name, func(b *testing.B) {
			var wall time.Duration
			var refreshes, lost int64
			for b.Loop() {
				b.StopTimer()
				c := e.make(1, time.Millisecond)
				b.StartTimer()
				took, failed := c.crowd(40, audiences()...)
				b.StopTimer()
				wall += took
				refreshes += c.provider.Refreshes()
				if failed > 0 {
					lost++
				}
				c.close()
				b.StartTimer()
			}
			b.ReportMetric(float64(wall.Microseconds())/float64(b.N), "µs/burst")
			b.ReportMetric(float64(refreshes)/float64(b.N), "refreshes/burst")
			b.ReportMetric(float64(lost)/float64(b.N), "lost/burst")
		})
	}
}

func audiences() []Request {
	list := make([]Request, 4)
	for i := range list {
		list[i].Audience = fmt.Sprintf("https://api%d.example.com", i)
	}
	return list
}
