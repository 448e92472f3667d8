package actors

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Two queries at once, both refused as a provider does that refuses by audience: nothing was
// cut off, and the refresh token stays.
func TestRefused_twiceInARowIsNoCrash(t *testing.T) {
	for name, shared := range map[string]bool{"alone, with intents": false, "under leases": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.rules.Intents = true
			if shared {
				underLeases(w)
			}
			in, s := w.newLogin(0)
			w.record = &record{w.version(), in, s}
			w.load()
			a, b := w.ask(keyA), w.ask(keyB)
			w.deliverAll()
			for range 2 {
				w.grant(nil)
				w.deliverAll()
				for w.onWire == nil {
					w.stored(storeDoes) // claim, intent
				}
				w.respond(answersDenied)
				if w.writing != nil && isRead(w.writing) {
					w.stored(storeDoes)
				}
			}
			for w.writing != nil {
				w.stored(storeDoes)
			}
			if !a.completed || !b.completed {
				t.Fatal("not completed")
			}
			if got := w.record.state.RefreshToken; got != "login1/0" {
				t.Errorf("the store has refresh token %q, want the one that nobody has spent", got)
			}
		})
	}
}

// A login's Replace fails at its deadline, the record is read again, and only then does the
// write take effect. The notice of it must not be taken for old news.
func TestUncertain_aLoginThatTakesEffectLateIsRead(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Exclusive, w.tells = false, true
	in := w.login(0)
	w.deliverAll()
	state := w.writing.(*loginOp).state
	var v session.Version
	copy(v[:], fmt.Sprintf("v%d", w.serial+1)) // that of the write
	w.stored(storeFails)                       // no effect yet
	w.stored(storeDoes)                        // the record is read again: the old one
	w.record, w.gone = &record{v, in, state}, ""
	w.tell()
	w.drain() // informed(): fails when login1 is shown and login2 is signed in
}

// After the end another process signs a user in, and out again while that login is being read: the
// end of it is heard of.
func TestNotice_ofTheEndOfALoginThatIsBeingRead(t *testing.T) {
	w, google := signedInAfterTheEnd(t)
	w.late = true
	w.finish(storeDoes) // read, and the answer takes long
	w.elsewhere("signed out")
	w.hearAll()
	w.answerNow()
	w.deliverAll()
	w.respond(answersRotated)
	w.drain() // fails where it is shown, and nobody is signed in
	if !google.completed {
		t.Error("the caller who waited was not answered")
	}
}

// What stands in the store while a refresh token is on the wire must not be cleared by
// another save.
func TestIntent_outlivesASaveInBetween(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Intents = true
	w.ask(keyGoogle)
	w.deliverAll()
	w.grant(nil)
	w.deliverAll()
	w.stored(storeDoes) // intent
	w.respond(answersPlain)
	w.stored(storeFails) // the save, of a connection's token: blocks nothing
	w.ask(keyA)
	w.deliverAll()
	for !w.asked {
		w.stored(storeDoes)
	}
	w.grant(nil)
	w.deliverAll()
	for w.writing != nil {
		w.stored(storeDoes) // what is left of the first, intent
	}
	if w.onWire == nil || w.intent == nil {
		t.Fatal("no request on the wire, or it is not written down")
	}
	w.retryNow()
	w.deliverAll()
	for w.writing != nil {
		w.stored(storeDoes)
	}
	if w.onWire == nil {
		t.Fatal("no request on the wire")
	}
	if w.intent == nil {
		t.Error("a refresh token is on the wire, and nothing of it is written down: a crash now loses the session")
	}
}

