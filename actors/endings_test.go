package actors

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A connection's token that comes after the session was deleted shows the end once
// more: no caller may wait for that end to settle.
func TestEnd_settlesThoughAConnectionTokenComesLater(t *testing.T) {
	w := withCeiling(t)
	j := w.sendFor(keyGoogle)
	w.pass()
	w.reachCeiling()
	w.deliverAll()
	w.stored(storeDoes)
	w.respond(answersRotated)
	if !j.completed || j.answer.Err != nil {
		t.Errorf("completed = %v, %v, want the token", j.completed, j.answer.Err)
	}
	w.quiet()
	w.drain()
}

// The ceiling of the old session comes while a login is being written; then the new
// session ends too, before the old one's deletion was tried. Both ends settle.
func TestEnd_settlesThoughALoginCameBetween(t *testing.T) {
	w := withCeiling(t)
	w.login(session.Ceiling(w.now.Unix() + 61))
	w.deliverAll()
	w.now = w.now.Add(time.Minute)
	w.reachCeiling()
	w.deliverAll()
	w.stored(storeDoes) // the login; now the old deletion runs
	w.reachCeiling()
	w.deliverAll()
	w.drain()
	w.quiet()
}

// A login was given up while it was written, and it cannot be known whether it was. Its
// deletion fails, but is tried again although an earlier session lives on.
func TestDelete_ofALoginOfUnknownOutcomeIsTriedAgain(t *testing.T) {
	w := newTestWorld(t)
	in := w.login(0)
	w.deliverAll()
	w.stored(storeLies)
	w.logout(in)
	w.deliverAll()
	w.stored(storeFails) // read again
	w.stored(storeFails) // deleted
	w.drain()
	if w.record != nil {
		t.Errorf("the store has %s; %s was given up", w.names[w.record.incarnation], w.names[in])
	}
}

// Closing waits for sessions to be at rest: a late command that changes nothing must
// not keep one awake.
func TestFinish_restsThoughACommandComesLate(t *testing.T) {
	late := map[string]func(*world){
		"stray ceiling": func(w *world) { w.command(&messages.CeilingReached{Call: w.call()}) },
		"other logout":  func(w *world) { w.logout(session.Incarnation{9}) },
		"late login":    func(w *world) { w.login(0) },
	}
	for name, send := range late {
		w := newTestWorld(t)
		w.command(&messages.Finish{})
		send(w)
		w.drain()
		if w.core != nil {
			t.Errorf("%s: not at rest", name)
		}
	}
}

// A logout that names a login which is not in the store any more says nothing about the
// one that is: its callers wait, and then look again. Only where the store does not
// answer is the session taken for ended.
func TestOpening_isNotOverForALogoutOfAnother(t *testing.T) {
	for how, want := range map[outcome]bool{storeDoes: false, storeFails: true} {
		w := newWorld(t)
		old, _ := w.newLogin(0)
		in, s := w.newLogin(0)
		w.record = &record{w.version(), in, s}
		w.logout(old)
		w.deliverAll()
		if w.shown != nil {
			t.Error("an end is shown of a session that nobody knows")
		}
		w.stored(how)
		if ended := w.shown != nil && w.shown.Phase == directory.Ended; ended != want {
			t.Errorf("store %d: ended %v, want %v", how, ended, want)
		}
		w.drain()
		if w.core != nil || w.record == nil {
			t.Error("never at rest, or the wrong one was deleted")
		}
	}
}

// A login failed and its actor is about to go when a reader's stray command reaches
// it: it goes all the same, for others wait for the entry.
func TestActivation_restsAfterAStrayCommand(t *testing.T) {
	w := newWorld(t)
	w.login(0)
	w.deliver()
	w.finish(storeFails)
	w.command(&messages.CeilingReached{Call: w.call()})
	w.drain()
	if w.core != nil {
		t.Error("not at rest")
	}
}

