package actors

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

var (
	keyA      = session.QueryKey("a", "")
	keyB      = session.QueryKey("b", "")
	keyGoogle = session.ConnectionKey("google", "")
)

// takeSlot asks key and grants the slot that its request needs.
func (w *world) takeSlot(key session.FlightKey) *journey {
	w.t.Helper()
	j := w.ask(key)
	w.deliverAll()
	w.grant(nil)
	w.deliverAll()
	return j
}

// fly asks key and brings the request into the air.
func (w *world) fly(key session.FlightKey) *journey {
	w.t.Helper()
	j := w.takeSlot(key)
	if w.air == nil {
		w.fail("no request in the air")
	}
	return j
}

// landed lets the request in the air land.
func (w *world) landed(how landing) {
	w.land(how)
	w.deliverAll()
}

// stored lets the store work that is running end.
func (w *world) stored(how outcome) {
	w.finish(how)
	w.deliverAll()
}

// withCeiling returns a world with a session whose ceiling comes in a while.
func withCeiling(t *testing.T) *world {
	w := newWorld(t)
	in, s := w.newLogin(session.Ceiling(w.now.Unix() + 60))
	w.record = &record{w.version(), in, s}
	w.load()
	return w
}

// pass moves the clock past the ceiling.
func (w *world) pass() { w.now = w.now.Add(time.Minute) }

func TestRefresh_isSavedBeforeItIsHandedOut(t *testing.T) {
	w := newTestWorld(t)
	j := w.fly(keyA)
	w.landed(landRotated)
	if j.landed {
		t.Error("landed before the store had the new refresh token")
	}
	w.stored(storeDoes)
	if !j.landed || j.answer.Err != nil {
		t.Errorf("landed = %v, %v", j.landed, j.answer.Err)
	}
	if w.updates != 1 || w.spends != 1 {
		t.Errorf("updates %d, requests %d, want 1 of each", w.updates, w.spends)
	}
	w.drain()
}

func TestRefresh_unsavedTokenBlocksTheNext(t *testing.T) {
	w := newTestWorld(t)
	w.fly(keyA)
	w.landed(landRotated)
	w.stored(storeFails)
	b := w.ask(keyB)
	w.deliverAll()
	if w.asked || w.writing == nil {
		t.Fatal("the next request must first save")
	}
	w.stored(storeFails)
	if !b.landed || session.CodeOf(b.answer.Err) != session.CodeStoreError {
		t.Errorf("landed = %v, %v, want store_error", b.landed, b.answer.Err)
	}
	w.drain()
	if w.spends != 1 {
		t.Errorf("requests = %d, want 1", w.spends)
	}
}

// A token that is shown while a query waits for its permit answers it.
func TestQueue_looksInTheCacheOnceItHasASlot(t *testing.T) {
	w := newTestWorld(t)
	w.fly(session.QueryKey("a", "read"))
	w.landed(landPlain) // blocks nothing, so the next asks for a slot before that is saved
	j := w.ask(keyA)
	w.deliverAll()
	if !w.asked {
		t.Fatal("the next request waits for the save")
	}
	w.stored(storeDoes)
	w.grant(nil)
	w.deliverAll()
	if !j.landed || j.answer.Err != nil || w.spends != 1 {
		t.Errorf("landed = %v, %v after %d requests, want a token after one", j.landed, j.answer.Err, w.spends)
	}
	w.drain()
}

// A save that ends while the next request is in the air leaves the store behind all the
// same: that request may bring a new refresh token.
func TestUnsaved_whileARequestIsInTheAir(t *testing.T) {
	w := newTestWorld(t)
	w.fly(keyA)
	w.landed(landPlain)
	w.ask(keyB)
	w.deliverAll()
	w.grant(nil)
	w.deliverAll()
	w.stored(storeDoes)
	if u := w.entry.Unsaved(); u != directory.Saving {
		t.Errorf("unsaved = %d, want pending", u)
	}
	w.landed(landUnreachable)
	if u := w.entry.Unsaved(); u != directory.Saved {
		t.Errorf("unsaved = %d after a failure, want saved", u)
	}
	w.drain()
}

// The store is behind until the last deletion was done.
func TestUnsaved_untilTheLastDeletion(t *testing.T) {
	w := newTestWorld(t)
	w.logout(session.Incarnation{9})
	w.logout(session.Incarnation{})
	w.deliverAll()
	w.stored(storeDoes)
	if u := w.entry.Unsaved(); u != directory.Saving {
		t.Errorf("unsaved = %d before the deletion, want pending", u)
	}
	w.stored(storeDoes)
	if u := w.entry.Unsaved(); u != directory.Saved {
		t.Errorf("unsaved = %d after the deletion, want saved", u)
	}
}

// A login that failed had been written all the same, and was ended again, while the store did
// not let itself be read: a caller is told that there is no session.
func TestIntent_whereNoRecordIsLeft(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Intents = true
	in := w.login(0)
	w.deliverAll()
	w.stored(storeLies)
	w.logout(in)
	w.deliverAll()
	w.stored(storeFails) // read
	w.stored(storeDoes)  // deleted
	j := w.ask(keyA)
	w.deliverAll()
	w.drain()
	if got := session.CodeOf(j.answer.Err); !j.landed || got != session.CodeMissingSession {
		t.Errorf("landed = %v, %q, want %q", j.landed, got, session.CodeMissingSession)
	}
}
