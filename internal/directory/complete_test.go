package directory

import (
	"testing"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A caller that is released finds the flight off the list. If the channel were closed
// first, that caller could join the flight, instead of starting a new one.
//
// The list is so long that Complete is at work on it for as long as a processor is given to a
// goroutine: a channel closed too early is noticed also where there is one processor only.
func TestComplete_offTheListBeforeDoneIsClosed(t *testing.T) {
	other := NewFlight(&session.TokenQuery{Key: session.ConnectionKey("other", "")}, store.Options{})
	list := make([]*Flight, 2_000_000)
	for i := range list {
		list[i] = other
	}
	last := len(list) - 1
	for range 3 {
		f := NewFlight(&session.TokenQuery{Key: session.ConnectionKey("google", "")}, store.Options{})
		list[last] = f
		e := NewEntry("id", session.Key{}, &Snapshot{})
		e.flights.Store(&list)
		waiting, listed := make(chan struct{}), make(chan bool)
		go func() {
			close(waiting)
			<-f.Done()
			now := e.Flights()
			listed <- now[len(now)-1] == f
		}()
		<-waiting
		e.Complete(f, Answer{})
		if <-listed {
			t.Fatal("its channel was closed while it could still be joined")
		}
	}
}
