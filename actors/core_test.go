package actors

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
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

// A token that another process has got answers a query that waits for its permit.
func TestQueue_looksInTheCacheOnceItHasAPermit(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Exclusive = false
	j := w.ask(keyA)
	w.deliverAll()
	if !w.asked {
		t.Fatal("no permit is asked for")
	}
	read := w.record.state.Clone()
	read.TokenSets = append(read.TokenSets, session.TokenSet{
		Audience: "a", AccessToken: familyOf(read.RefreshToken) + "|a|elsewhere", ExpiresAt: w.now.Unix() + 60,
	})
	w.record = &record{w.version(), w.record.incarnation, read}
	w.command(&messages.ReadRecord{Version: w.record.version})
	w.deliverAll()
	w.stored(storeDoes)
	w.grant(nil)
	w.deliverAll()
	if !j.completed || !j.answer.Cached || w.spends != 0 {
		t.Errorf("completed = %v, %v after %d requests, want a token after none", j.completed, j.answer.Err, w.spends)
	}
	w.drain()
}

// A query that the answer before it covers waits until that is saved, and asks for no permit.
func TestQueue_waitsForTheSaveThatCoversIt(t *testing.T) {
	for _, how := range []outcome{storeDoes, storeFails, storeLies} {
		w := newTestWorld(t)
		w.sendFor(session.QueryKey("a", "read"))
		w.respond(answersPlain)
		j, other := w.ask(keyA), w.ask(keyB)
		w.deliverAll()
		if w.asked || j.completed {
			t.Fatalf("asked for a permit %v, answered %v, before the answer is saved", w.asked, j.completed)
		}
		w.stored(how)
		if !j.completed || j.answer.Err != nil || !w.asked || w.spends != 1 {
			t.Errorf("%v: completed = %v, %v after %d requests; the next has asked for a permit %v", how, j.completed, j.answer.Err, w.spends, w.asked)
		}
		w.drain()
		if !other.completed || w.spends != 2 {
			t.Errorf("%v: completed = %v after %d requests, want 2", how, other.completed, w.spends)
		}
	}
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
