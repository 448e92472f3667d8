package sim

import (
	"time"

	"github.com/tokenward/tokenward/clock"
)

// t0 is when every run begins.
var t0 = time.Date(2030, time.January, 1, 12, 0, 0, 0, time.UTC)

// processClock is the clock as one process sees it. Its timers die with the process.
type processClock struct{ p *process }

var _ clock.Clock = processClock{}

// Now implements clock.Clock. It is where a defect is planted: see World.defect.
func (c processClock) Now() time.Time {
	w := c.p.w
	if w.defect == clockDefect {
		w.defect = noDefect
		panic("planted")
	}
	return c.p.now()
}

// Mono implements clock.Clock. Setting a process's clock does not move it.
func (c processClock) Mono() time.Duration { return c.p.w.fake.Mono() }

// now is the time by p's clock.
func (p *process) now() time.Time { return p.w.fake.Now().Add(p.skew) }

// AfterFunc implements clock.Clock.
func (c processClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	w := c.p.w
	t := &timer{w: w, p: c.p, due: w.fake.Now().Add(d), armed: d > 0}
	t.list()
	t.fire = func() {
		t.armed = false
		switch {
		case c.p.paused:
			c.p.missed = append(c.p.missed, t)
		case c.p.alive:
			f()
		}
	}
	t.inner = w.fake.AfterFunc(d, t.fire)
	return t
}

// timer is a timer that the world can see.
type timer struct {
	w     *World
	p     *process
	inner clock.Timer
	fire  func()
	due   time.Time
	armed bool
	known bool // it is in World.timers
}

// list has the world know of t, which is armed.
func (t *timer) list() {
	if !t.known {
		t.known = true
		t.w.timers = append(t.w.timers, t)
	}
}

// Stop implements clock.Timer.
func (t *timer) Stop() bool {
	t.armed = false
	return t.inner.Stop()
}

// Reset implements clock.Timer.
func (t *timer) Reset(d time.Duration) bool {
	t.due, t.armed = t.w.fake.Now().Add(d), d > 0
	t.list()
	return t.inner.Reset(d)
}

// nextTimer returns when the next timer of a living process is due.
func (w *World) nextTimer() (due time.Time, ok bool) {
	kept := w.timers[:0]
	for _, t := range w.timers {
		if !t.armed || !t.p.alive {
			t.known = false
			continue
		}
		kept = append(kept, t)
		if !ok || t.due.Before(due) {
			due, ok = t.due, true
		}
	}
	clear(w.timers[len(kept):])
	w.timers = kept
	return due, ok
}

// pass lets time pass.
func (w *World) pass(d time.Duration) {
	w.checkRenewals()
	w.note("%v pass", d)
	w.fake.Advance(d)
}
