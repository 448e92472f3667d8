package actors

import (
	"context"
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A logout names the login that is being written, so it ends that when its turn has come. A defect strikes just then: the
// deletion is still in the queue, so its caller is told, and it is done once the session starts again.
func TestDefect_asADeletionStarts(t *testing.T) {
	s := in(t, live, 0)
	signsIn(s)
	s.give(&messages.EndSession{Only: session.Incarnation{2}, Why: session.ReasonLogout, Call: directory.NewCall(context.Background(), store.Options{})})
	s.c.queue = append(s.c.queue, &directory.Flight{}) // no query: the core cannot answer it
	func() {
		defer func() {
			if recover() == nil {
				t.Fatal("there was no panic")
			}
		}()
		s.finish(nil)
	}()
	if !s.c.queued(isDelete) {
		t.Error("the deletion is forgotten")
	}
}

// Of two deletions a reader at the ceiling waits for that of the session, and not for that of an earlier login.
func TestCeiling_waitsForItsOwnDeletion(t *testing.T) {
	s := in(t, live, 0)
	s.give(&messages.EndSession{Only: session.Incarnation{9}, Why: session.ReasonBackchannelLogout})
	s.now = t0.Add(10 * time.Minute)
	s.give(&messages.CeilingReached{Generation: 1})
	call := directory.NewCall(context.Background(), store.Options{})
	s.give(&messages.CeilingReached{Generation: 1, Call: call})
	s.finish(nil) // the deletion of the earlier login
	for _, e := range s.out {
		if e, ok := e.(endCall); ok && e.call == call {
			t.Error("the reader is told before its session's deletion was tried")
		}
	}
	s.finish(nil)
	answered := false
	for _, e := range s.out {
		e, ok := e.(endCall)
		answered = answered || ok && e.call == call
	}
	if !answered {
		t.Error("the reader is not told")
	}
}
