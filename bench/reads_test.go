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

// BenchmarkReadsDuringRefresh reads a session whose refresh the provider holds, while
// 100 callers wait for it and other goroutines read other sessions and refresh them.
// A read waits for none of that: p99 is far below a millisecond.
func BenchmarkReadsDuringRefresh(b *testing.B) {
	ctx := context.Background()
	clk := &skewed{Clock: clock.System()}
	l := newLibrary(3, 0, tokenLife, clk)
	defer l.Close()
	released := make(chan struct{})
	held := make(chan struct{}, 1)
	l.provider.Hold = func(family int) <-chan struct{} {
		if family != 0 {
			return nil
		}
		held <- struct{}{}
		return released
	}
	session := func(i int) tokenward.StoreOptions { return tokenward.SessionID(l.sessions[i].ID) }

	clk.by.Add(int64(tokenLife))
	var waiting, load sync.WaitGroup
	for range 100 {
		waiting.Go(func() {
			_, err := l.client.GetAccessToken(ctx, tokenward.TokenRequest{}, session(0))
			must(err)
		})
	}
	<-held
	stop := make(chan struct{})
	for i := 1; i <= 2; i++ {
		load.Go(func() {
			for tick := 0; ; tick++ {
				select {
				case <-stop:
					return
				default:
				}
				if i == 1 && tick%100 == 0 {
					clk.by.Add(int64(tokenLife))
				}
				_, err := l.client.GetAccessToken(ctx, tokenward.TokenRequest{}, session(i))
				must(err)
				time.Sleep(50 * time.Microsecond)
			}
		})
	}
	reads := func(name string, read func() error) {
		b.Run(name, func(b *testing.B) {
			took := make([]time.Duration, 0, 1<<20)
			for b.Loop() {
				from := time.Now()
				must(read())
				took = append(took, time.Since(from))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
			b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
		})
	}
	reads("GetUser", func() error { _, err := l.client.GetUser(ctx, session(0)); return err })
	reads("GetSession", func() error { _, err := l.client.GetSession(ctx, session(0)); return err })
	close(stop)
	load.Wait()
	close(released)
	waiting.Wait()
}
