package actors

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// Two answers wait to be saved, the second with a new refresh token, when another
// process has written without spending one: the merged state keeps that token.
func TestMerge_keepsTheNewestRefreshToken(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Exclusive = false
	w.sendFor(keyA)
	w.respond(answersPlain)
	w.sendFor(keyB)
	w.elsewhere("touched")
	w.respond(answersRotated)
	w.stored(storeDoes) // a conflict
	w.drain()
	if got := len(w.record.state.TokenSets); got != 2 {
		t.Errorf("token sets in the store = %d, want 2", got)
	}
	if w.spends != 2 {
		t.Errorf("requests = %d, want 2", w.spends)
	}
}

// The record cannot be read again while an answer still waits to be saved: it is not shown
// before that was tried.
func TestRead_showsNothingUnsaved(t *testing.T) {
	w := newTestWorld(t)
	w.sendFor(keyA)
	w.command(&messages.ReadRecord{Call: w.call()})
	w.deliverAll()
	w.respond(answersRotated)
	before := w.shown
	w.stored(storeFails) // read again
	if w.shown != before {
		t.Error("a refresh token is shown that was never written")
	}
	w.drain()
	if w.shown == before {
		t.Error("it is never shown")
	}
}

// A token's life counts from its receipt, however long a conflict takes.
func TestMerge_lengthensNoLife(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Exclusive = false
	j := w.sendFor(keyA)
	w.respond(answersRotated)
	w.elsewhere("touched")
	w.now = w.now.Add(5 * time.Second)
	w.stored(storeDoes) // a conflict
	w.drain()
	if got, want := w.record.state.TokenSets[0].ExpiresAt, j.answer.Token.ExpiresAt.Unix(); got != want {
		t.Errorf("kept until %d, and the caller was told %d", got, want)
	}
}

// An answer that comes while the record is read again is shown once the store was asked to keep it.
func TestRead_failsAndShowsWhatWasTried(t *testing.T) {
	w := newTestWorld(t)
	w.sendFor(keyA)
	w.respond(answersPlain)
	w.elsewhere("touched")
	w.ask(keyB)
	w.deliverAll()
	w.grant(nil)
	w.deliverAll()
	w.stored(storeDoes) // a conflict; now it is read again
	w.respond(answersPlain)
	w.stored(storeFails)
	if !w.shown.Tokens.Lookup(&session.TokenQuery{Key: keyA}, w.now, 0, &session.Token{}) {
		t.Error("what could not be saved is not shown")
	}
	if w.shown.Tokens.Lookup(&session.TokenQuery{Key: keyB}, w.now, 0, &session.Token{}) {
		t.Error("what the store was not asked to keep is shown")
	}
	w.drain()
}

// Two answers wait to be saved when a conflict says that neither is: the session was signed in
// anew elsewhere, or another process spent the refresh token too. What waits behind a further
// reading of the record has been dealt with by then.
func TestMerge_ofAnAnswerThatNoCallerWaitsFor(t *testing.T) {
	for _, what := range []string{"signed in", "refreshed"} {
		t.Run(what, func(t *testing.T) {
			w := newTestWorld(t)
			w.rules.Exclusive = false
			w.sendFor(keyA)
			w.respond(answersPlain)
			w.elsewhere("touched")
			w.command(&messages.ReadRecord{Version: w.record.version})
			w.sendFor(keyB)
			w.respond(answersPlain)
			w.elsewhere(what)
			w.stored(storeDoes) // a conflict
			w.stored(storeDoes) // read again
			w.elsewhere("touched")
			w.stored(storeDoes) // the record of the notice is read
			w.drain()
			for _, j := range w.flights {
				if !j.completed {
					t.Errorf("%s was never answered", name(j.flight.Query.Key))
				}
			}
		})
	}
}

// With a provider that does not rotate, a conflict is no reason to ask it again.
func TestMerge_needsNoSecondRequest(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Exclusive = false
	j := w.sendFor(keyA)
	w.elsewhere("touched")
	w.respond(answersPlain)
	w.drain()
	if w.spends != 1 || j.answer.Err != nil {
		t.Errorf("requests = %d, %v, want 1", w.spends, j.answer.Err)
	}
	if got := len(w.record.state.TokenSets); got != 1 {
		t.Errorf("token sets in the store = %d, want 1", got)
	}
}

// While a request is on the wire it comes out that another process has spent the same
// refresh token: its new one stays, and those who wait ask once more with it.
func TestMerge_asksAgainWithTheStoredToken(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Exclusive = false
	w.sendFor(keyA)
	w.respond(answersPlain)
	b := w.ask(keyB)
	w.deliverAll()
	w.elsewhere("refreshed")
	w.grant(nil)
	w.deliverAll()
	w.stored(storeDoes) // a conflict
	w.stored(storeDoes) // read again
	w.respond(answersRefused)
	w.drain()
	if !b.completed || b.answer.Err != nil {
		t.Errorf("completed = %v, %v, want a token", b.completed, b.answer.Err)
	}
}