// Another process took over the lapsed lease, presented the token, was refused and gave it
// up, while this one lives and has the new refresh token in hand.
func TestMerge_aTokenGivenUpElsewhereDoesNotOutweighALivingOne(t *testing.T) {
	for _, when := range []string{"before the save", "notified while on the wire"} {
		t.Run(when, func(t *testing.T) {
			w, j := leased(t)
			w.tells = true
			dropToken := func() {
				w.holder = unheld
				_, _ = w.take(other)
				next := w.record.state.Clone()
				next.RefreshToken = ""
				w.record = &record{w.version(), w.record.incarnation, next}
				w.tell()
				w.intent, w.holder = nil, unheld
			}
			if when == "before the save" {
				w.respond(answersRotated)
				dropToken()
			} else {
				dropToken()
				w.hear()
				w.deliverAll()
				w.stored(storeDoes) // reread
				w.respond(answersRotated)
			}
			for w.writing != nil {
				w.stored(storeDoes)
			}
			w.deliverAll()
			if got, want := w.record.state.RefreshToken, w.newest["login1"]; got != want {
				t.Errorf("the store has refresh token %q, want %q, which works and was in hand", got, want)
			}
			if !j.completed || j.answer.Err != nil {
				t.Errorf("completed %v: %v", j.completed, j.answer.Err)
			}
		})
	}
}

// The provider refuses a recovery for the moment or for who asks: it has said nothing about the
// token, so the intent stands and is presented once more. Every other refusal ends it.
func TestRecovery_endsWithWhatTheProviderSaysOfTheToken(t *testing.T) {
	for _, refusal := range []session.APIError{
		{Code: "too_many_requests", Status: 429},
		{Status: 408},
		{Status: 425},
		{Code: "invalid_client", Status: 400},
		{Code: session.CodeInvalidResponse, Status: 404},
		{Code: "unauthorized_client", Status: 403},
		{Code: "server_error", Status: 500},
		{Status: 401},
		{Code: session.CodeTokenError, Status: 403},
		{Code: "invalid_request", Status: 400},
		{Code: "invalid_scope", Status: 400},
		{Code: "token_revoked", Status: 200},
	} {
		t.Run(fmt.Sprintf("%d %s", refusal.Status, refusal.Code), func(t *testing.T) {
			w := recovering(t)
			w.stored(storeDoes) // intend
			if w.onWire == nil {
				t.Fatal("no request on the wire")
			}
			w.onWire, w.held = nil, false
			w.post(&providerAnswered{err: &refusal})
			w.deliverAll()
			for w.writing != nil {
				w.stored(storeDoes)
			}
			if w.intent == nil && !session.TokenSettled(&refusal) {
				t.Error("the intent is gone, though nobody knows what came of its token")
			}
			if w.intent != nil && session.TokenSettled(&refusal) {
				t.Error("the intent stands, though the provider has said what it thinks of its token")
			}
			if kept := w.record.state.RefreshToken != ""; kept == session.TokenDead(&refusal) {
				t.Errorf("refresh token kept: %v, dead: %v", kept, !kept)
			}
		})
	}
}

// The feed told of another login, the record could not be read, and then the ceiling came. The
// end must not be remembered as if no user could be signed in.
func TestEnd_isNotRememberedWhereALoginElsewhereWasNotified(t *testing.T) {
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprintf("a caller had it read once more: %v", again), func(t *testing.T) {
			w := withCeiling(t)
			w.rules.Exclusive, w.tells = false, true
			in, s := w.newLogin(0) // elsewhere
			w.record = &record{w.version(), in, s}
			w.tell()
			w.hear()
			w.deliverAll()
			w.stored(storeFails)
			if again {
				w.command(&messages.ReadRecord{Recent: true, Call: w.call()})
				w.deliverAll()
			}
			w.pass()
			w.reachCeiling()
			w.deliverAll()
			for w.core != nil && w.writing != nil {
				w.stored(storeDoes) // the reading, and the deletion of login1
			}
			if w.core == nil && w.marker {
				t.Errorf("an end is remembered until %v, and %s is signed in", w.shown.Until, w.names[w.record.incarnation])
			}
		})
	}
}

