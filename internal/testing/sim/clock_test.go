package sim

import (
	"testing"
	"time"
)

// A timer that has fired and is set again is one that the world waits for: else a run would end before it, and whatever
// waits for it, a request for the pace of its provider, would seem to wait for ever.
func TestTimer_isSetAgain(t *testing.T) {
	m := NewMachine(Alone)
	defer m.Close()
	w := newWorld(m, 1, newChoices(1), new([coverageEnd]int64))
	w.start()
	defer w.finish()
	fired := 0
	at := processClock{w.processes[0]}.AfterFunc(time.Millisecond, func() { fired++ })
	w.pass(time.Millisecond)
	if due, ok := w.nextTimer(); ok {
		t.Fatalf("after it has fired a timer is due at %v", due)
	}
	at.Reset(time.Second)
	due, ok := w.nextTimer()
	if want := w.fake.Now().Add(time.Second); !ok || !due.Equal(want) {
		t.Fatalf("the next timer is due at %v, %v, want %v", due, ok, want)
	}
	w.pass(time.Second)
	if fired != 2 {
		t.Errorf("it fired %d times, want 2", fired)
	}
}