// Closing answers those who wait for a permit, also for a connection's token that would have
// outlived the session.
func TestFinish_sendsNothingMore(t *testing.T) {
	w := withCeiling(t)
	j := w.ask(keyGoogle)
	w.deliverAll()
	w.pass()
	w.reachCeiling()
	w.deliverAll()
	w.command(&messages.Finish{})
	w.deliverAll()
	w.grant(nil)
	w.drain()
	if w.spends != 0 || session.CodeOf(j.answer.Err) != session.CodeClosed {
		t.Errorf("requests = %d, %v, want none and closed", w.spends, j.answer.Err)
	}
}

// signedInAfterTheEnd returns a session that its ceiling has ended, and that is deleted, while a connection's token is still on its way to
// a caller. Another process has signed a user in, and the session reads that.
func signedInAfterTheEnd(t *testing.T) (*world, *journey) {
	w := withCeiling(t)
	w.rules.Exclusive, w.tells = false, true
	j := w.sendFor(keyGoogle)
	w.pass()
	w.reachCeiling()
	w.deliverAll()
	w.stored(storeDoes)
	w.elsewhere("signed in")
	w.hearAll()
	return w, j
}

// While a connection's token is still on its way, after the ceiling, another process signs
// a user in: that is heard of, and nothing is left of the end.
func TestNotice_ofALoginAfterTheEnd(t *testing.T) {
	w, google := signedInAfterTheEnd(t)
	w.stored(storeDoes) // read
	if w.shown.Phase != directory.Ready || w.shown.Incarnation != w.record.incarnation {
		t.Errorf("shows phase %d of %s, want the new login", w.shown.Phase, w.names[w.shown.Incarnation])
	}
	if got := session.CodeOf(google.answer.Err); got != session.CodeMissingRefreshToken {
		t.Errorf("the caller who waited is told %q, want %q", got, session.CodeMissingRefreshToken)
	}
	w.respond(answersRotated)
	w.drain()
}

// The same where the record cannot be read then: the end is not remembered, so that a caller who
// asks next reads it.
func TestNotice_ofALoginThatCannotBeRead(t *testing.T) {
	w, _ := signedInAfterTheEnd(t)
	w.stored(storeFails)
	w.respond(answersPlain)
	w.drain()
	if w.core != nil || w.marker {
		t.Error("the end is remembered")
	}
}

// Two logins at once, in two processes: the notice of the other's is heard before this
// process knows that its own, the earlier one, was written.
func TestNotice_ofALoginBeforeItsOwnIsAnswered(t *testing.T) {
	for what, phase := range map[string]directory.Phase{"signed in": directory.Ready, "signed out": directory.Ended} {
		w := newTestWorld(t)
		w.rules.Exclusive, w.tells = false, true
		w.login(0)
		w.deliverAll()
		w.late = true
		w.finish(storeDoes)
		w.elsewhere(what)
		w.hearAll()
		w.answerNow()
		w.deliverAll()
		w.stored(storeDoes) // read
		if w.shown.Phase != phase || phase == directory.Ready && w.shown.Incarnation != w.record.incarnation {
			t.Errorf("%s elsewhere: shows phase %d of %s", what, w.shown.Phase, w.names[w.shown.Incarnation])
		}
		w.drain()
	}
}

// An end that is still to be written is not undone by a notice of a login before it.
func TestNotice_ofALoginThatIsToBeDeleted(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Exclusive, w.tells = false, true
	w.elsewhere("signed in")
	w.logout(session.Incarnation{})
	w.deliverAll()
	w.stored(storeFails)
	w.hear()
	w.deliverAll()
	w.stored(storeDoes) // read
	if w.shown.Phase != directory.Ended {
		t.Errorf("shows phase %d after a logout", w.shown.Phase)
	}
	w.drain()
	if w.record != nil {
		t.Error("the logout was given up")
	}
}

