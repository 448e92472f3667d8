package clock_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/clock"
)

// model is a Fake said plainly: a list of timers, searched from end to end.
type model struct {
	now    time.Duration // since t0
	timers []*modelTimer
	armed  int
	log    []string
}

type modelTimer struct {
	name  int
	again time.Duration // what its callback arms it for anew, once; 0 for nothing
	due   time.Duration
	order int // 0 when disarmed
}

func (m *model) reset(t *modelTimer, d time.Duration) bool {
	was := m.stop(t)
	if d <= 0 {
		m.call(t)
		return was
	}
	m.armed++
	t.due, t.order = m.now+d, m.armed
	return was
}

func (m *model) stop(t *modelTimer) bool {
	was := t.order != 0
	t.order = 0
	return was
}

func (m *model) call(t *modelTimer) {
	m.log = append(m.log, fmt.Sprint(t.name, "+", m.now))
	if d := t.again; d != 0 {
		t.again = 0
		m.reset(t, d)
	}
}

func (m *model) moveTo(to time.Duration) {
	for {
		var first *modelTimer
		for _, t := range m.timers {
			if t.order != 0 && t.due <= to &&
				(first == nil || t.due < first.due || t.due == first.due && t.order < first.order) {
				first = t
			}
		}
		if first == nil {
			m.now = to
			return
		}
		m.now = first.due
		m.stop(first)
		m.call(first)
	}
}

func (m *model) waiting() (n int) {
	for _, t := range m.timers {
		if t.order != 0 {
			n++
		}
	}
	return n
}

func TestFake_isTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			m      model
			clk    = clock.NewFake(t0)
			log    []string
			timers []clock.Timer
			span   = rapid.Map(rapid.IntRange(-2, 8), func(n int) time.Duration { return time.Duration(n) * time.Second })
		)
		arm := func(d, again time.Duration) {
			name := len(timers)
			timers = append(timers, nil)
			left := again
			note := func() {
				log = append(log, fmt.Sprint(name, "+", clk.Now().Sub(t0)))
				if d := left; d != 0 {
					left = 0
					timers[name].Reset(d)
				}
			}
			// Stopped first, so that the callback finds its own timer.
			timers[name] = clk.AfterFunc(time.Hour, note)
			timers[name].Reset(d)

			mt := &modelTimer{name: name, again: again}
			m.timers = append(m.timers, mt)
			m.reset(mt, d)
		}
		one := func(t *rapid.T) int {
			if len(timers) == 0 {
				t.Skip("no timer yet")
			}
			return rapid.IntRange(0, len(timers)-1).Draw(t, "timer")
		}

		t.Repeat(map[string]func(*rapid.T){
			"arm": func(t *rapid.T) { arm(span.Draw(t, "wait"), span.Draw(t, "again")) },
			"stop": func(t *rapid.T) {
				i := one(t)
				if got, want := timers[i].Stop(), m.stop(m.timers[i]); got != want {
					t.Fatalf("Stop = %v, want %v", got, want)
				}
			},
			"reset": func(t *rapid.T) {
				i, d := one(t), span.Draw(t, "wait")
				if got, want := timers[i].Reset(d), m.reset(m.timers[i], d); got != want {
					t.Fatalf("Reset = %v, want %v", got, want)
				}
			},
			"advance": func(t *rapid.T) {
				d := span.Draw(t, "by")
				clk.Advance(d)
				m.moveTo(m.now + d)
			},
			"set": func(t *rapid.T) {
				to := span.Draw(t, "to") * 4
				clk.Set(t0.Add(to))
				m.moveTo(to)
			},
			"": func(t *rapid.T) {
				if got := clk.Now().Sub(t0); got != m.now {
					t.Fatalf("now = %v, want %v", got, m.now)
				}
				if got := clk.Waiting(); got != m.waiting() {
					t.Fatalf("waiting = %d, want %d", got, m.waiting())
				}
				if !slices.Equal(log, m.log) {
					t.Fatalf("called %q, want %q", log, m.log)
				}
			},
		})
	})
}