// While a session starts again after a panic it cannot be said how old its snapshot is, so a caller who wants
// it to be read again is not told that it was.
func TestRead_whileItStartsAgain(t *testing.T) {
	c := newCore(&Rules{})
	c.life, c.before = failed, live
	c.state, c.saved = &session.State{}, &session.State{}
	c.on(&messages.Recover{}, t0)
	if !c.reloading() {
		t.Fatal("it does not start again")
	}
	call := directory.NewCall(t.Context(), store.Options{})
	c.on(&messages.ReadRecord{Call: call}, t0)
	c.on(&opDone{op: c.running, err: store.ErrConflict}, t0)
	if ended, err := call.Ended(); !ended || !errors.Is(err, session.ErrInternal) {
		t.Errorf("ended %v, %v; want the call to end with %v", ended, err, session.ErrInternal)
	}
}

// Nothing is sent after all, when the intent was written over the one that a process left behind: that
// is not cleared, for it is not known what came of its token.
func TestRecovery_thatIsNotSentIsNotOver(t *testing.T) {
	for name, end := range map[string]func(*world){
		"closing": func(w *world) { w.command(&messages.Finish{}); w.deliverAll(); w.stored(storeDoes) },
		"the store does it, and says that it failed": func(w *world) { w.stored(storeLies) },
	} {
		t.Run(name, func(t *testing.T) {
			w := recovering(t)
			end(w)
			w.drain()
			if w.spends != 0 || w.intent == nil {
				t.Errorf("requests = %d, intent %v, want none and one", w.spends, w.intent)
			}
		})
	}
}

// recovering returns a world in which a refresh token that a process left behind is about to be presented: its intent is being written.
func recovering(t *testing.T) *world {
	w := newTestWorld(t)
	w.rules.Intents = true
	w.staleIntent(false)
	w.command(&messages.RecoverIntent{Intent: *w.intent})
	w.deliverAll()
	w.grant(nil)
	w.deliverAll()
	return w
}

// cutOff returns a world under leases in which a refresh token that a process left behind is
// presented, and refused: its record is read once more.
func cutOff(t *testing.T) *world {
	w := newWorld(t)
	underLeases(w)
	in, s := w.newLogin(0)
	w.record = &record{w.version(), in, s}
	w.staleIntent(true)
	w.load()
	w.command(&messages.RecoverIntent{Intent: *w.intent})
	w.deliverAll()
	w.grant(nil)
	w.deliverAll()
	w.stored(storeDoes) // begin
	w.respond(answersRefused)
	if w.writing == nil || !isRead(w.writing) {
		t.Fatal("the record is not read")
	}
	return w
}

// The store fails when the record is to be read once more: the intent stands, so the next who asks
// finds the token out.
func TestRecovery_thatCannotReadTheRecordIsNotOver(t *testing.T) {
	w := cutOff(t)
	w.stored(storeFails)
	for w.writing != nil {
		w.stored(storeDoes)
	}
	if w.intent == nil || w.holder != unheld {
		t.Fatalf("intent %v, holder %q, want the intent to stand and no holder", w.intent, w.holder)
	}
	j := w.permitFor(keyA)
	w.stored(storeDoes) // begin
	w.respond(answersRefused)
	w.drain()
	if !j.completed || w.record.state.RefreshToken != "" {
		t.Errorf("completed = %v, the store has %q, want it to be given up", j.completed, w.record.state.RefreshToken)
	}
}

// Another process has written since, but spent no refresh token: the refusal stands.
func TestRecovery_besideAnotherWrite(t *testing.T) {
	w := cutOff(t)
	w.record = &record{w.version(), w.record.incarnation, w.record.state.Clone()}
	w.drain()
	if got := w.record.state.RefreshToken; got != "" {
		t.Errorf("the store has %q, want it to be given up", got)
	}
}

