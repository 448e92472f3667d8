package bench

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
)

// BenchmarkLifetimes asks for the token of one session over ten of its lifetimes, from eight goroutines, at a provider that
// takes 100 ms. A lifetime is a second on the watch. Without early refresh the worst caller of each lifetime waits for the
// provider, with it no caller does: the worst wait is what the machine takes to give a goroutine its turn.
func BenchmarkLifetimes(b *testing.B) {
	for name, opts := range map[string][]tokenward.Option{
		"as-they-expire": nil,
		"early":          {tokenward.WithEarlyRefresh(tokenLife / 3)},
	} {
		b.Run(name, func(b *testing.B) {
			var all []time.Duration
			for b.Loop() {
				all = append(all, lifetimes(opts)...)
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)-1])/1e6, "worst-ms")
			b.ReportMetric(float64(all[len(all)*999/1000])/1e6, "p99.9-ms")
			b.ReportMetric(float64(len(all))/float64(b.N), "calls/op")
		})
	}
}

// lifetimes returns how long calls took over ten lifetimes.
func lifetimes(opts []tokenward.Option) (all []time.Duration) {
	const latency, steps, callers = 100 * time.Millisecond, 200, 8
	clk := &skewed{Clock: clock.System()}
	l := newLibrary(1, latency, tokenLife, clk, opts...)
	defer l.Close()
	ctx, o := context.Background(), tokenward.SessionID(l.sessions[0].ID)
	stop, took := make(chan struct{}), make([][]time.Duration, callers)
	var asking sync.WaitGroup
	for i := range callers {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				from := time.Now()
				_, err := l.client.GetAccessToken(ctx, tokenward.TokenRequest{}, o)
				must(err)
				took[i] = append(took[i], time.Since(from))
				time.Sleep(200 * time.Microsecond)
			}
		})
	}
	for range 10 * steps {
		clk.by.Add(int64(tokenLife / steps))
		time.Sleep(time.Second / steps)
	}
	close(stop)
	asking.Wait()
	return slices.Concat(took...)
}
