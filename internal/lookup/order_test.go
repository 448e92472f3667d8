package lookup

import (
	"context"
	"errors"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Of several things that have happened, the end of the work is the one that a call is told: an answer that is there is
// not thrown away because the caller's context has ended too.
func TestAwait_theEndOfTheWorkGoesFirst(t *testing.T) {
	closed := make(chan struct{})
	close(closed)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := &Lookup{Stopped: closed}
	for range 1000 {
		if e := l.await(ctx, Wait{Done: closed, Gone: closed}); e.Kind != Done {
			t.Fatalf("kind = %d, want done", e.Kind)
		}
	}
	never := make(chan struct{})
	for range 1000 {
		if e := l.await(ctx, Wait{Done: never}); e.Kind == Done || e.err(ctx) == nil {
			t.Fatalf("kind = %d, %v: nothing was done", e.Kind, e.err(ctx))
		}
	}
}

// A caller who leaves before the work began takes back what it lends. After that the work runs without it.
func TestOrder_beforeTheWorkBegan(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stopped := make(chan struct{})
	for name, l := range map[string]*Lookup{"the caller leaves": {}, "the client stops": {Stopped: stopped}} {
		l.Send = func(*actor.PID, any) {}
		want := context.Canceled
		call, of := directory.NewCall(ctx, store.Options{}), ctx
		if l.Stopped != nil {
			close(stopped)
			want, of = session.ErrClosed, t.Context()
		}
		if err := l.Order(of, &messages.ReadRecord{Call: call}, call); !errors.Is(err, want) {
			t.Errorf("%s: err = %v, want %v", name, err, want)
		}
		if used, o := call.Begin(); !call.Abandoned() || used == ctx || !o.Background {
			t.Errorf("%s: the work runs with what was lent", name)
		}
	}
}

// Once the work has begun with what a caller lends, an HTTP request among it, the call does not return before the work has.
func TestOrder_onceTheWorkHasBegun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	failed := errors.New("the store is away")
	call := directory.NewCall(ctx, store.Options{})
	waits := 0
	l := &Lookup{
		Send: func(*actor.PID, any) { call.Begin() },
		Await: func(_ context.Context, w Wait) Event {
			if waits++; waits == 1 {
				cancel()
				return Event{Kind: ContextEnded}
			}
			if !w.Bound || w.Done != call.Done() {
				t.Error("the second wait is for something else than the work")
			}
			call.End(failed)
			return Event{}
		},
	}
	if err := l.Order(ctx, &messages.ReadRecord{Call: call}, call); !errors.Is(err, failed) || waits != 2 {
		t.Errorf("err = %v after %d waits, want that of the work after 2", err, waits)
	}
}

// The same holds for a load: it may read a cookie of the request that the handler is about to give back.
func TestFind_waitsForALoadThatHasItsRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var open *messages.OpenSession
	waits := 0
	l := &Lookup{
		Directory: directory.NewDirectory(), Clock: clock.NewFake(clock.System().Now()), Name: "test",
		Send: func(_ *actor.PID, m any) {
			open = m.(*messages.OpenSession)
			open.Call.Begin()
		},
		Await: func(_ context.Context, w Wait) Event {
			if waits++; waits == 1 {
				cancel()
				return Event{Kind: ContextEnded}
			}
			if !w.Bound {
				t.Error("it does not wait for the load")
			}
			open.Call.End(nil)
			return Event{}
		},
	}
	if _, err := l.Look(ctx, "a", store.Options{}); !errors.Is(err, context.Canceled) || waits != 2 {
		t.Errorf("err = %v after %d waits, want that of the context after 2", err, waits)
	}
}

// The supervisor may end an idle session in the moment in which a reader finds it at its ceiling, and then has nothing to do
// for that reader. The reader waits for the deletion all the same.
func TestRead_atTheCeilingWaitsForADeletionUnderWay(t *testing.T) {
	clk := clock.NewFake(clock.System().Now())
	e, deleted := &directory.Entry{}, make(chan struct{})
	state := &session.State{Internal: session.Internal{Ceiling: session.Ceiling(clk.Now().Unix())}}
	ready := directory.NewReady(1, session.Incarnation{1}, state)
	e.Init("a", session.KeyOf("test", "a"), ready)
	l := &Lookup{Directory: directory.NewDirectory(), Clock: clk, Name: "test", Fresh: &directory.Freshness{}}
	l.Directory.Put(e)
	l.Send = func(_ *actor.PID, m any) {
		e.Publish(directory.NewEnded(2, ready.Incarnation, &session.State{}, &directory.Outcome{Reason: session.ReasonCeiling, Settled: deleted}))
		m.(*messages.CeilingReached).Call.End(nil)
	}
	var waited []<-chan struct{}
	l.Await = func(_ context.Context, w Wait) Event {
		waited = append(waited, w.Done)
		return Event{Kind: Done}
	}
	if s, err := l.Read(&Caller{Ctx: t.Context(), ID: "a"}); s != nil || err != nil {
		t.Errorf("it got %v, %v, want no session", s, err)
	}
	if len(waited) != 2 || waited[1] != deleted {
		t.Errorf("it waited for %d things, want for the supervisor's answer, then for the deletion", len(waited))
	}
}

// What a supervisor answers to a call that asks for a session.
func TestFind_withoutAnEntry(t *testing.T) {
	for name, tt := range map[string]struct {
		closes bool
		event  Event
		want   error
	}{
		"no room":                 {false, Event{Kind: EntryFound}, session.ErrOverloaded},
		"the client closes":       {true, Event{Kind: EntryFound}, session.ErrClosed},
		"the client has stopped":  {true, Event{Kind: Stopped}, session.ErrClosed},
		"the caller has gone":     {false, Event{Kind: ContextEnded}, context.Canceled},
		"it was closed before it": {true, Event{}, session.ErrClosed},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		l := &Lookup{Directory: directory.NewDirectory(), Name: "test", Send: func(*actor.PID, any) {}}
		l.Await = func(context.Context, Wait) Event {
			cancel()
			if tt.closes {
				l.Close()
			}
			return tt.event
		}
		if name == "it was closed before it" {
			l.Close()
		}
		if _, err := l.Look(ctx, "a", store.Options{}); !errors.Is(err, tt.want) {
			t.Errorf("%s: err = %v, want %v", name, err, tt.want)
		}
	}
}
