package directory

import (
	"runtime"
	"testing"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A caller that does not find its flight on the list any more finds its answer, though no waiter was
// released yet.
func TestComplete_whatIsOffTheListHasItsAnswer(t *testing.T) {
	e := NewEntry("id", session.Key{}, &Snapshot{})
	q := &session.TokenQuery{Key: session.ConnectionKey("google", "")}
	for range 5000 {
		f, _ := e.Join(NewFlight(q, store.Options{}), 10)
		going := make(chan struct{})
		seen := make(chan bool)
		go func() {
			close(going)
			for e.Find(q.Key) != nil {
				runtime.Gosched()
			}
			seen <- f.Completed() != nil
		}()
		<-going
		e.Complete(f, Answer{})
		if !<-seen {
			t.Fatal("it was off the list, and had no answer")
		}
	}
}
