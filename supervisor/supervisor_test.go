package supervisor

import (
	"context"
	"strconv"
	"strings"
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
		if err := r.memory.Delete(t.Context(), keyOf(id(i)), only, session.ReasonCeiling, store.Options{}); err != nil {
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

// Many sessions that no call asked for come due in one second, and the first claim
// fails: each is deleted once.
func TestNonResident_eachIsDeletedOnce(t *testing.T) {
	const n = 2*claimBatch + 100
	r := newRig(t, func(r *rig, l *session.Limits) {
		r.env.Store = storetest.Without[store.BatchEnder](r.store) // one call for each, to be counted
		l.Resident = 400
		for i := range n {
			r.put(id(i), in(time.Minute))
		}
	})
	r.store.Fail(storetest.OpClaimDue, 1)
	r.clock.Advance(time.Minute)
	r.settle()
	for range 20 {
		r.clock.Advance(time.Second)
		r.settle()
	}
	if left := r.memory.Len(); left != 0 {
		t.Errorf("sessions left = %d", left)
	}
	for i := range n {
		if d := r.store.Ends(keyOf(id(i))); d != 1 {
			t.Fatalf("session %d: deletes = %d, want 1", i, d)
		}
	}
	r.counts()
}

// The end of an earlier session does not keep a later one, which this process
// does not know, beyond its ceiling.
func TestNonResident_endThoughAnEarlierOneHas(t *testing.T) {
	r := newRig(t)
	if err := r.login("a", in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Minute)
	r.settle()
	r.put("a", in(2*time.Minute))
	r.clock.Advance(3 * time.Minute)
	r.settle()
	if left := r.memory.Len(); left != 0 {
		t.Error("it is still in the store")
	}
	r.counts()
}

// A session that is awake while the store has another login, which is due, looks there.
func TestNonResident_awakeAsAnotherLogin(t *testing.T) {
	r := newRig(t)
	if err := r.login("a", 0); err != nil {
		t.Fatal(err)
	}
	r.put("a", in(time.Minute)) // written although the store had said otherwise
	r.clock.Advance(3 * time.Minute)
	r.settle()
	if left := r.memory.Len(); left != 0 {
		t.Error("it is still in the store")
	}
	r.counts()
}

// The deletion of a session that no call asked for fails: it is tried until it succeeds.
func TestNonResident_aFailedDeletionIsTriedAgain(t *testing.T) {
	r := newRig(t, func(r *rig, _ *session.Limits) { r.put("a", in(time.Minute)) })
	r.store.Fail(storetest.OpEnd, 3)
	r.clock.Advance(time.Minute)
	r.settle()
	for range 10 {
		r.clock.Advance(time.Second)
		r.settle()
	}
	if d, left := r.store.Ends(keyOf("a")), r.memory.Len(); d != 4 || left != 0 {
		t.Errorf("deletes = %d, left = %d, want 4 and 0", d, left)
	}
	r.counts()
}

// While sessions that are due cannot be deleted they leave room for others, however many they are.
func TestNonResident_leaveRoom(t *testing.T) {
	const n = 3000
	for _, indexed := range []bool{true, false} {
		t.Run(map[bool]string{true: "with an index", false: "without"}[indexed], func(t *testing.T) {
			r := newRig(t, func(r *rig, l *session.Limits) {
				l.Resident = 100
				if !indexed {
					r.env.Store = storetest.Without[store.Index](r.store)
				}
				for i := range n {
					r.put(id(i), in(time.Minute))
				}
			})
			for i := range n {
				if !indexed { // it is known once it was awake
					r.open(id(i))
					r.settle()
				}
			}
			r.put("other", 0)
			r.settle()
			r.store.Fail(storetest.OpEnd, 1_000_000)
			for range 16 {
				r.pass(5 * time.Second)
				r.inside(func(s *Supervisor) {
					if s.awake > s.env.Rules.Resident*3/2 {
						t.Errorf("%d are in memory", s.awake)
					}
				})
			}
			e := r.open("other")
			r.settle()
			if e == nil || e.Snapshot().Phase != directory.Ready {
				t.Error("there is no room for another session")
			}
			r.store.Heal()
			r.pass(3 * time.Minute)
			if left := r.memory.Len(); left != 1 {
				t.Errorf("%d are left in the store, want the other one", left)
			}
			r.counts()
		})
	}
}

// Sessions that are in use stay in memory while others that are due cannot be deleted.
func TestNonResident_putOutNobody(t *testing.T) {
	const due, used = 1000, 60
	for _, indexed := range []bool{true, false} {
		t.Run(map[bool]string{true: "with an index", false: "without"}[indexed], func(t *testing.T) {
			r := newRig(t, func(r *rig, l *session.Limits) {
				l.Resident = 100
				if !indexed {
					r.env.Store = storetest.Without[store.Index](r.store)
				}
				for i := range due {
					r.put(id(i), in(time.Minute))
				}
			})
			for i := range due {
				if !indexed { // it is known once it was awake
					r.open(id(i))
					r.settle()
				}
			}
			r.pass(time.Second)
			for i := due; i < due+used; i++ {
				r.put(id(i), 0)
				r.open(id(i))
				r.settle()
			}
			r.store.Fail(storetest.OpEnd, 1_000_000)
			for range 240 {
				for i := due; i < due+used; i++ {
					e := r.dir.Lookup(id(i))
					if e == nil {
						t.Fatalf("%v after the start one is not in memory", r.clock.Now().Sub(t0))
					}
					e.Use(r.clock.Now().Unix())
				}
				r.pass(time.Second)
			}
			r.counts()
		})
	}
}

// However few sessions may be in memory, those that are due are deleted in the end.
func TestNonResident_goThoughThereIsLittleRoom(t *testing.T) {
	const n = 50
	for _, indexed := range []bool{true, false} {
		t.Run(map[bool]string{true: "with an index", false: "without"}[indexed], func(t *testing.T) {
			r := newRig(t, func(r *rig, l *session.Limits) {
				l.Resident = 1
				if !indexed {
					r.env.Store = storetest.Without[store.Index](r.store)
				}
				for i := range n {
					r.put(id(i), in(time.Minute))
				}
			})
			for i := range n {
				if !indexed {
					r.open(id(i))
					r.settle()
				}
			}
			r.store.Fail(storetest.OpUpdate, 1_000)
			for _, id := range []string{"a", "b"} { // they cannot go
				r.put(id, 0)
				e := r.open(id)
				r.settle()
				<-r.ask(e, session.QueryKey("a", "")).Done()
			}
			r.store.Fail(storetest.OpEnd, 1_000)
			r.pass(2 * time.Minute)
			r.counts()
			r.store.Heal()
			for range 2 * n {
				for _, id := range []string{"a", "b"} {
					if e := r.dir.Lookup(id); e != nil {
						e.Use(r.clock.Now().Unix())
					}
				}
				r.pass(time.Second)
			}
			if left := r.memory.Len(); left != 2 {
				t.Errorf("%d are left in the store, want the two others", left)
			}
			r.counts()
		})
	}
}

// Claims that fail one after the other are tried again together.
func TestNonResident_oneClaimAgain(t *testing.T) {
	r := newRig(t, func(r *rig, _ *session.Limits) {
		for i := range 60 {
			r.put(id(i), in(time.Minute+time.Duration(i)*time.Second))
		}
	})
	r.pass(time.Minute)
	r.store.Fail(storetest.OpClaimDue, 1_000)
	r.pass(time.Minute)
	before := r.store.Count(storetest.OpClaimDue)
	r.pass(time.Minute)
	if n := r.store.Count(storetest.OpClaimDue) - before; n > 60/claimAgain+2 {
		t.Errorf("claimed %d times in a minute", n)
	}
}

// Without an index a deadline stays behind when a session is passivated.
func TestNonResident_withoutAnIndex(t *testing.T) {
	r := newRig(t, func(r *rig, l *session.Limits) {
		r.env.Store = storetest.Without[store.Index](r.store)
		l.PassivateAfter = time.Minute
	})
	if err := r.login("a", in(time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(2 * time.Minute)
	r.settle()
	if r.dir.Lookup("a") != nil {
		t.Fatal("still resident")
	}
	r.clock.Advance(58*time.Minute - time.Second)
	r.settle()
	if r.memory.Len() != 1 {
		t.Fatal("deleted early")
	}
	r.clock.Advance(time.Second)
	r.settle()
	if r.memory.Len() != 0 {
		t.Error("not deleted")
	}
	r.counts()
}

// An index that panics is an index that failed.
func TestSweep_survivesAPanic(t *testing.T) {
	r := newRig(t, func(r *rig, _ *session.Limits) {
		r.put("a", in(time.Minute))
		r.env.Store = panicking{r.store}
	})
	r.clock.Advance(5 * time.Minute)
	r.settle()
	if n := r.memory.Len(); n != 1 {
		t.Errorf("sessions = %d, want 1", n)
	}
}

type panicking struct{ *storetest.Faulty }

func (p panicking) Ability(target any) bool {
	if i, ok := target.(*store.Index); ok {
		*i = panickingIndex{}
		return true
	}
	return p.Faulty.Ability(target)
}

type panickingIndex struct{ store.Index }

// A fourth failure in a minute waits half a minute; then the session starts again.
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

// setBack sets the clock back, and the supervisor notices.
func setBack(r *rig) {
	r.clock.Set(r.clock.Now().Add(-3 * time.Hour))
	r.send(&dueNow{}) // a short wait is measured by the machine, and ends all the same
	r.inside(func(*Supervisor) {})
}

// Where the clock was set back, a timer that follows an event after a while fires within that while.
func TestSetBack_nothingWaitsForTheStep(t *testing.T) {
	set := func(r *rig) {
		setBack(r)
		r.settle()
	}
	t.Run("stale intents", func(t *testing.T) {
		c := &countedIntents{}
		r := newRig(t, func(r *rig, _ *session.Limits) { r.env.Intents = c })
		r.pass(20 * time.Second)
		set(r)
		before := c.asked.Load()
		r.pass(time.Minute)
		if n := c.asked.Load() - before; n != 60/intentsEvery {
			t.Errorf("looked for %d times in a minute", n)
		}
	})
	t.Run("non-resident sessions", func(t *testing.T) {
		r := newRig(t)
		r.pass(20 * time.Second)
		set(r)
		if err := r.login("a", session.Ceiling(r.clock.Now().Add(40*time.Minute).Unix())); err != nil {
			t.Fatal(err)
		}
		r.pass(20 * time.Minute)
		if r.dir.Lookup("a") != nil {
			t.Fatal("still awake")
		}
		r.pass(20*time.Minute - session.CeilingLeeway)
		if n := r.memory.Len(); n != 0 {
			t.Error("it is still in the store")
		}
		r.counts()
	})
	t.Run("a claim that failed", func(t *testing.T) {
		r := newRig(t, func(r *rig, _ *session.Limits) { r.put("a", in(-4*time.Hour)) })
		r.put("b", in(-4*time.Hour))
		r.store.Fail(storetest.OpClaimDue, 1)
		r.pass(listEvery)
		set(r)
		r.pass(claimAgain * time.Second)
		if n := r.memory.Len(); n != 0 {
			t.Errorf("%d are still in the store", n)
		}
		r.counts()
	})
	t.Run("quarantine", func(t *testing.T) {
		r := newRig(t)
		r.put("a", 0)
		e := r.open("a")
		r.settle()
		for range failuresAllowed + 1 {
			r.system.Root.Send(r.actorOf(e), &messages.NeedToken{Flight: directory.NewFlight(nil, store.Options{})})
			r.settle()
		}
		set(r)
		r.pass(quarantine)
		f := r.ask(e, session.QueryKey("a", ""))
		<-f.Done()
		if err := f.Answer().Err; err != nil {
			t.Error(err)
		}
		r.settle()
		r.counts()
	})
	t.Run("no session", func(t *testing.T) {
		r := newRig(t)
		r.open("a")
		r.settle()
		set(r)
		r.pass(2 * time.Second)
		r.inside(func(s *Supervisor) {
			if s.missing != 0 {
				t.Error("it is still remembered")
			}
		})
		r.counts()
	})
	t.Run("no session, during the load", func(t *testing.T) {
		r := newRig(t)
		gate := r.store.Hold(storetest.OpLoad)
		r.open("a")
		gate.Arrived(t, 1)
		setBack(r)
		gate.Release()
		r.settle()
		r.pass(2 * time.Second)
		r.inside(func(s *Supervisor) {
			if s.missing != 0 {
				t.Error("it is still remembered")
			}
		})
		r.counts()
	})
	t.Run("a sweep", func(t *testing.T) {
		r := newRig(t)
		r.pass(listEvery - time.Second)
		gate := r.store.Hold(storetest.OpDue)
		r.clock.Advance(time.Second)
		gate.Arrived(t, 1)
		setBack(r)
		gate.Release()
		r.settle()
		r.put("a", session.Ceiling(r.clock.Now().Add(40*time.Minute).Unix())) // began in another process
		r.pass(40*time.Minute - session.CeilingLeeway)
		if n := r.memory.Len(); n != 0 {
			t.Error("it is still in the store")
		}
		r.counts()
	})
	t.Run("unused", func(t *testing.T) {
		r := newRig(t)
		r.put("a", 0)
		r.open("a")
		r.settle()
		set(r)
		r.pass(15 * time.Minute)
		if r.dir.Lookup("a") != nil {
			t.Error("still awake")
		}
		r.counts()
	})
	t.Run("used meanwhile", func(t *testing.T) {
		r := newRig(t)
		r.put("a", 0)
		e := r.open("a")
		r.pass(time.Second)
		r.clock.Set(r.clock.Now().Add(-3 * time.Hour))
		e.Use(r.clock.Now().Unix()) // before the supervisor has noticed
		r.send(&dueNow{})
		r.settle()
		r.pass(15 * time.Minute)
		if r.dir.Lookup("a") != nil {
			t.Error("still awake")
		}
	})
	t.Run("failures", func(t *testing.T) {
		r := newRig(t)
		r.put("a", 0)
		e := r.open("a")
		r.settle()
		fail := func() {
			r.system.Root.Send(r.actorOf(e), &messages.NeedToken{Flight: directory.NewFlight(nil, store.Options{})})
			r.settle()
		}
		for range failuresAllowed {
			fail()
		}
		set(r)
		r.pass(2 * failureWindow * time.Second)
		fail()
		f := r.ask(e, session.QueryKey("a", ""))
		<-f.Done()
		if err := f.Answer().Err; err != nil {
			t.Error(err)
		}
		r.settle()
		r.counts()
	})
}

// Where the clock was set back, the session goes that was used least recently all the same.
func TestSetBack_evictsWhatIsUnused(t *testing.T) {
	r := newRig(t, func(_ *rig, l *session.Limits) { l.Resident = 2 })
	for _, id := range []string{"unused", "used"} {
		r.put(id, 0)
		r.open(id)
		r.settle()
	}
	setBack(r)
	for range 600 {
		r.pass(time.Second)
		r.dir.Lookup("used").Use(r.clock.Now().Unix()) // as a hit does
	}
	r.put("third", 0)
	r.open("third")
	r.settle()
	if r.dir.Lookup("used") == nil || r.dir.Lookup("unused") != nil {
		t.Error("the one in use went")
	}
}

// What waits too long is put into the same order every time.
func TestSetBack_inOrder(t *testing.T) {
	r := newRig(t, func(_ *rig, l *session.Limits) { l.RememberMissing = time.Minute })
	for i := range 50 {
		r.open(id(i))
		r.settle()
		r.clock.Advance(time.Second / 2)
	}
	setBack(r)
	r.settle()
	r.inside(func(s *Supervisor) {
		for _, bucket := range s.due.buckets {
			last := -1
			for _, d := range bucket {
				if d.kind != forgetTimer {
					continue
				}
				i, _ := strconv.Atoi(strings.TrimPrefix(d.resident.entry.ID, "session-"))
				if i < last {
					t.Errorf("%d comes after %d", i, last)
				}
				last = i
			}
		}
	})
}

// However far ahead the next thing to do is, the timer looks at the clock now and then.
func TestSetBack_isNoticed(t *testing.T) {
	r := newRig(t)
	before := time.Unix(0, 0)
	r.inside(func(s *Supervisor) { before = time.Unix(s.seen, 0) })
	r.clock.Advance(longestWait)
	r.settle()
	r.inside(func(s *Supervisor) {
		if after := time.Unix(s.seen, 0); after.Sub(before) != longestWait {
			t.Errorf("it was looked at after %v", after.Sub(before))
		}
	})
}
