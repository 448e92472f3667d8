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

// permitFor asks key and grants the permit that its request needs.
func (w *world) permitFor(key session.FlightKey) *journey {
	w.t.Helper()
	j := w.ask(key)
	w.deliverAll()
	w.grant(nil)
	w.deliverAll()
	return j
}

// sendFor asks key and has the request sent.
func (w *world) sendFor(key session.FlightKey) *journey {
	w.t.Helper()
	j := w.permitFor(key)
	if w.onWire == nil {
		w.fail("no request on the wire")
	}
	return j
}

// respond has the request on the wire answered, and what follows done.
func (w *world) respond(how answerKind) {
	w.answerRequest(how)
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
	j := w.sendFor(keyA)
	w.respond(answersRotated)
	if j.completed {
		t.Error("completed before the store had the new refresh token")
	}
	w.stored(storeDoes)
	if !j.completed || j.answer.Err != nil {
		t.Errorf("completed = %v, %v", j.completed, j.answer.Err)
	}
	if w.updates != 1 || w.spends != 1 {
		t.Errorf("updates %d, requests %d, want 1 of each", w.updates, w.spends)
	}
	w.drain()
}

func TestRefresh_unsavedTokenBlocksTheNext(t *testing.T) {
	w := newTestWorld(t)
	w.sendFor(keyA)
	w.respond(answersRotated)
	w.stored(storeFails)
	b := w.ask(keyB)
	w.deliverAll()
	if w.asked || w.writing == nil {
		t.Fatal("the next request must first save")
	}
	w.stored(storeFails)
	if !b.completed || session.CodeOf(b.answer.Err) != session.CodeStoreError {
		t.Errorf("completed = %v, %v, want store_error", b.completed, b.answer.Err)
	}
	w.drain()
	if w.spends != 1 {
		t.Errorf("requests = %d, want 1", w.spends)
	}
}

// A token that is shown while a query waits for its permit answers it.
func TestQueue_looksInTheCacheOnceItHasAPermit(t *testing.T) {
	w := newTestWorld(t)
	w.sendFor(session.QueryKey("a", "read"))
	w.respond(answersPlain) // blocks nothing, so the next asks for a permit before that is saved
	j := w.ask(keyA)
	w.deliverAll()
	if !w.asked {
		t.Fatal("the next request waits for the save")
	}
	w.stored(storeDoes)
	w.grant(nil)
	w.deliverAll()
	if !j.completed || j.answer.Err != nil || w.spends != 1 {
		t.Errorf("completed = %v, %v after %d requests, want a token after one", j.completed, j.answer.Err, w.spends)
	}
	w.drain()
}

// A save that ends while the next request is on the wire leaves the store behind all the
// same: that request may bring a new refresh token.
func TestUnsaved_whileARequestIsOnTheWire(t *testing.T) {
	w := newTestWorld(t)
	w.sendFor(keyA)
	w.respond(answersPlain)
	w.ask(keyB)
	w.deliverAll()
	w.grant(nil)
	w.deliverAll()
	w.stored(storeDoes)
	if u := w.entry.Unsaved(); u != directory.Saving {
		t.Errorf("unsaved = %d, want pending", u)
	}
	w.respond(answersUnreachable)
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
	if got := session.CodeOf(j.answer.Err); !j.completed || got != session.CodeMissingSession {
		t.Errorf("completed = %v, %q, want %q", j.completed, got, session.CodeMissingSession)
	}
}
