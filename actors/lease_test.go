package actors

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// leased returns a world in which refresh tokens are spent under leases, with a request for
// keyA on the wire.
func leased(t *testing.T) (*world, *journey) {
	w := newWorld(t)
	w.rules.Exclusive, w.rules.Leases, w.rules.Intents, w.lapses = false, true, true, true
	in, s := w.newLogin(0)
	w.record = &record{w.version(), in, s}
	w.load()
	j := w.permitFor(keyA)
	w.stored(storeDoes) // begin
	if w.onWire == nil {
		w.fail("no request on the wire")
	}
	return w, j
}

// A process that is paused for longer than its lease may find its save refused although
// no other process has written. The store is well, so those who wait are answered when it has the
// refresh token, and not before: a crash in between would cost a token that was handed out.
func TestSave_isHandedOutWhenSavedThoughTheLeaseLapsed(t *testing.T) {
	for name, lapse := range map[string]func(*world){
		"its renewal is refused": func(w *world) {
			w.renewalDue()
			w.deliverAll()
			w.renewNow(storeDoes)
			w.deliverAll()
		},
		"its renewal is refused, and that is not known yet": func(w *world) {
			w.renewalDue()
			w.deliverAll()
			w.renewNow(storeDoes)
		},
		"taken elsewhere": func(w *world) {
			_, _ = w.take(other)
			w.holder = unheld
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, j := leased(t)
			w.respond(answersRotated)
			w.holder = unheld
			lapse(w)
			for w.writing != nil { // the save first, under the old epoch
				w.stored(storeDoes)
				if j.completed && w.record.state.RefreshToken != w.newest["login1"] {
					t.Fatal("handed out before the store had the refresh token")
				}
			}
			if !j.completed || j.answer.Err != nil || w.retry {
				t.Errorf("completed = %v, %v, a retry is due: %v; want a token and no retry", j.completed, j.answer.Err, w.retry)
			}
			w.drain()
		})
	}
}

// Where another process holds the lease it is left alone: the token is handed out, and saved
// when the lease can be had.
func TestSave_waitsForTheLease(t *testing.T) {
	w, j := leased(t)
	w.respond(answersRotated)
	w.holder = unheld
	_, _ = w.take(other)
	for w.writing != nil {
		w.stored(storeDoes)
	}
	if !j.completed || j.answer.Err != nil || !w.retry {
		t.Errorf("completed = %v, %v, a retry is due: %v; want a token, and a retry", j.completed, j.answer.Err, w.retry)
	}
	w.holder = unheld
	w.drain()
}

// After an outage in which the lease was overtaken, the save that the next query waits
// for is refused. It is tried again under a new lease, and not over and over under the old one.
func TestSave_thatIsRefusedTakesTheLease(t *testing.T) {
	w, _ := leased(t)
	w.respond(answersRotated)
	w.stored(storeFails)
	w.holder = unheld
	_, _ = w.take(other)
	w.holder = unheld
	w.retryNow()
	j := w.ask(keyB)
	w.deliverAll()
	for n := 0; w.record.state.RefreshToken != w.newest["login1"]; n++ {
		if n == 10 {
			t.Fatalf("after %d pieces of store work it is not saved", n)
		}
		w.stored(storeDoes)
	}
	w.drain()
	if !j.completed || j.answer.Err != nil {
		t.Errorf("completed = %v, %v, want a token", j.completed, j.answer.Err)
	}
}

