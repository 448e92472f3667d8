package supervisor

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// in returns the ceiling whose deadline comes after d.
func in(d time.Duration) session.Ceiling {
	return session.Ceiling(t0.Add(d + session.CeilingLeeway).Unix())
}

// A caller who asks for a session that does not exist learns so, also when too many such
// are remembered already.
func TestMissing_isSaidHoweverMany(t *testing.T) {
	r := newRig(t, func(_ *rig, l *session.Limits) { l.Resident = 2 * maxMissing })
	entries := make([]*directory.Entry, maxMissing+10)
	for i := range entries {
		entries[i] = r.open(id(i))
	}
	r.settle()
	for i, e := range entries {
		if p := e.Snapshot().Phase; p != directory.Missing {
			t.Fatalf("session %d: phase %d, want missing", i, p)
		}
	}
	r.counts()
	r.clock.Advance(2 * time.Second)
	r.settle()
	r.inside(func(s *Supervisor) {
		if s.residents.len() != 0 || s.missing != 0 {
			t.Errorf("afterwards %d residents, %d missing", s.residents.len(), s.missing)
		}
	})
}

// Sessions whose tombstone says "ceiling" leave the count of missing ones alone.
func TestMissing_countsTombstonesRight(t *testing.T) {
	r := newRig(t)
	for i := range 50 {
		only := r.put(id(i), in(time.Hour))
		if err := r.memory.End(t.Context(), keyOf(id(i)), only, store.Ending{Reason: session.ReasonCeiling}, store.Options{}); err != nil {
			t.Fatal(err)
		}
		r.open(id(i))
	}
	r.settle()
	r.counts()
	r.clock.Advance(2 * time.Second)
	r.settle()
	r.counts()
	r.inside(func(s *Supervisor) {
		if s.missing != 0 {
			t.Errorf("missing = %d, want 0", s.missing)
		}
	})
}

// A session is being deleted by its key when its user indexValues in again under the same
// id: readers find the new one in the directory.
func TestLogin_isFoundThoughItsKeyWasKnownOnly(t *testing.T) {
	r := newRig(t)
	r.put("a", 0)
	gate := r.store.Hold(storetest.OpEnd)
	r.send(&messages.EndSession{Key: keyOf("a"), Why: session.ReasonBackchannelLogout})
	gate.Arrived(t, 1)
	if r.dir.Lookup("a") != nil {
		t.Fatal("the directory knows an id that nobody said")
	}
	call := r.startLogin("a", 0)
	r.inside(func(*Supervisor) {}) // the login has passed it
	gate.Release()
	<-call.Done()
	if _, err := call.Ended(); err != nil {
		t.Fatal(err)
	}
	r.settle()
	if e := r.dir.Lookup("a"); e == nil || e.Snapshot().Phase != directory.Ready {
		t.Errorf("the directory has %v, want a session", e)
	}
	r.counts()
}

func TestResidency_theLeastUsedGoes(t *testing.T) {
	r := newRig(t, func(_ *rig, l *session.Limits) { l.Resident = 3 })
	for i := range 5 {
		r.put(id(i), 0)
		r.open(id(i))
		r.settle()
		r.clock.Advance(time.Second)
		r.settle()
	}
	for i := range 5 {
		if got, want := r.dir.Lookup(id(i)) != nil, i >= 2; got != want {
			t.Errorf("session %d resident: %v, want %v", i, got, want)
		}
	}
	r.counts()
}

// Sessions with something unsaved stay; up to twice as many, then there is no room.
func TestResidency_unsavedSessionsStay(t *testing.T) {
	r := newRig(t, func(_ *rig, l *session.Limits) { l.Resident = 2 })
	r.store.Inject(storetest.Fault{Op: storetest.OpUpdate, Err: storetest.ErrFault})
	for i := range 4 {
		r.put(id(i), 0)
		e := r.open(id(i))
		r.settle()
		if e == nil {
			t.Fatalf("session %d: no room", i)
		}
		<-r.ask(e, session.QueryKey("a", "")).Done()
		r.settle()
	}
	if e := r.open(id(9)); e != nil {
		t.Error("there was room for one more")
	}
	if err := r.login(id(9), 0); session.CodeOf(err) != session.CodeOverloaded {
		t.Errorf("a login: %v, want overloaded", err)
	}
	r.counts()
	r.store.Heal()
	for range 20 {
		r.clock.Advance(time.Minute)
		r.settle()
	}
	r.counts()
	r.inside(func(s *Supervisor) {
		if s.awake != 0 {
			t.Errorf("awake = %d, want 0", s.awake)
		}
	})
}

