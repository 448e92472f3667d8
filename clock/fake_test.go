package clock_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
)

var t0 = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func ExampleFake() {
	clk := clock.NewFake(time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC))
	for _, minutes := range []time.Duration{20, 10} {
		clk.AfterFunc(minutes*time.Minute, func() { fmt.Println("called at", clk.Now().Format("15:04")) })
	}

	clk.Advance(time.Hour)

	fmt.Println("stands at", clk.Now().Format("15:04"))
	// Output:
	// called at 09:10
	// called at 09:20
	// stands at 10:00
}

// called notes the calls of functions, each with its time by the clock.
type called struct {
	clk *clock.Fake
	log []string
}

func (c *called) after(d time.Duration, name string) clock.Timer {
	return c.clk.AfterFunc(d, func() { c.note(name) })
}

func (c *called) note(name string) {
	c.log = append(c.log, fmt.Sprint(name, "+", c.clk.Now().Sub(t0)))
}

func (c *called) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(c.log, want) {
		t.Errorf("called %q, want %q", c.log, want)
	}
}

func newCalled() *called { return &called{clk: clock.NewFake(t0)} }

func TestFake_callsInOrderOfTimeThenOfArming(t *testing.T) {
	c := newCalled()
	c.after(2*time.Second, "late")
	c.after(time.Second, "first")
	c.after(time.Second, "second")
	moved := c.after(time.Second, "moved")
	c.after(time.Second, "third")
	moved.Reset(time.Second) // armed anew, so behind the third
	c.after(time.Minute, "never")

	c.clk.Advance(2 * time.Second)

	c.want(t, "first+1s", "second+1s", "third+1s", "moved+1s", "late+2s")
	if got := c.clk.Waiting(); got != 1 {
		t.Errorf("waiting = %d, want 1", got)
	}
}

func TestFake_callbackArmsAnotherOnTheWay(t *testing.T) {
	c := newCalled()
	var tick clock.Timer
	tick = c.clk.AfterFunc(time.Second, func() {
		c.note("tick")
		tick.Reset(time.Second)
	})

	c.clk.Advance(3500 * time.Millisecond)

	c.want(t, "tick+1s", "tick+2s", "tick+3s")
	if got, want := c.clk.Now(), t0.Add(3500*time.Millisecond); !got.Equal(want) {
		t.Errorf("stands at %v, want %v", got, want)
	}
}

// A timer for an instant comes at that instant, however far the clock was moved before it was armed.
func TestAt(t *testing.T) {
	c := newCalled()
	at := func(d time.Duration, name string) { clock.At(c.clk, t0.Add(d), func() { c.note(name) }) }
	at(time.Minute, "early")
	c.clk.Advance(30 * time.Second)
	at(time.Minute, "late")
	at(30*time.Second, "due")
	c.clk.Advance(time.Hour)
	c.want(t, "due+30s", "early+1m0s", "late+1m0s")
}

func TestFake_dueAlreadyIsCalledBeforeArmingReturns(t *testing.T) {
	c := newCalled()
	c.after(0, "zero")
	timer := c.after(-time.Second, "negative")
	c.want(t, "zero+0s", "negative+0s")

	timer.Reset(time.Second)
	if !timer.Reset(0) {
		t.Error("Reset of an armed timer = false, want true")
	}
	c.want(t, "zero+0s", "negative+0s", "negative+0s")

	c.clk.Advance(time.Hour)
	c.want(t, "zero+0s", "negative+0s", "negative+0s")
}

func TestFake_stopAndReset(t *testing.T) {
	c := newCalled()
	timer := c.after(time.Second, "timer")
	if !timer.Stop() {
		t.Error("Stop of an armed timer = false, want true")
	}
	if timer.Stop() {
		t.Error("second Stop = true, want false")
	}
	c.clk.Advance(time.Minute)
	c.want(t)

	if timer.Reset(time.Second) {
		t.Error("Reset of a stopped timer = true, want false")
	}
	c.clk.Advance(time.Second)
	c.want(t, "timer+1m1s")
	if timer.Stop() {
		t.Error("Stop of a fired timer = true, want false")
	}
}