// What another process may have spent, and may have had no store to save it in, is left alone
// while that can still be: neither is it presented, nor is the intent taken away.
func TestIntent_ofAnotherIsLeftAloneAfterAnOutage(t *testing.T) {
	w := newWorld(t)
	w.rules.Exclusive, w.rules.Leases, w.rules.Intents = false, true, true
	in, s := w.newLogin(0)
	w.record = &record{w.version(), in, s}
	elsewhere := &store.Intent{Token: sha256.Sum256([]byte(s.RefreshToken)), Epoch: 0, At: w.now.Unix()}
	w.intent, w.grace = elsewhere, 10*time.Second
	w.load()
	j := w.permitFor(keyA)
	w.stored(storeDoes) // begin
	if w.onWire != nil || w.held || j.completed {
		t.Fatal("the refresh token is presented, or the caller answered")
	}
	w.stored(storeDoes) // the lease is given back
	for range 3 {
		if !w.poll || w.polled != pollMost {
			t.Errorf("it is looked at again in %v, want %v", w.polled, pollMost)
		}
		if w.holder != unheld || w.intent == nil {
			t.Errorf("holder %q, intent %v, want no holder, and the intent to stand", w.holder, w.intent)
		}
		w.pollNow()
		w.deliverAll()
		w.stored(storeDoes) // the record, without a lease
	}
	if w.held || w.onWire != nil || j.completed {
		t.Error("the refresh token is presented, or the caller answered")
	}
	w.grace = 0
	w.pollNow()
	w.drain()
	if !j.completed || j.answer.Err != nil || w.spends != 1 {
		t.Errorf("completed = %v, %v, requests = %d, want a token for one", j.completed, j.answer.Err, w.spends)
	}
}

// Where the owner saves in its turn, the next look at the record finds that, whether the last one could read it or
// not, and nothing is presented.
func TestIntent_ofAnotherEndsWithItsSave(t *testing.T) {
	for name, unread := range map[string]int{"it could be read": 0, "it could not be read once": 1, "twice": 2} {
		w := newWorld(t)
		w.rules.Exclusive, w.rules.Leases, w.rules.Intents = false, true, true
		in, s := w.newLogin(0)
		w.record = &record{w.version(), in, s}
		w.intent, w.grace = &store.Intent{Token: sha256.Sum256([]byte(s.RefreshToken)), At: w.now.Unix()}, 10*time.Second
		w.load()
		j := w.permitFor(keyA)
		w.stored(storeDoes) // begin
		w.stored(storeDoes) // the lease is given back
		for range unread {
			w.pollNow()
			w.deliverAll()
			w.stored(storeFails)
		}
		w.pollNow()
		w.deliverAll()
		w.stored(storeDoes)
		if w.asked {
			t.Errorf("%s: the caller waits for the owner no longer", name)
		}
		w.holder = other
		w.elsewhere("refreshed")
		w.holder = unheld
		w.pollNow()
		w.deliverAll()
		w.stored(storeDoes)
		if !w.asked || w.spends != 0 {
			t.Errorf("%s: the owner has saved, and the caller still waits for it", name)
		}
		w.drain()
		if !j.completed || j.answer.Err != nil || w.spends != 1 {
			t.Errorf("%s: completed = %v, %v, requests = %d", name, j.completed, j.answer.Err, w.spends)
		}
	}
}

// A lease may count from when it was asked for, however long the store took to say so, and is
// renewed in time for that.
func TestLease_isRenewedFromWhenItWasAskedFor(t *testing.T) {
	w := newWorld(t)
	w.rules.Exclusive, w.rules.Leases = false, true
	in, s := w.newLogin(0)
	w.record = &record{w.version(), in, s}
	w.load()
	w.permitFor(keyA)
	asked := w.now
	w.late = true
	w.finish(storeDoes)
	w.reply.at = asked
	w.now = w.now.Add(4 * time.Second)
	w.answerNow()
	w.deliverAll()
	if !w.renew || !w.renewed.Equal(asked) {
		t.Errorf("renewed a while after %v, want %v", w.renewed, asked)
	}
	w.drain()
}

