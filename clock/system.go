package clock

import (
	"sync"
	"time"
)

// longestWait is the longest that a System timer trusts the machine to measure.
const longestWait = time.Minute

// System returns the machine's clock.
//
// Its instants have no monotonic part: they compare by wall time, as expiry
// times do. A wait of a minute or less is measured by the machine. A longer one
// ends when the wall clock reaches the instant that lay d ahead when the timer
// was armed, looked at every minute at least: where the clock steps or the
// machine sleeps, it is a minute late at most.
func System() Clock { return system{} }

type system struct{}

func (system) Now() time.Time { return time.Now().Round(0) }

func (system) AfterFunc(d time.Duration, f func()) Timer {
	t := &systemTimer{wall: system{}.Now, f: f}
	t.Reset(d)
	return t
}

// A systemTimer takes a long wait in steps.
type systemTimer struct {
	wall func() time.Time
	f    func()

	mu    sync.Mutex
	step  *time.Timer // nil until the first Reset
	armed bool        // the call is still to come
	due   time.Time   // by the wall clock; zero when one step is all
}

func (t *systemTimer) Stop() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.armed
	t.armed = false
	t.step.Stop()
	return was
}

func (t *systemTimer) Reset(d time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.armed
	t.armed = true
	t.due = time.Time{}
	if d > longestWait {
		t.due = t.wall().Add(d)
	}
	if d = min(d, longestWait); t.step == nil {
		t.step = time.AfterFunc(d, t.stepped)
	} else {
		t.step.Reset(d)
	}
	return was
}

// stepped ends one step. One that Stop or Reset came too late to hold back finds
// the timer disarmed, or not yet due, and does no harm.
func (t *systemTimer) stepped() {
	if t.over() {
		t.f()
	}
}

// over reports whether the wait is over; if not, it takes the next step.
func (t *systemTimer) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.armed {
		return false
	}
	if !t.due.IsZero() {
		if left := t.due.Sub(t.wall()); left > 0 {
			t.step.Reset(min(left, longestWait))
			return false
		}
	}
	t.armed = false
	return true
}
