package supervisor

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// setBack sets the clock back, and the supervisor notices.
func setBack(r *rig) {
	r.clock.Set(r.clock.Now().Add(-3 * time.Hour))
	r.send(&dueNow{}) // a short wait is measured by the machine, and ends all the same
	r.inside(func(*Supervisor) {})
}

// forgotten fails unless it is forgotten in time that there was no session.
func forgotten(t *testing.T, r *rig) {
	t.Helper()
	r.pass(2 * time.Second)
	r.inside(func(s *Supervisor) {
		if s.missing != 0 {
			t.Error("it is still remembered")
		}
	})
	r.counts()
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
		forgotten(t, r)
	})
	t.Run("no session, during the load", func(t *testing.T) {
		r := newRig(t)
		gate := r.store.Hold(storetest.OpLoad)
		r.open("a")
		gate.Arrived(t, 1)
		setBack(r)
		gate.Release()
		r.settle()
		forgotten(t, r)
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
