package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// longestWait is the longest that a System timer trusts the machine to measure.
	longestWait = time.Minute

	// anchorLife is how long Now counts on from one reading of the wall clock.
	anchorLife = 100 * time.Millisecond

	// leastStep is the least difference that counts as a step of the wall clock.
	leastStep = time.Millisecond
)

// System returns the machine's clock.
//
// Its instants have no monotonic part: they compare by wall time, as expiry
// times do. A wait of a minute or less is measured by the machine. A longer one
// ends when the wall clock reaches the instant that lay d ahead when the timer
// was armed, looked at every minute at least: where the clock steps or the
// machine sleeps, it is a minute late at most.
//
// Now reads the wall clock ten times a second at most and counts on from there by the
// machine's monotonic clock, for one clock is read in half the time of two. So it sees a step of the
// wall clock up to 100 ms late, and one of less than a millisecond only when several of
// them add up to that. Between steps it never goes back.
func System() Clock { return system{} }

type system struct{}

func (system) Now() time.Time { return now() }

// Mono counts from when the program began. It does not count the time in which the machine sleeps.
func (system) Mono() time.Duration { return time.Since(began) }

var began = time.Now()

func now() time.Time {
	if a := anchored.Load(); a != nil {
		if d := time.Since(a.at); 0 <= d && d < anchorLife {
			return a.wall.Add(d)
		}
	}
	return anchorAgain()
}

// anchor is one look at both clocks.
type anchor struct {
	at   time.Time // with its monotonic part
	wall time.Time // what Now said at that instant, without one
}

var anchored atomic.Pointer[anchor]

// anchorAgain looks at both clocks, and returns the time.
func anchorAgain() time.Time {
	old := anchored.Load()
	before := time.Now()
	a := old.next(time.Now())
	if time.Since(before) < leastStep/10 { // else the readings may lie too far apart
		anchored.CompareAndSwap(old, a)
	}
	return a.wall
}

// next returns the anchor that follows a, nil for none, from what both clocks say now.
// They run alike: what they have come apart by, unless the wall clock stepped, is the time between
// the readings of one and the other, and for that Now must not go back.
func (a *anchor) next(at time.Time) *anchor {
	n := &anchor{at: at, wall: at.Round(0)}
	if a != nil {
		counted := a.wall.Add(at.Sub(a.at))
		if apart := n.wall.Sub(counted); -leastStep < apart && apart < leastStep {
			n.wall = counted
		}
	}
	return n
}

func (system) AfterFunc(d time.Duration, f func()) Timer {
	t := &systemTimer{wall: now, f: f}
	t.Reset(d)
	return t
}

// A systemTimer takes a long wait in steps.
type systemTimer struct {
	wall func() time.Time
	f    func()

	mu     sync.Mutex
	step   *time.Timer // nil until the first Reset
	resets uint64      // a step of an earlier Reset is none
	armed  bool        // the call is still to come
	due    time.Time   // by the wall clock; zero when one step is all
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
	if t.step != nil {
		t.step.Stop()
	}
	t.resets++
	reset := t.resets
	t.step = time.AfterFunc(min(d, longestWait), func() { t.stepped(reset) })
	return was
}

// stepped ends one step of what a Reset armed. One that Stop or Reset came too late to hold
// back finds the timer disarmed, or armed anew, and does no harm.
func (t *systemTimer) stepped(reset uint64) {
	if t.over(reset) {
		t.f()
	}
}

// over reports whether the wait is over; if not, it takes the next step.
func (t *systemTimer) over(reset uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.armed || reset != t.resets {
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
