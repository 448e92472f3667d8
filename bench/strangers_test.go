package bench

import (
	"context"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
)

const (
	strangerCalls = 20_000
	strangers     = 2_000 // who make them at once
	userRefreshes = 1_000
	usersAtOnce   = 200
	slowProvider  = 300 * time.Millisecond
)

// BenchmarkStrangers has signed-in users refresh their tokens at a provider that takes 300 ms, with
// and without strangers who call back with made-up codes at the same time. They alternate; the
// ratio is that of the 95th percentiles of the refreshes, and must be at most 1.5.
func BenchmarkStrangers(b *testing.B) {
	clk := &skewed{Clock: clock.System()}
	l := newLibrary(userRefreshes, 0, tokenLife, clk)
	defer l.Close()
	l.provider.Latency = slowProvider
	var alone, attacked []time.Duration
	var attack attack
	for b.Loop() {
		for range 3 {
			clk.by.Add(int64(tokenLife))
			alone = append(alone, l.refreshAll()...)

			callbacks := l.madeUpCallbacks()
			clk.by.Add(int64(tokenLife))
			over := attack.begin(l, callbacks)
			attacked = append(attacked, l.refreshAll()...)
			over()
		}
	}
	p95 := func(took []time.Duration) float64 {
		slices.Sort(took)
		return float64(took[len(took)*95/100].Milliseconds())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(p95(alone), "alone-p95-ms")
	b.ReportMetric(p95(attacked), "attacked-p95-ms")
	b.ReportMetric(p95(attacked)/p95(alone), "ratio")
	b.ReportMetric(float64(l.provider.mostExchanges.Load()), "strangers-at-once")
	b.ReportMetric(float64(attack.turnedAway)/float64(len(attacked)/userRefreshes), "turned-away/attack")
}

// refreshAll refreshes each session once and returns how long each took.
func (l *library) refreshAll() []time.Duration {
	took := make([]time.Duration, len(l.sessions))
	var wg sync.WaitGroup
	for worker := range usersAtOnce {
		wg.Go(func() {
			for i := worker; i < len(l.sessions); i += usersAtOnce {
				from := time.Now()
				_, err := l.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(l.sessions[i].ID))
				must(err)
				took[i] = time.Since(from)
			}
		})
	}
	wg.Wait()
	return took
}

// madeUpCallbacks begins logins as anybody can, and returns for each a callback with a code that
// was never issued.
func (l *library) madeUpCallbacks() []string {
	list := make([]string, strangerCalls)
	for i := range list {
		to, err := l.client.StartInteractiveLogin(context.Background(), tokenward.LoginRequest{
			AuthorizationParams: map[string]string{"redirect_uri": "https://app.example/callback"},
		}, tokenward.StoreOptions{})
		must(err)
		u, err := url.Parse(to)
		must(err)
		list[i] = "https://app.example/callback?code=made-up&state=" + u.Query().Get("state")
	}
	return list
}

// attack makes callbacks, and counts those that were turned away.
type attack struct {
	mu         sync.Mutex
	turnedAway int
}

// begin returns once the strangers fill their permits. They go on beside the caller, and over waits
// for the last of them.
func (a *attack) begin(l *library, callbacks []string) (over func()) {
	var wg sync.WaitGroup
	for i := range strangers {
		wg.Go(func() {
			for ; i < len(callbacks); i += strangers {
				_, err := l.client.CompleteInteractiveLogin(context.Background(), callbacks[i], tokenward.StoreOptions{})
				if tokenward.CodeOf(err) == "overloaded" {
					a.mu.Lock()
					a.turnedAway++
					a.mu.Unlock()
					time.Sleep(slowProvider / 2) // else all is over in a moment
				}
			}
		})
	}
	for l.provider.exchanges.Load() < 100 {
		time.Sleep(time.Millisecond)
	}
	return wg.Wait
}
