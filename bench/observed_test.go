package bench

import (
	"context"
	"runtime"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/observe"
)

// BenchmarkObserved times a hit with telemetry on beside one without, in turn: with an observer that is told everything, as
// those of observe/otel and observe/prometheus are.
func BenchmarkObserved(b *testing.B) {
	without := newLibrary(1, 0, century, clock.System())
	defer without.Close()
	with := newLibrary(1, 0, century, clock.System(), tokenward.WithObserver(everything()))
	defer with.Close()
	id, ctx, o := with.sessions[0].ID, context.Background(), tokenward.SessionID(with.sessions[0].ID)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := with.client.GetAccessToken(ctx, tokenward.TokenRequest{}, o); err != nil {
			b.Fatal(id, err)
		}
	}); n != 0 {
		b.Errorf("a hit with telemetry on: %v allocations, want 0", n)
	}
	for _, row := range []struct {
		name   string
		handle bool
		procs  int
	}{
		{"serial", false, 1}, {"parallel", false, runtime.GOMAXPROCS(0)}, {"handle", true, 1}, {"handle/parallel", true, runtime.GOMAXPROCS(0)},
	} {
		b.Run(row.name, func(b *testing.B) {
			var list []*contender
			for _, l := range []*library{without, with} {
				c := &contender{ids: ids(l.sessions), hits: l.hits(tokenward.TokenRequest{})}
				if row.handle {
					c.hits = l.handleHits(c.ids)
				}
				list = append(list, c)
			}
			for range b.N {
				best := bestHits(list, row.procs)
				b.ReportMetric(best[0], "ns/hit-without")
				b.ReportMetric(best[1], "ns/hit-with")
				b.ReportMetric(best[1]/best[0], "times")
			}
		})
	}
}

// everything is an observer that is told everything, and does nothing.
func everything() observe.Observer {
	return observe.Observer{
		Client: func(func() observe.Figures) func() { return func() {} },
		Call: func(context.Context, observe.Call) (context.Context, func(observe.CallEnd)) {
			return nil, func(observe.CallEnd) {}
		},
		Flight: func(context.Context, observe.Flight) (context.Context, func(observe.FlightEnd)) {
			return nil, func(observe.FlightEnd) {}
		},
		Request: func(context.Context, observe.Request) (context.Context, func(observe.RequestEnd)) {
			return nil, func(observe.RequestEnd) {}
		},
		Store: func(context.Context, observe.Store) (context.Context, func(observe.StoreEnd)) {
			return nil, func(observe.StoreEnd) {}
		},
		Ended: func(observe.Ended) {}, Ceiling: func(observe.Ceiling) {},
	}
}