// The same where both were granted, as an overlap at the provider allows: what came second
// to the store is dropped, and those who wait get a token of the store, else ask once more.
// The other's may be known before this one's answer comes, or be on its way, or be found by the save.
func TestConflict_anAnswerBehindAnotherProcess(t *testing.T) {
	for _, asked := range []session.FlightKey{keyA, keyB, keyGoogle} {
		for _, other := range []string{"known", "being read", "not heard of"} {
			t.Run(name(asked)+", the other login is "+other, func(t *testing.T) {
				w := newTestWorld(t)
				w.rules.Exclusive, w.others = false, true
				j := w.sendFor(asked)
				rotated := w.record.state.WithRefreshToken(w.rotate(w.record.state.RefreshToken))
				next, _, err := rotated.ApplyRefresh(&session.TokenQuery{Key: keyA, Audience: "a"}, session.TokenResponse{
					AccessToken: "login1|a|elsewhere", ExpiresIn: 60, HasExpiresIn: true,
				}, w.now, session.ApplyOptions{})
				if err != nil {
					t.Fatal(err)
				}
				w.record = &record{w.version(), w.record.incarnation, next}
				kept := w.record.version
				if other != "not heard of" {
					w.command(&messages.ReadRecord{Version: w.record.version})
					w.deliverAll()
				}
				if other == "known" {
					w.stored(storeDoes)
				}
				w.onWire, w.held = nil, false
				w.post(&providerAnswered{response: session.TokenResponse{
					AccessToken: "login1|" + name(asked) + "|here", ExpiresIn: 60, HasExpiresIn: true, RefreshToken: "login1/1000",
				}})
				w.deliverAll()
				for w.writing != nil {
					w.stored(storeDoes)
				}
				switch {
				case w.record.version != kept:
					t.Error("it was written over")
				case asked == keyA && j.answer.Token.AccessToken != "login1|a|elsewhere":
					t.Errorf("answer %+v, want their token", j.answer)
				case asked != keyA && j.completed:
					t.Errorf("answer %+v, want none yet", j.answer)
				}
				w.drain()
				if w.record.state.RefreshToken == "login1/1000" || j.answer.Err != nil {
					t.Errorf("refresh token %q, answer %v", w.record.state.RefreshToken, j.answer.Err)
				}
			})
		}
	}
}

// A refusal may bring a refresh token all the same; it is saved like any other.
func TestRefused_keepsTheTokenThatCame(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Exclusive = false
	w.sendFor(keyA)
	e := w.onWire
	w.onWire, w.held = nil, false
	m := &providerAnswered{err: &session.APIError{Code: session.CodeInvalidGrant, Status: 200}}
	m.response.RefreshToken = w.rotate(e.token)
	w.post(m)
	w.drain()
}

// A write that seemed to fail had happened, and something was learnt since: the store
// must get that too.
func TestUncertain_savesWhatTheStoreLacks(t *testing.T) {
	w := newTestWorld(t)
	w.sendFor(keyA)
	w.respond(answersPlain)
	w.stored(storeLies)
	w.sendFor(keyB)
	w.respond(answersPlain)
	w.drain()
	if got := len(w.record.state.TokenSets); got != 2 {
		t.Errorf("token sets in the store = %d, want 2", got)
	}
}

// A login that was written although the store said otherwise is found, also when the store
// does not answer at once whose record that is now.
func TestUncertain_aLoginIsLookedForUntilTheStoreAnswers(t *testing.T) {
	w := newTestWorld(t)
	in := w.login(0)
	w.deliverAll()
	w.stored(storeLies)
	for range 3 {
		w.stored(storeFails)
		if !w.retry {
			t.Fatal("no caller looks again")
		}
		w.retryNow()
		w.deliverAll()
	}
	w.stored(storeDoes)
	if w.shown.Incarnation != in {
		t.Error("the earlier login goes on")
	}
	w.drain()
}

// A connection's token that was won is handed out although the save finds that
// another process has ended the session at its ceiling.
func TestEndedElsewhere_atTheCeilingHandsOutAConnectionsToken(t *testing.T) {
	w := withCeiling(t)
	w.rules.Exclusive = false
	j := w.sendFor(keyGoogle)
	w.record, w.gone = nil, session.ReasonCeiling
	w.respond(answersPlain)
	w.drain()
	if j.answer.Err != nil {
		t.Errorf("answer = %v, want the token", j.answer.Err)
	}
}

// Another process has signed another user in, who reached a ceiling before this process
// heard of it: nothing of the earlier session stays, for it was replaced.
func TestEndedElsewhere_atTheCeilingOfALoginThatCameBetween(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Exclusive = false
	w.sendFor(keyGoogle)
	w.respond(answersPlain)
	w.stored(storeDoes)
	github := w.sendFor(session.ConnectionKey("github", ""))
	w.record, w.gone = nil, session.ReasonCeiling
	w.command(&messages.ReadRecord{Call: w.call()})
	w.deliverAll()
	w.stored(storeDoes)
	if w.shown.Phase != directory.Ended || len(w.shown.State().ConnectionTokenSets) > 0 {
		t.Errorf("shows phase %d with %d connection tokens, want an end without any", w.shown.Phase, len(w.shown.State().ConnectionTokenSets))
	}
	if got := session.CodeOf(github.answer.Err); got != session.CodeMissingRefreshToken {
		t.Errorf("the caller who waits for a connection is told %q, want %q", got, session.CodeMissingRefreshToken)
	}
	w.respond(answersPlain)
	w.drain()
}
