package telemetry_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/telemetry"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func tell(o ...observe.Observer) *telemetry.Telemetry {
	return telemetry.New(o, clock.NewFake(time.Unix(1e9, 0)), session.Policy{}, zap.NewNop(), func() {})
}

// A store that is watched is the store that it was, with all its abilities.
func TestStore_keepsTheContract(t *testing.T) {
	watched := tell(observe.Observer{Store: func(context.Context, observe.Store) (context.Context, func(observe.StoreEnd)) {
		return nil, func(observe.StoreEnd) {}
	}})
	for name, opts := range map[string][]store.MemoryOption{"exclusive": nil, "shared": {store.Shared()}} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(_ *testing.T, c clock.Clock) store.StateStore { return watched.Store(store.NewMemory(c, opts...)) })
		})
	}
}

// A flight whose end comes before its start is told of neither.
func TestFlight_startAndEndInAnyOrder(t *testing.T) {
	var seen []string
	o := tell(observe.Observer{Flight: func(context.Context, observe.Flight) (context.Context, func(observe.FlightEnd)) {
		seen = append(seen, "start")
		return nil, func(e observe.FlightEnd) { seen = append(seen, e.Outcome) }
	}})
	f := o.NewFlight(t.Context(), nil)
	f.End(observe.Unasked, nil)
	f.Start()
	f.End(observe.Failed, errors.New("late"))
	f = o.NewFlight(t.Context(), nil)
	f.Start()
	f.Start()
	f.Sent()
	f.End(observe.Refreshed, nil)
	f.End(observe.Failed, nil)
	if want := []string{"start", observe.Refreshed}; !slices.Equal(seen, want) {
		t.Errorf("told %q, want %q", seen, want)
	}
}

// A work's panic has an end, and goes on.
func TestDuring_panics(t *testing.T) {
	var end observe.CallEnd
	o := tell(observe.Observer{Call: func(context.Context, observe.Call) (context.Context, func(observe.CallEnd)) {
		return nil, func(e observe.CallEnd) { end = e }
	}})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = telemetry.During(t.Context(), o, observe.Login, nil, func(context.Context, *telemetry.Call) (int, error) { panic("a defect") })
	}()
	if end.Code != string(session.CodeInternalError) {
		t.Errorf("the end says %q", end.Code)
	}
}

func TestCounter_missesNothing(t *testing.T) {
	var c telemetry.Counter
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 1000 {
				c.Add()
			}
		})
	}
	all.Wait()
	if c.Load() != 50_000 {
		t.Errorf("counted %d, want 50000", c.Load())
	}
	if n := testing.AllocsPerRun(100, c.Add); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
