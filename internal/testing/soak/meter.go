package soak

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tokenward/tokenward/clock"
)

// meter is a clock that knows how many timers are armed.
type meter struct {
	clock.Clock
	mu    sync.Mutex
	armed int
}

func newMeter(c clock.Clock) *meter { return &meter{Clock: c} }

// AfterFunc implements clock.Clock.
func (m *meter) AfterFunc(d time.Duration, f func()) clock.Timer {
	t := &metered{meter: m, f: f}
	t.set(true) // before it can fire, which may be at once
	t.Timer = m.Clock.AfterFunc(d, t.fired)
	return t
}

func (m *meter) waiting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.armed
}

// metered is a timer that is counted while it is armed. The meter's lock guards it.
type metered struct {
	clock.Timer
	meter *meter
	f     func()
	armed bool
}

func (t *metered) fired() {
	t.set(false)
	t.f()
}

func (t *metered) set(armed bool) {
	t.meter.mu.Lock()
	defer t.meter.mu.Unlock()
	if t.armed != armed {
		t.armed = armed
		t.meter.armed += map[bool]int{true: 1, false: -1}[armed]
	}
}

// Stop implements clock.Timer.
func (t *metered) Stop() bool {
	was := t.Timer.Stop()
	if was {
		t.set(false)
	}
	return was
}

// Reset implements clock.Timer.
func (t *metered) Reset(d time.Duration) bool {
	t.set(true)
	return t.Timer.Reset(d)
}

// figures are what a process holds.
type figures struct {
	heap       uint64 // bytes that are reachable
	goroutines int
	timers     int
	files      int // -1 where nobody can tell
	resident   int64
	records    int
}

func (s *soak) measure() figures {
	for range 3 { // pools are emptied by the second
		runtime.GC()
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	f := figures{heap: mem.HeapAlloc, goroutines: runtime.NumGoroutine() - min(idle(), idleMost()), timers: s.clock.waiting(), files: -1, resident: s.client.Stats().Resident}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		f.files = len(open)
	}
	f.records, _ = s.count()
	return f
}

// idleMost is how many goroutines that have nothing to do a client keeps.
func idleMost() int { return 4 * runtime.GOMAXPROCS(0) }

// idle returns how many there are.
func idle() (n int) {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		panic(err) // a Buffer takes everything
	}
	for group := range strings.SplitSeq(profile.String(), "\n\n") {
		of, stack, _ := strings.Cut(group, " @ ") // "8 @ 0x4ca1ee ...", then a line for each frame
		_, frames, _ := strings.Cut(stack, "\n")
		innermost, _, _ := strings.Cut(frames, "\n")
		if strings.Contains(innermost, "/runner.(*workers).work+") {
			some, _ := strconv.Atoi(of[strings.LastIndexByte(of, '\n')+1:])
			n += some
		}
	}
	return n
}

// grew says what of f is more than it was before.
func (f figures) grew(before figures) error {
	switch {
	case f.goroutines > before.goroutines:
		return fmt.Errorf("soak: goroutines grew from %d to %d", before.goroutines, f.goroutines)
	case f.timers > before.timers+timerSpare:
		return fmt.Errorf("soak: timers grew from %d to %d", before.timers, f.timers)
	case f.files > before.files:
		return fmt.Errorf("soak: open files grew from %d to %d", before.files, f.files)
	case f.heap > before.heap+heapSpare:
		return fmt.Errorf("soak: the heap grew from %d to %d bytes", before.heap, f.heap)
	}
	return nil
}

// resting says what keeps f from being a rest.
func (f figures) resting() error {
	if f.resident != 0 || f.records != 0 {
		return fmt.Errorf("soak: %d sessions stay in memory and %d in the store", f.resident, f.records)
	}
	return nil
}