func TestFake_callbackStopsAnotherDueWithIt(t *testing.T) {
	c := newCalled()
	var second clock.Timer
	c.clk.AfterFunc(time.Second, func() { second.Stop() })
	second = c.after(time.Second, "second")

	c.clk.Advance(time.Second)

	c.want(t)
}

func TestFake_setBackwardsCallsNothing(t *testing.T) {
	c := newCalled()
	c.after(time.Second, "timer")

	c.clk.Set(t0.Add(-time.Hour))
	c.clk.Advance(time.Hour)
	c.want(t) // due at t0 + 1s, whatever happened in between

	c.clk.Set(t0.Add(time.Minute))
	c.want(t, "timer+1s")

	c.clk.Advance(-time.Minute)
	if got := c.clk.Now(); !got.Equal(t0) {
		t.Errorf("after Advance(-1m) the clock stands at %v, want %v", got, t0)
	}
	c.want(t, "timer+1s")
}

// A wall clock that is set back, or forwards, lets no time pass.
func TestFake_setWall(t *testing.T) {
	c := newCalled()
	c.after(time.Second, "timer")
	c.clk.Advance(600 * time.Millisecond)
	before := c.clk.Mono()

	for _, to := range []time.Time{t0.Add(-time.Hour), t0.Add(time.Hour)} {
		c.clk.SetWall(to)
		if got := c.clk.Now(); !got.Equal(to) {
			t.Errorf("Now = %v, want %v", got, to)
		}
		if got := c.clk.Mono(); got != before {
			t.Errorf("Mono = %v, want %v as before", got, before)
		}
	}
	c.clk.Advance(399 * time.Millisecond)
	c.want(t) // a second has not passed yet
	c.clk.Advance(time.Millisecond)
	c.want(t, "timer+1h0m0.4s")
	if got := c.clk.Mono() - before; got != 400*time.Millisecond {
		t.Errorf("Mono moved by %v, want 400ms", got)
	}
}

// Time that passed has passed, wherever the clock is set.
func TestFake_monoNeverGoesBack(t *testing.T) {
	clk := clock.NewFake(t0)
	clk.Set(t0.Add(time.Hour))
	clk.Set(t0)
	clk.Set(t0.Add(time.Minute))
	if got, want := clk.Mono(), time.Hour+time.Minute; got != want {
		t.Errorf("Mono = %v, want %v", got, want)
	}
}

func TestFake_farAhead(t *testing.T) {
	clk := clock.NewFake(time.Unix(0, 0))
	ceiling := time.Unix(9_999_999_999, 0)
	longest := time.Duration(math.MaxInt64)

	wait := clock.Until(clk, ceiling)
	if wait != longest {
		t.Errorf("Until(%v) = %v, want the longest Duration", ceiling, wait)
	}
	var at time.Time
	clk.AfterFunc(wait, func() {
		clk.AfterFunc(clock.Until(clk, ceiling), func() { at = clk.Now() })
	})

	clk.Set(ceiling.Add(-1))
	if !at.IsZero() {
		t.Fatalf("called at %v, before the ceiling", at)
	}
	clk.Set(ceiling)
	if !at.Equal(ceiling) {
		t.Errorf("called at %v, want %v", at, ceiling)
	}

	clk.AfterFunc(longest, func() { at = clk.Now() })
	clk.Advance(longest)
	if want := ceiling.Add(longest); !at.Equal(want) {
		t.Errorf("called at %v, want %v", at, want)
	}
}

