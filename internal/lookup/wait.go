package lookup

import (
	"context"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// Wait says what a call waits for: whichever of these comes first, or the end of its context, or that of
// the client. Done goes before the others.
type Wait struct {
	Done  <-chan struct{}
	Entry <-chan *directory.Entry
	Gone  <-chan struct{} // the entry is of no more use

	// Bound says that what the caller lent is in use: only Done ends the wait.
	Bound bool
}

// Event is what a wait ended with.
type Event struct {
	Kind  Kind
	Entry *directory.Entry // of EntryFound
}

// Kind is a kind of Event.
type Kind uint8

// The kinds of events.
const (
	Done         Kind = iota // Wait.Done is closed
	EntryFound               // Wait.Entry brought one, nil where there is no room
	Gone                     // Wait.Gone is closed
	ContextEnded             // the caller's context has ended
	Stopped                  // the client has stopped
)

// await waits for w. Apart from Lookup.Await this is the only place where a call blocks.
func (l *Lookup) await(ctx context.Context, w Wait) (e Event) {
	if l.Await != nil {
		return l.Await(ctx, w)
	}
	if w.Bound {
		<-w.Done
		return Event{}
	}
	select {
	case <-w.Done:
		e.Kind = Done
	case e.Entry = <-w.Entry:
		e.Kind = EntryFound
	case <-w.Gone:
		e.Kind = Gone
	case <-ctx.Done():
		e.Kind = ContextEnded
	case <-l.Stopped:
		e.Kind = Stopped
	}
	select {
	case <-w.Done: // select chooses at random among what is ready
		e.Kind = Done
	default:
	}
	return e
}

// wait waits until done is closed. It fails where the context or the client ends first.
func (l *Lookup) wait(ctx context.Context, done <-chan struct{}) error {
	return l.await(ctx, Wait{Done: done}).err(ctx)
}

// err returns why a wait ended before the event that it was for, nil where that event came.
func (e Event) err(ctx context.Context) error {
	switch e.Kind {
	case ContextEnded:
		return ctx.Err()
	case Stopped:
		return session.ErrClosed
	default:
		return nil
	}
}
