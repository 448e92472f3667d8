package supervisor

import (
	"runtime"
	"testing"
	"weak"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A session whose lifetime is over answers no query on its way in, for it is to end.
func TestLifetime_overAnswersNoQueryOnItsWayIn(t *testing.T) {
	r := newRig(t)
	r.keep("a", &session.State{User: session.User{"sub": "ann"}.Raw(), RefreshToken: "r0", Internal: session.Internal{SID: "sid", EndsAt: t0.Unix()}})
	first := directory.NewFlight(&session.TokenQuery{Key: session.ConnectionKey("google", "")}, store.Options{})
	if e := r.openFirst("a", first); e.Snapshot().Phase != directory.Ready || len(e.Flights()) != 0 {
		t.Errorf("phase %d with %d flights, want ready with none", e.Snapshot().Phase, len(e.Flights()))
	}
	if first.Completed() != nil {
		t.Error("the query was answered")
	}
}

// A query that was answered before its session went to sleep, and whose caller looks for the session
// once more, is not asked again; nor can others join it.
func TestFirst_thatWasAnsweredIsNotSentAgain(t *testing.T) {
	r := newRig(t)
	r.keep("a", &session.State{User: session.User{"sub": "ann"}.Raw(), RefreshToken: "r0", Internal: session.Internal{SID: "sid"}})
	first := directory.NewFlight(&session.TokenQuery{Key: session.ConnectionKey("google", "")}, store.Options{})
	before := directory.NewEntry("a", keyOf("a"), &directory.Snapshot{})
	before.Join(first, 1)
	before.Complete(first, directory.Answer{Err: session.ErrClosed})
	if e := r.openFirst("a", first); e.Snapshot().Phase != directory.Ready || len(e.Flights()) != 0 {
		t.Errorf("phase %d with %d flights, want ready with none", e.Snapshot().Phase, len(e.Flights()))
	}
	if n := r.stats.Requests.Load(); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

// openFirst opens a session for a query that comes before anything else.
func (r *rig) openFirst(id string, first *directory.Flight) *directory.Entry {
	replied := make(chan *directory.Entry, 1)
	r.send(&messages.OpenSession{
		ID: id, Key: keyOf(id), Call: directory.NewCall(r.t.Context(), store.Options{}), First: first, Reply: replied,
	})
	r.settle()
	return <-replied
}

// The old tokens of a session that is refreshed go from memory with its refresh, although the directory has noted what it showed while it
// was idle.
func TestActivate_forgetsWhatAnIdleSessionShowed(t *testing.T) {
	r := newRig(t)
	r.put("a", 0)
	e := r.open("a")
	r.settle()
	shown := weak.Make(e.Snapshot())
	f := r.ask(e, session.FlightKey{Audience: "api"})
	r.settle()
	if a := f.Completed(); a == nil || a.Err != nil {
		t.Fatalf("no token: %+v", a)
	}
	runtime.GC()
	if shown.Value() != nil {
		t.Error("what it showed before is kept")
	}
	r.inside(func(s *Supervisor) { runtime.KeepAlive(s.dir) })
}