// A look for stale intents lists an intent whose request is out; when the session hears of it that has
// completed, and nothing is left to find out.
func TestRecovery_ofWhatHasCompletedSpendsNothing(t *testing.T) {
	for _, unsaved := range []bool{false, true} {
		t.Run(fmt.Sprintf("something is still to be saved: %v", unsaved), func(t *testing.T) {
			w := newTestWorld(t)
			w.rules.Intents = true
			w.permitFor(keyGoogle)
			w.stored(storeDoes) // the intent
			listed := *w.intent
			w.respond(answersPlain)
			if unsaved {
				w.stored(storeFails) // the intent is cleared all the same
			}
			for w.writing != nil {
				w.stored(storeDoes)
			}
			w.command(&messages.RecoverIntent{Intent: listed})
			w.drain()
			if w.spends != 1 || w.intent != nil {
				t.Errorf("%d requests for one query, intent %v", w.spends, w.intent)
			}
		})
	}
}

// recoverBehindASave has a save of this process clear the intent that is to be recovered; spent says whether its token was rotated.
func recoverBehindASave(t *testing.T, spent bool) *world {
	w := newWorld(t)
	underLeases(w)
	in, s := w.newLogin(0)
	w.record = &record{w.version(), in, s}
	w.load()
	w.permitFor(keyGoogle)
	w.stored(storeDoes) // begin
	w.respond(answersPlain)
	w.stored(storeFails)
	w.stored(storeDoes) // the lease is given back
	w.staleIntent(spent)
	w.retryNow()
	w.command(&messages.RecoverIntent{Intent: *w.intent})
	w.deliverAll()
	return w
}

// A save of this process that comes first clears the intent: the token is presented all the same, for
// no other process will.
func TestRecovery_behindASave(t *testing.T) {
	w := recoverBehindASave(t, false)
	w.drain()
	if w.spends != 2 {
		t.Errorf("requests = %d, want one for the query and one for what was left behind", w.spends)
	}
}

// A caller's query finds an intent that a process left behind; its own is written over it, and the lease has
// lapsed before the answer to that comes. Nothing was sent: an intent stands.
func TestRecovery_thenTheLeaseIsElsewhere(t *testing.T) {
	w := newWorld(t)
	underLeases(w)
	w.lapses = true
	in, s := w.newLogin(0)
	w.record = &record{w.version(), in, s}
	w.staleIntent(true)
	w.load()
	w.permitFor(keyA)
	w.late = true
	w.stored(storeDoes) // begin, over the intent that stood; the answer takes long
	w.now = w.now.Add(leaseTTL)
	w.holder = unheld
	_, _ = w.take(other)
	w.answerNow()
	w.deliverAll()
	for w.writing != nil {
		w.stored(storeDoes) // begin again: leased
	}
	if w.spends != 0 || w.intent == nil {
		t.Errorf("requests %d, intent %v; want none, and one that stands", w.spends, w.intent)
	}
}

// The save before has cleared the intent that is recovered, and the provider refuses: the token is given up.
func TestRecovery_behindASaveAndRefused(t *testing.T) {
	w := recoverBehindASave(t, true)
	for w.onWire == nil {
		switch {
		case w.asked:
			w.grant(nil)
			w.deliverAll()
		default:
			w.stored(storeDoes)
		}
	}
	w.respond(answersRefused)
	w.drain()
	if got := w.record.state.RefreshToken; got != "" {
		t.Errorf("the store has %q, want it to be given up", got)
	}
}

// A refused token is given up, and the save of that meets another process's write, which spent none.
func TestRecovery_thatGaveUpMeetsAnotherWrite(t *testing.T) {
	w := cutOff(t)
	w.stored(storeDoes) // nobody else wrote: it is given up, and that is being saved
	w.record = &record{w.version(), w.record.incarnation, w.record.state.Clone()}
	w.intent = nil // as their Update does
	w.drain()
	if got := w.record.state.RefreshToken; got != "" {
		t.Errorf("the store has %q, want it to be given up", got)
	}
}