func TestCeiling_answersByTheTable(t *testing.T) {
	w := withCeiling(t)
	a := w.sendFor(keyA)
	b, google := w.ask(keyB), w.ask(keyGoogle)
	w.deliverAll()
	w.pass()
	w.reachCeiling()
	w.deliverAll()
	for _, tt := range []struct {
		of   *journey
		want session.Code
	}{{a, session.CodeSessionExpired}, {b, session.CodeSessionExpired}, {google, session.CodeMissingRefreshToken}} {
		if got := session.CodeOf(tt.of.answer.Err); got != tt.want {
			t.Errorf("%s: %q, want %q", name(tt.of.flight.Query.Key), got, tt.want)
		}
	}
	w.respond(answersRotated) // dropped
	w.drain()
	if w.record != nil || w.updates != 0 {
		t.Errorf("record %v, updates %d, want neither", w.record, w.updates)
	}
}

// A caller who asked an earlier login, or before a load that took long, gets nothing of a session
// whose own lifetime is over since.
func TestLifetime_answersNoCaller(t *testing.T) {
	for _, key := range []session.FlightKey{keyA, keyGoogle} {
		w := newWorld(t)
		in, s := w.newLogin(0)
		s.Internal.EndsAt = w.now.Unix() + 60
		w.record = &record{w.version(), in, s}
		w.load()
		j := w.ask(key)
		w.pass()
		w.deliverAll()
		if j.answer.Err == nil || w.asked || w.shown.Phase != directory.Ended || w.shown.Reason != session.ReasonLifetime {
			t.Errorf("%s: %v, and shows phase %d, %q", name(key), j.answer.Err, w.shown.Phase, w.shown.Reason)
		}
		w.drain()
		if w.record != nil {
			t.Error("the record stays")
		}
	}
}

// Nor does a refresh token of it leave, where its lifetime is over once the lease is there.
func TestLifetime_overWhileTheLeaseIsTaken(t *testing.T) {
	w := newWorld(t)
	underLeases(w)
	in, s := w.newLogin(0)
	s.Internal.EndsAt = w.now.Unix() + 60
	w.record = &record{w.version(), in, s}
	w.load()
	j := w.permitFor(keyA)
	w.pass()
	w.stored(storeDoes) // begin
	if w.onWire != nil || w.shown.Reason != session.ReasonLifetime || j.answer.Err == nil {
		t.Errorf("on the wire %v, shows %q, %v", w.onWire != nil, w.shown.Reason, j.answer.Err)
	}
	w.drain()
}

func TestLogout_afterTheCeilingTakesTheRemainder(t *testing.T) {
	w := withCeiling(t)
	w.sendFor(keyGoogle)
	w.respond(answersPlain)
	w.stored(storeDoes)
	j := w.sendFor(session.ConnectionKey("github", ""))
	w.pass()
	w.now = w.now.Add(-30 * time.Second)
	w.reachCeiling()
	w.deliverAll()
	if n := len(w.shown.State().ConnectionTokenSets); n != 1 {
		t.Errorf("connection tokens that stay = %d, want 1", n)
	}
	w.logout(session.Incarnation{})
	w.deliverAll()
	if n := len(w.shown.State().ConnectionTokenSets); n != 0 || !j.completed {
		t.Errorf("connection tokens after a logout = %d, completed %v", n, j.completed)
	}
	w.respond(answersRotated)
	w.drain()
	if n := len(w.ends[len(w.ends)-1].State().ConnectionTokenSets); n != 0 {
		t.Errorf("connection tokens after a late answer = %d", n)
	}
}

// Two readers find the ceiling reached while the deletion of an earlier login is under way: both wait for that of their own.
func TestCeiling_behindTheDeletionOfAnEarlierLogin(t *testing.T) {
	s := in(t, live, 0)
	s.give(&messages.EndSession{Only: session.Incarnation{99}, Why: session.ReasonLifetime})
	s.now = t0.Add(10 * time.Minute)
	for range 2 {
		s.give(&messages.CeilingReached{Generation: 1, Call: directory.NewCall(t.Context(), store.Options{})})
	}
	for _, err := range []error{errDown, nil} {
		heard := 0
		s.finish(err)
		for _, e := range s.out {
			if _, ok := e.(endCall); ok {
				heard++
			}
		}
		if want := map[bool]int{true: 0, false: 2}[err != nil]; heard != want {
			t.Errorf("after a deletion that ended with %v %d readers are told, want %d", err, heard, want)
		}
	}
}
