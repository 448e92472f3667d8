package supervisor

import (
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

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
	r.pass(3 * time.Minute)
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
	r.pass(3 * time.Minute)
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
	if d := r.store.Ends(keyOf("a")); d != 1 {
		t.Errorf("deletes before any time has passed = %d, want 1", d)
	}
	for range 10 {
		r.clock.Advance(time.Second)
		r.settle()
	}
	if d, left := r.store.Ends(keyOf("a")), r.memory.Len(); d != 4 || left != 0 {
		t.Errorf("deletes = %d, left = %d, want 4 and 0", d, left)
	}
	r.counts()
}

// manyDue tells a story with and without an index, of n sessions that are due in a minute, where so many may be resident.
func manyDue(t *testing.T, n, resident int, story func(t *testing.T, r *rig)) {
	t.Helper()
	for _, indexed := range []bool{true, false} {
		t.Run(map[bool]string{true: "with an index", false: "without"}[indexed], func(t *testing.T) {
			r := newRig(t, func(r *rig, l *session.Limits) {
				l.Resident = resident
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
			story(t, r)
		})
	}
}

// While sessions that are due cannot be deleted they leave room for others, however many they are.
func TestNonResident_leaveRoom(t *testing.T) {
	const n = 3000
	manyDue(t, n, 100, func(t *testing.T, r *rig) {
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

// Sessions that are in use stay in memory while others that are due cannot be deleted.
func TestNonResident_evictNone(t *testing.T) {
	const due, used = 1000, 60
	manyDue(t, due, 100, func(t *testing.T, r *rig) {
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

// However few sessions may be in memory, those that are due are deleted in the end.
func TestNonResident_goThoughThereIsLittleRoom(t *testing.T) {
	const n = 50
	manyDue(t, n, 1, func(t *testing.T, r *rig) {
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

// A process starts while its store does not answer. The store is back after a quarter of a minute, and each ceiling that comes
// later is in time. A log line for each try would be one every five seconds.
func TestNonResident_aListingThatFailsIsMadeAgainSoon(t *testing.T) {
	logged, lines := observer.New(zap.WarnLevel)
	r := newRig(t, func(r *rig, _ *session.Limits) {
		r.env.Log = zap.New(logged)
		r.put("a", in(time.Minute))
		r.store.Fail(storetest.OpDue, 15/listAgain)
	})
	r.pass(time.Minute)
	if n := r.memory.Len(); n != 0 {
		t.Error("it is still in the store")
	}
	if n := lines.Len(); n != 1 {
		t.Errorf("%d lines tell of it, want 1: %v", n, lines.All())
	}
	r.counts()
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
func TestListDue_survivesAPanic(t *testing.T) {
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

// While a session that is not in memory is being deleted its user signs in anew, and then the deletion fails. What is tried
// again is the deletion of the earlier login; the new session is one like any other, and leaves memory when it is unused.
func TestNonResident_aLoginWhileADeletionFails(t *testing.T) {
	r := newRig(t, func(r *rig, l *session.Limits) {
		r.put("a", in(time.Minute))
		l.PassivateAfter = time.Minute
	})
	gate := r.store.Hold(storetest.OpEnd)
	r.clock.Advance(time.Minute)
	gate.Arrived(t, 1)
	if err := r.login("a", 0); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(r.env.Rules.StoreTimeout)
	r.settle()
	r.clock.Advance(2 * r.env.Rules.RetryFirst)
	gate.Arrived(t, 2) // it is tried again
	gate.Release()
	r.settle()
	r.inside(func(s *Supervisor) {
		if s.deleting != 0 {
			t.Errorf("%d sessions are only to be deleted, want none", s.deleting)
		}
	})
	r.pass(2 * time.Minute)
	r.counts()
	if r.dir.Lookup("a") != nil || r.memory.Len() != 1 {
		t.Errorf("it is in memory: %v; in the store: %d; want it in the store alone", r.dir.Lookup("a") != nil, r.memory.Len())
	}
}

// Sessions in memory are deleted before others are claimed that are due in the same second: so the index does not name
// them once more.
func TestNonResident_areClaimedAfterTheOthersAreDeleted(t *testing.T) {
	const n = claimBatch + 100
	r := newRig(t, func(r *rig, _ *session.Limits) {
		for i := range n {
			r.put(id(i), in(time.Minute))
		}
	})
	for i := range n {
		r.open(id(i))
	}
	r.settle()
	before := r.store.Count(storetest.OpClaimDue)
	gate := r.store.Hold(storetest.OpEndAll)
	r.clock.Advance(time.Minute)
	gate.Arrived(t, 3)
	r.inside(func(*Supervisor) {})
	if claims := r.store.Count(storetest.OpClaimDue) - before; claims != 0 {
		t.Errorf("claims = %d while sessions are deleted", claims)
	}
	gate.Release()
	r.settle()
	if claims := r.store.Count(storetest.OpClaimDue) - before; claims == 0 || r.memory.Len() != 0 {
		t.Errorf("claims = %d, left = %d, want some and 0", claims, r.memory.Len())
	}
	r.counts()
}