// A lease that lapsed and was taken anew is another one: a process may have spent the refresh
// token in between, so the record is read again before it is spent, even where the token that was about
// to be spent was written down in time.
func TestSpend_readsAgainUnderANewLease(t *testing.T) {
	w := newWorld(t)
	w.rules.Exclusive, w.rules.Leases, w.rules.Intents, w.lapses = false, true, true, true
	in, s := w.newLogin(0)
	w.record = &record{w.version(), in, s}
	w.load()
	j := w.permitFor(keyA)
	w.late = true
	w.stored(storeDoes) // begin, and the answer takes long
	w.now = w.now.Add(leaseTTL)
	w.holder = unheld
	_, _ = w.take(other)
	w.elsewhere("refreshed")
	w.intent, w.holder = nil, unheld
	w.answerNow()
	w.deliverAll()
	if w.onWire != nil {
		t.Fatalf("%q is spent, and another process has spent it", w.onWire.token)
	}
	w.drain()
	if !j.completed || j.answer.Err != nil {
		t.Errorf("completed = %v, %v", j.completed, j.answer.Err)
	}
}

// A refresh token that cannot be saved, for another process holds the lease, keeps the next
// query waiting. The store is well, so no caller is told that it failed.
func TestQueue_waitsForTheLease(t *testing.T) {
	w, _ := leased(t)
	next := w.ask(keyB)
	w.deliverAll()
	w.respond(answersRotated)
	w.holder = unheld
	_, _ = w.take(other)
	for w.writing != nil {
		w.stored(storeDoes)
	}
	if next.completed || !w.poll {
		t.Errorf("completed = %v (%v), it is asked for again: %v; want it to wait", next.completed, next.answer.Err, w.poll)
	}
	w.holder = unheld
	w.drain()
}

// A save that no flight waits for, and that is refused because the lease had lapsed, has the next
// one take the lease: else both would be refused in turn until a renewal.
func TestSave_takesTheLeaseThatLapsed(t *testing.T) {
	w, _ := leased(t)
	w.ask(keyB)
	w.deliverAll()
	w.respond(answersRotated)
	w.stored(storeFails) // the next is there for keyB
	w.holder = unheld
	_, _ = w.take(other)
	w.holder = unheld
	for n := 0; n < 5 && w.writing != nil; n++ { // refused, read, saved
		w.stored(storeDoes)
	}
	if w.record.state.RefreshToken != w.newest["login1"] {
		t.Error("it is refused again and again")
	}
	w.drain()
}

// A login asks for the lease anew: what the session before it had to wait for is no matter.
func TestLogin_waitsForNothingThatTheOneBeforeDid(t *testing.T) {
	w := newWorld(t)
	underLeases(w)
	in, s := w.newLogin(0)
	w.record = &record{w.version(), in, s}
	w.intent, w.grace = &store.Intent{Token: sha256.Sum256([]byte(s.RefreshToken))}, 10*time.Second
	w.load()
	w.permitFor(keyA)
	w.stored(storeDoes) // begin: another's intent stands
	w.stored(storeDoes) // the lease is given back
	w.login(0)
	w.deliverAll()
	w.stored(storeDoes)
	j := w.ask(keyA)
	w.deliverAll()
	if !w.asked {
		t.Error("the query of the new login waits for the poll of the old one")
	}
	w.drain()
	if !j.completed || j.answer.Err != nil {
		t.Errorf("completed = %v, %v", j.completed, j.answer.Err)
	}
}

// preparing returns a world under leases with a query for a connection's token whose begin runs when
// the ceiling comes.
func preparing(t *testing.T) (*world, *journey) {
	w := newWorld(t)
	underLeases(w)
	in, s := w.newLogin(session.Ceiling(w.now.Unix() + 60))
	w.record = &record{w.version(), in, s}
	w.load()
	j := w.permitFor(keyGoogle)
	if _, begins := w.writing.(*beginOp); !begins {
		t.Fatal("something else runs")
	}
	w.pass()
	return w, j
}

// reached has the ceiling come, and everything come to rest. The lease is given back.
func (w *world) reached() {
	w.t.Helper()
	w.reachCeiling()
	w.deliverAll()
	w.drain()
	if w.core != nil || w.record != nil || w.intent != nil || w.holder == self {
		w.fail("at rest %v, record %v, intent %v, holder %q; want nothing left", w.core == nil, w.record, w.intent, w.holder)
	}
}

