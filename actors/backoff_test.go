package actors

import (
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

func TestUntilNext_doublesAndKeepsToEightAnHour(t *testing.T) {
	var at []time.Duration
	for n, now := 1, time.Duration(0); now < 10*time.Hour; n++ {
		at = append(at, now)
		wait := untilNext(n)
		if want := 5 * time.Second << (n - 1); n < 8 && wait != want {
			t.Errorf("after presentation %d: %v, want %v", n, wait, want)
		}
		if n > 8 && wait != 15*time.Minute {
			t.Errorf("after presentation %d: %v, want 15m", n, wait)
		}
		now += wait
	}
	for i, from := range at {
		n := 0
		for _, then := range at[i:] {
			if then < from+time.Hour {
				n++
			}
		}
		if n > 8 {
			t.Errorf("%d presentations in the hour from %v: %v", n, from, at)
		}
	}
}

func TestDue_byTheClock(t *testing.T) {
	for ahead, want := range map[time.Duration]bool{
		-time.Second: true, 0: true, time.Second: false, time.Hour: false,
		time.Hour + time.Second: true, // the clock was set back
	} {
		if got := Due(store.Intent{Next: t0.Add(ahead).Unix()}, t0); got != want {
			t.Errorf("%v ahead: due = %v", ahead, got)
		}
	}
	if !Due(store.Intent{}, t0) {
		t.Error("what was never presented again is not due")
	}
}

func TestThrottle_isBounded(t *testing.T) {
	var th throttle
	th.note(&session.APIError{Status: 429}, t0)
	th.note(errors.New("x"), t0)
	if th.answer(t0) != nil {
		t.Error("held up by an error that asks for no wait")
	}
	th.note(&session.APIError{Status: 429, RetryAfter: time.Hour}, t0)
	for after, want := range map[time.Duration]bool{
		0: true, time.Minute - 1: true, time.Minute: false,
		-time.Second: false, // the clock was set back
	} {
		if got := th.answer(t0.Add(after)) != nil; got != want {
			t.Errorf("held up after %v: %v", after, got)
		}
	}
}
