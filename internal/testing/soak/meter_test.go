package soak

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
)

func TestMeter_countsWhatIsArmed(t *testing.T) {
	fake := clock.NewFake(time.Unix(0, 0))
	m := newMeter(fake)
	want := func(what string, n int) {
		t.Helper()
		if m.waiting() != n || fake.Waiting() != n {
			t.Errorf("%s: %d armed, the clock says %d, want %d", what, m.waiting(), fake.Waiting(), n)
		}
	}
	one, two := m.AfterFunc(time.Second, func() {}), m.AfterFunc(2*time.Second, func() {})
	want("armed", 2)
	fake.Advance(time.Second)
	want("fired", 1)
	one.Reset(time.Minute)
	one.Reset(time.Hour)
	want("reset", 2)
	if !two.Stop() || two.Stop() {
		t.Error("Stop does not say whether the call was still to come")
	}
	want("stopped", 1)
	one.Reset(0)
	want("reset to now", 0)
	m.AfterFunc(0, func() {})
	want("armed for now", 0)
}

func TestFigures_grew(t *testing.T) {
	base := figures{heap: 1 << 20, goroutines: 3, timers: 1, files: 9}
	tests := []struct {
		name   string
		change func(f *figures)
		grew   bool
	}{
		{"nothing", func(*figures) {}, false},
		{"less of all", func(f *figures) { f.heap, f.goroutines, f.timers, f.files = 0, 0, 0, 0 }, false},
		{"a little heap", func(f *figures) { f.heap += heapSpare }, false},
		{"heap", func(f *figures) { f.heap += heapSpare + 1 }, true},
		{"a goroutine", func(f *figures) { f.goroutines++ }, true},
		{"a file", func(f *figures) { f.files++ }, true},
		{"a timer", func(f *figures) { f.timers++ }, false},
		{"timers", func(f *figures) { f.timers += 2 }, true},
	}
	for _, tt := range tests {
		now := base
		tt.change(&now)
		if err := now.grew(base); (err != nil) != tt.grew {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