// A Begin is part of its request: the ceiling comes then, and those who asked
// get the token of the connection, for what the record holds before it is deleted.
func TestCeiling_whileTheLeaseIsTaken(t *testing.T) {
	w, j := preparing(t)
	w.reached()
	if !j.completed || j.answer.Err != nil || w.spends != 1 {
		t.Errorf("completed = %v, %v, requests = %d; want a token for one", j.completed, j.answer.Err, w.spends)
	}
	if n := len(w.shown.State().ConnectionTokenSets); n != 1 {
		t.Errorf("connection tokens that are left = %d, want 1", n)
	}
}

// Where another process has spent the refresh token before the lease was taken, what it got is
// spent.
func TestCeiling_spendsWhatTheRecordHolds(t *testing.T) {
	w, j := preparing(t)
	w.record = &record{w.version(), w.record.incarnation, w.record.state.WithRefreshToken(w.rotate(w.record.state.RefreshToken))}
	w.reached() // fails where another one is spent
	if !j.completed || j.answer.Err != nil {
		t.Errorf("completed = %v, %v, want a token", j.completed, j.answer.Err)
	}
}

// Where the token cannot be known to be this process's to spend, none is.
func TestCeiling_withoutTheLease(t *testing.T) {
	late := func(w *world) {
		w.late = true
		w.stored(storeDoes) // begin, and the answer takes long
		w.now = w.now.Add(leaseTTL)
		w.holder = unheld
		_, _ = w.take(other)
	}
	for name, happen := range map[string]func(*world){
		"leased elsewhere":        func(w *world) { _, _ = w.take(other) },
		"signed out":              func(w *world) { w.record, w.gone = nil, session.ReasonLogout },
		"given up":                func(w *world) { w.elsewhere("given up") },
		"lapsed":                  late,
		"lapsed, and taken again": func(w *world) { late(w); w.holder = unheld },
	} {
		t.Run(name, func(t *testing.T) {
			w, j := preparing(t)
			happen(w)
			w.reached()
			if !j.completed || session.CodeOf(j.answer.Err) != session.CodeMissingRefreshToken || w.spends != 0 {
				t.Errorf("completed = %v, %v, requests = %d; want missing_refresh_token, and none", j.completed, j.answer.Err, w.spends)
			}
		})
	}
}

// A login takes the session's place before the lease was had: its refresh token is not spent.
func TestCeiling_thenAnotherLogin(t *testing.T) {
	for name, signIn := range map[string]func(*world){
		"here":      func(w *world) { w.login(0); w.deliverAll() },
		"elsewhere": func(w *world) { w.elsewhere("signed in") },
	} {
		t.Run(name, func(t *testing.T) {
			w, j := preparing(t)
			w.reachCeiling()
			w.deliverAll()
			signIn(w)
			w.drain() // fails where it is
			if !j.completed || name == "elsewhere" && (session.CodeOf(j.answer.Err) != session.CodeMissingRefreshToken || w.spends != 0) {
				t.Errorf("completed = %v, %v, requests = %d; want missing_refresh_token, and none", j.completed, j.answer.Err, w.spends)
			}
		})
	}
}

// A renewal whose answer comes after the lease had lapsed, and was begun anew, says nothing of the new one.
func TestRenewal_ofTheLeaseBefore(t *testing.T) {
	for _, err := range []error{nil, store.ErrConflict, errStore} {
		w, _ := leased(t)
		was := w.core.lease
		w.core.lease.renewing = true
		w.core.renewed(&renewedLease{epoch: was.epoch - 1, err: err, at: w.now, lapses: w.now.Add(2 * leaseTTL)})
		if got := w.core.lease; got.epoch != was.epoch || !got.lapses.Equal(was.lapses) || got.renewing {
			t.Errorf("after an answer %v about an earlier lease: %+v, want %+v", err, got, was)
		}
	}
}
