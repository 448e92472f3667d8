package clock

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// bent is a wall clock that a test steps, beside a machine that runs on.
type bent struct{ by atomic.Int64 }

func (b *bent) now() time.Time { return System().Now().Add(time.Duration(b.by.Load())) }

func (b *bent) step(d time.Duration) { b.by.Add(int64(d)) }

// afterFunc arms a System timer that reads b.
func (b *bent) afterFunc(d time.Duration, f func()) Timer {
	t := &systemTimer{wall: b.now, f: f}
	t.Reset(d)
	return t
}

func TestSystem_isTheMachinesClock(t *testing.T) {
	before := time.Now()
	now := System().Now()
	first, last := before.Round(0).Add(-2*leastStep), time.Now().Round(0).Add(2*leastStep)
	if now.Before(first) || now.After(last) {
		t.Errorf("Now = %v, want it in %v to %v", now, first, last)
	}
	if now != now.Round(0) {
		t.Errorf("Now = %v has a monotonic part", now)
	}
	if n := testing.AllocsPerRun(1000, func() { System().Now() }); n != 0 {
		t.Errorf("Now allocates %v times", n)
	}
}

func TestSystem_countsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, d := range []time.Duration{0, 1, anchorLife - 1, 1, 1, anchorLife, time.Hour, anchorLife / 2, anchorLife / 2} {
			time.Sleep(d)
			if got, want := System().Now(), time.Now().Round(0); got != want {
				t.Errorf("Now = %v, want %v", got, want)
			}
		}
	})
}

func TestSystem_monoCountsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := System().Mono()
		time.Sleep(time.Hour)
		if got := System().Mono() - before; got != time.Hour {
			t.Errorf("Mono moved by %v, want 1h", got)
		}
	})
}

func TestAnchor_followsSteps(t *testing.T) {
	tests := []struct {
		name  string
		step  time.Duration // of the wall clock, between two looks at it
		after time.Duration // what Now has moved by at the second look, beyond the time that passed
	}{
		{"none", 0, 0},
		{"read late", leastStep - 1, 0},
		{"read early", 1 - leastStep, 0},
		{"forwards", leastStep, leastStep},
		{"backwards", -leastStep, -leastStep},
		{"a day back", -24 * time.Hour, -24 * time.Hour},
	}
	for _, tt := range tests {
		const passed = 130 * time.Millisecond
		first := time.Now()
		second := first.Add(passed)
		said := first.Round(0).Add(-tt.step) // beside second, which has stepped
		got := (&anchor{at: first, wall: said}).next(second)
		if want := said.Add(passed + tt.after); got.wall != want || got.at != second {
			t.Errorf("%s: Now = %v, want %v", tt.name, got.wall, want)
		}
	}
}

func TestSystem_callsOnTheRealMachine(t *testing.T) {
	called := make(chan struct{}, 1)
	timer := System().AfterFunc(time.Millisecond, func() { called <- struct{}{} })
	<-called
	if timer.Reset(0) {
		t.Error("Reset of a fired timer = true, want false")
	}
	<-called
	if timer.Stop() {
		t.Error("Stop of a fired timer = true, want false")
	}
}

func TestSystem_callsOnTime(t *testing.T) {
	waits := []time.Duration{
		-time.Second, 0, 1, time.Second, longestWait, longestWait + 1, time.Hour + time.Second/3, 1000 * time.Hour,
	}
	for _, d := range waits {
		synctest.Test(t, func(t *testing.T) {
			start, called := time.Now(), make(chan time.Duration, 1)
			System().AfterFunc(d, func() { called <- time.Since(start) })
			if got, want := <-called, max(d, 0); got != want {
				t.Errorf("AfterFunc(%v) called after %v, want %v", d, got, want)
			}
		})
	}
}

func TestSystem_wallClockSteps(t *testing.T) {
	tests := []struct {
		name       string
		wait, step time.Duration // the step comes after 90 s, or midway in a shorter wait
		want       time.Duration
	}{
		{"long, forwards past its end", time.Hour, 2 * time.Hour, 2 * time.Minute},
		{"long, forwards", time.Hour, 30 * time.Minute, 30 * time.Minute},
		{"long, backwards", time.Hour, -30 * time.Minute, 90 * time.Minute},
		{"short, forwards", 10 * time.Second, time.Hour, 10 * time.Second},
		{"short, backwards", 10 * time.Second, -time.Hour, 10 * time.Second},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			var wall bent
			start, called := time.Now(), make(chan time.Duration, 1)
			wall.afterFunc(tt.wait, func() { called <- time.Since(start) })
			time.Sleep(min(90*time.Second, tt.wait/2))
			synctest.Wait()
			wall.step(tt.step)

			if got := <-called; got != tt.want {
				t.Errorf("%s: called after %v, want %v", tt.name, got, tt.want)
			}
		})
	}
}

func TestSystem_stopAndReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, called := time.Now(), make(chan time.Duration, 9)
		timer := System().AfterFunc(time.Hour, func() { called <- time.Since(start) })
		time.Sleep(30*time.Minute + time.Second)
		if !timer.Stop() {
			t.Error("Stop of an armed timer = false, want true")
		}
		if timer.Stop() {
			t.Error("second Stop = true, want false")
		}
		if timer.Reset(time.Second) {
			t.Error("Reset of a stopped timer = true, want false")
		}
		if !timer.Reset(2 * time.Hour) {
			t.Error("Reset of an armed timer = false, want true")
		}
		if got, want := <-called, 2*time.Hour+30*time.Minute+time.Second; got != want {
			t.Errorf("called after %v, want %v", got, want)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if len(called) > 0 {
			t.Errorf("called again after %v", <-called)
		}
	})
}

// A step that runs out just as the timer is stopped or armed anew comes late.
func TestSystem_lateStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		timer := System().AfterFunc(time.Hour, func() { calls.Add(1) }).(*systemTimer)
		timer.stepped(timer.resets) // not due yet
		timer.Reset(30 * time.Second)
		earlier := timer.resets
		timer.Reset(40 * time.Second)
		timer.stepped(earlier)
		if n := calls.Load(); n != 0 {
			t.Errorf("calls = %d, want 0", n)
		}
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if n := calls.Load(); n != 1 {
			t.Errorf("calls when it is due = %d, want 1", n)
		}
		timer.Reset(time.Second)
		timer.Stop()
		timer.stepped(timer.resets)
		if n := calls.Load(); n != 1 {
			t.Errorf("calls once it was stopped = %d, want 1", n)
		}
	})
}

func BenchmarkSystemNow(b *testing.B) {
	c := System()
	for b.Loop() {
		c.Now()
	}
}

func BenchmarkTimeNow(b *testing.B) {
	for b.Loop() {
		time.Now()
	}
}