// Whatever happens to sessions, the counts stay true and nothing is left over.
func TestCounts_stayTrue(t *testing.T) {
	r := newRig(t)
	for i := range 40 {
		switch i % 5 {
		case 0:
			r.put(id(i), in(time.Minute))
			r.open(id(i))
		case 1:
			_ = r.login(id(i), in(2*time.Minute))
		case 2:
			r.open(id(i)) // missing
			_ = r.login(id(i), 0)
			r.send(&messages.EndSession{ID: id(i), Key: keyOf(id(i)), Why: session.ReasonLogout})
		case 3:
			r.store.Fail(storetest.OpReplace, 1)
			_ = r.login(id(i), 0)
		case 4:
			r.send(&messages.EndSession{Key: keyOf(id(i)), Only: session.Incarnation{1}, Why: session.ReasonLogout})
		}
		r.settle()
		r.counts()
	}
	for range 40 {
		r.clock.Advance(time.Minute)
		r.settle()
		r.counts()
	}
	r.inside(func(s *Supervisor) {
		if s.residents.len() != 0 {
			t.Errorf("residents that stay = %d", s.residents.len())
		}
	})
	if n := r.clock.Waiting(); n > 2 {
		t.Errorf("timers armed = %d", n)
	}
}

// After the third failure in a minute half a minute passes before the session starts again.
func TestQuarantine(t *testing.T) {
	r := newRig(t)
	r.put("a", 0)
	e := r.open("a")
	r.settle()
	poison := func() {
		r.system.Root.Send(r.actorOf(e), &messages.NeedToken{Flight: directory.NewFlight(nil, store.Options{})})
		r.settle()
	}
	works := func() bool {
		f := r.ask(e, session.QueryKey("a", ""))
		<-f.Done()
		r.settle()
		return f.Answer().Err == nil
	}
	for i := range failuresAllowed {
		poison()
		if !works() {
			t.Fatalf("does not start again after failure %d", i+1)
		}
	}
	poison()
	if works() {
		t.Error("it starts again at once after the third failure")
	}
	r.clock.Advance(quarantine - time.Second)
	r.settle()
	if works() {
		t.Error("it starts again early")
	}
	r.clock.Advance(time.Second)
	r.settle()
	if !works() {
		t.Error("it does not start again")
	}
	r.counts()
}

// Closing from within a quarantine, with a load and a login under way, comes to an end.
func TestClose_comesToAnEnd(t *testing.T) {
	r := newRig(t)
	r.put("a", in(time.Hour))
	r.put("b", 0)
	e := r.open("a")
	r.settle()
	for range 3 {
		r.system.Root.Send(r.actorOf(e), &messages.NeedToken{Flight: directory.NewFlight(nil, store.Options{})})
		r.settle()
	}
	gate := r.store.Hold(storetest.OpLoad)
	loading := r.open("b")
	gate.Arrived(t, 1)
	r.open("unknown")
	done := make(chan struct{})
	r.send(&messages.Close{Done: done})
	r.send(&messages.EndSession{Key: keyOf("a"), Only: session.Incarnation{9}, Why: session.ReasonLogout})
	gate.Release()
	r.settle()
	select {
	case <-done:
	default:
		t.Error("closing does not end")
	}
	if s := loading.Snapshot(); s.Phase != directory.Failed || session.CodeOf(s.Err) != session.CodeClosed {
		t.Errorf("the load: phase %d, %v", s.Phase, s.Err)
	}
	r.counts()
}

// Another process may have signed the user in again between the claim and the deletion: a
// shared store is asked, not this process's memory.
func TestRemember_notWhatAnotherProcessMayHaveReplaced(t *testing.T) {
	r := newRig(t, func(r *rig, _ *session.Limits) { r.env.Rules.Exclusive = false })
	r.put("a", 0) // the new login
	r.send(&messages.EndSession{Key: keyOf("a"), Only: session.Incarnation{1}, Why: session.ReasonCeiling})
	r.settle()
	e := r.open("a")
	r.settle()
	if p := e.Snapshot().Phase; p != directory.Ready {
		t.Errorf("phase = %d, want ready", p)
	}
}

// countedIntents counts how often it was asked for stale intents.
type countedIntents struct {
	store.Intents
	asked atomic.Int64
}

func (c *countedIntents) StaleIntents(context.Context, int, store.Options) ([]store.StaleIntent, error) {
	c.asked.Add(1)
	return nil, nil
}