func TestUntil(t *testing.T) {
	tests := []struct {
		name string
		t    time.Time
		want time.Duration
	}{
		{"ahead", t0.Add(time.Second), time.Second},
		{"now", t0, 0},
		{"past", t0.Add(-time.Second), -time.Second},
		{"far ahead", t0.AddDate(1000, 0, 0), math.MaxInt64},
		{"far past", t0.AddDate(-1000, 0, 0), math.MinInt64},
	}
	for _, tt := range tests {
		if got := clock.Until(clock.NewFake(t0), tt.t); got != tt.want {
			t.Errorf("%s: Until = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestFake_callbackMayNotMoveTheClock(t *testing.T) {
	moves := map[string]func(*clock.Fake){
		"Advance": func(clk *clock.Fake) { clk.Advance(time.Second) },
		"Set":     func(clk *clock.Fake) { clk.Set(t0) },
		"SetWall": func(clk *clock.Fake) { clk.SetWall(t0) },
	}
	for name, move := range moves {
		clk := clock.NewFake(t0)
		var got any
		clk.AfterFunc(time.Second, func() {
			defer func() { got = recover() }()
			move(clk)
		})

		clk.Advance(time.Minute)

		if got == nil {
			t.Errorf("%s in a callback did not panic", name)
		}
		if want := t0.Add(time.Minute); !clk.Now().Equal(want) {
			t.Errorf("%s: the clock stands at %v, want %v", name, clk.Now(), want)
		}
	}
}

func TestFake_standsWhereACallbackPanicked(t *testing.T) {
	c := newCalled()
	c.clk.AfterFunc(time.Second, func() { panic("callback") })
	c.after(time.Second, "next")
	func() {
		defer func() { _ = recover() }()
		c.clk.Advance(time.Minute)
	}()
	c.want(t)

	c.clk.Advance(0)

	c.want(t, "next+1s")
}

func TestFake_movesWaitForEachOther(t *testing.T) {
	clk := clock.NewFake(t0)
	inside, release := make(chan struct{}), make(chan struct{})
	clk.AfterFunc(time.Second, func() {
		close(inside)
		<-release
	})
	var late time.Time
	clk.AfterFunc(2*time.Second, func() { late = clk.Now() })

	var moves sync.WaitGroup
	moves.Go(func() { clk.Advance(time.Second) })
	<-inside
	moves.Go(func() { clk.Advance(time.Second) })
	if got, want := clk.Now(), t0.Add(time.Second); !got.Equal(want) {
		t.Errorf("during the first move the clock stands at %v, want %v", got, want)
	}
	close(release)
	moves.Wait()

	if want := t0.Add(2 * time.Second); !late.Equal(want) {
		t.Errorf("second timer called at %v, want %v", late, want)
	}
}

func TestFake_armedFromManyGoroutines(t *testing.T) {
	const goroutines, each = 8, 200
	clk := clock.NewFake(t0)
	var mu sync.Mutex
	calls := 0

	var arming sync.WaitGroup
	for range goroutines {
		arming.Go(func() {
			for i := range each {
				timer := clk.AfterFunc(time.Duration(i+1)*time.Second, func() {
					mu.Lock()
					defer mu.Unlock()
					calls++
				})
				if i%2 == 1 {
					timer.Stop()
				}
			}
		})
	}
	if err := clk.WaitTimers(t.Context(), each/2); err != nil {
		t.Error(err)
	}
	arming.Wait()
	if got, want := clk.Waiting(), goroutines*each/2; got != want {
		t.Errorf("waiting = %d, want %d", got, want)
	}

	clk.Advance(each * time.Second)

	if want := goroutines * each / 2; calls != want {
		t.Errorf("calls = %d, want %d", calls, want)
	}
}

func TestFake_waitTimers(t *testing.T) {
	clk := clock.NewFake(t0)
	clk.AfterFunc(time.Second, func() {})
	if err := clk.WaitTimers(t.Context(), 1); err != nil {
		t.Errorf("one is armed: err = %v, want nil", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := clk.WaitTimers(ctx, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("one of two is armed: err = %v, want %v", err, context.Canceled)
	}

	waited := make(chan error)
	go func() { waited <- clk.WaitTimers(t.Context(), 3) }()
	clk.AfterFunc(time.Second, func() {})
	clk.AfterFunc(time.Second, func() {})
	if err := <-waited; err != nil {
		t.Errorf("three are armed: err = %v, want nil", err)
	}
}

// BenchmarkFake times the arming and the firing of a million timers.
func BenchmarkFake(b *testing.B) {
	const n = 1_000_000
	calls := 0
	for b.Loop() {
		clk := clock.NewFake(t0)
		for i := range n {
			clk.AfterFunc(time.Duration(1+i*7919%n), func() { calls++ })
		}
		clk.Advance(n)
	}
	b.ReportMetric(float64(calls)/float64(b.N), "calls/op")
}
