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

// What is shown while a question waits for its slot answers it.
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

// A connection's token that lands after the session was deleted shows the end once
// more: no caller may wait for that end to settle.
func TestEnd_settlesThoughAConnectionLandsLater(t *testing.T) {
	w := withCeiling(t)
	j := w.fly(keyGoogle)
	w.pass()
	w.reachCeiling()
	w.deliverAll()
	w.stored(storeDoes)
	w.landed(landRotated)
	if !j.landed || j.answer.Err != nil {
		t.Errorf("landed = %v, %v, want the token", j.landed, j.answer.Err)
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

// Two answers wait to be saved, the second with a new refresh token, when another
// process has written without spending one: the merged state keeps that token.
func TestMerge_keepsTheNewestRefreshToken(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Exclusive = false
	w.fly(keyA)
	w.landed(landPlain)
	w.fly(keyB)
	w.elsewhere("touched")
	w.landed(landRotated)
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
func TestReread_showsNothingUnsaved(t *testing.T) {
	w := newTestWorld(t)
	w.fly(keyA)
	w.command(&messages.ReadRecord{Call: w.call()})
	w.deliverAll()
	w.landed(landRotated)
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
	j := w.fly(keyA)
	w.landed(landRotated)
	w.elsewhere("touched")
	w.now = w.now.Add(5 * time.Second)
	w.stored(storeDoes) // a conflict
	w.drain()
	if got, want := w.record.state.TokenSets[0].ExpiresAt, j.answer.Token.ExpiresAt.Unix(); got != want {
		t.Errorf("kept until %d, and the caller was told %d", got, want)
	}
}

// What lands while the record is read again is shown once the store was asked to keep it.
func TestReread_failsAndShowsWhatWasTried(t *testing.T) {
	w := newTestWorld(t)
	w.fly(keyA)
	w.landed(landPlain)
	w.elsewhere("touched")
	w.ask(keyB)
	w.deliverAll()
	w.grant(nil)
	w.deliverAll()
	w.stored(storeDoes) // a conflict; now it is read again
	w.landed(landPlain)
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
func TestMerge_ofWhatNobodyWaitsForAnyMore(t *testing.T) {
	for _, what := range []string{"signed in", "refreshed"} {
		t.Run(what, func(t *testing.T) {
			w := newTestWorld(t)
			w.rules.Exclusive = false
			w.fly(keyA)
			w.landed(landPlain)
			w.elsewhere("touched")
			w.command(&messages.ReadRecord{Version: w.record.version})
			w.fly(keyB)
			w.landed(landPlain)
			w.elsewhere(what)
			w.stored(storeDoes) // a conflict
			w.stored(storeDoes) // read again
			w.elsewhere("touched")
			w.stored(storeDoes) // what was told of is read
			w.drain()
			for _, j := range w.flights {
				if !j.landed {
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
	j := w.fly(keyA)
	w.elsewhere("touched")
	w.landed(landPlain)
	w.drain()
	if w.spends != 1 || j.answer.Err != nil {
		t.Errorf("requests = %d, %v, want 1", w.spends, j.answer.Err)
	}
	if got := len(w.record.state.TokenSets); got != 1 {
		t.Errorf("token sets in the store = %d, want 1", got)
	}
}

// While a request is in the air it comes out that another process has spent the same
// refresh token: its new one stays, and those who wait ask once more with it.
func TestMerge_asksAgainWithTheirToken(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Exclusive = false
	w.fly(keyA)
	w.landed(landPlain)
	b := w.ask(keyB)
	w.deliverAll()
	w.elsewhere("refreshed")
	w.grant(nil)
	w.deliverAll()
	w.stored(storeDoes) // a conflict
	w.stored(storeDoes) // read again
	w.landed(landRefused)
	w.drain()
	if !b.landed || b.answer.Err != nil {
		t.Errorf("landed = %v, %v, want a token", b.landed, b.answer.Err)
	}
}

// The same where both were granted, as an overlap at the provider allows: what came second
// to the store is dropped, and those who wait get a token of the store, else ask once more.
// The other's may be known before this one's answer comes, or be on its way, or be found by the save.
func TestLanding_behindAnotherProcess(t *testing.T) {
	for _, asked := range []session.FlightKey{keyA, keyB, keyGoogle} {
		for _, theirs := range []string{"known", "being read", "not heard of"} {
			t.Run(name(asked)+", theirs is "+theirs, func(t *testing.T) {
				w := newTestWorld(t)
				w.rules.Exclusive, w.others = false, true
				j := w.fly(asked)
				rotated := w.record.state.WithRefreshToken(w.rotate(w.record.state.RefreshToken))
				next, _, err := rotated.ApplyRefresh(&session.TokenQuery{Key: keyA, Audience: "a"}, session.TokenResponse{
					AccessToken: "login1|a|theirs", ExpiresIn: 60, HasExpiresIn: true,
				}, w.now, session.ApplyOptions{})
				if err != nil {
					t.Fatal(err)
				}
				w.record = &record{w.version(), w.record.incarnation, next}
				kept := w.record.version
				if theirs != "not heard of" {
					w.command(&messages.ReadRecord{Version: w.record.version})
					w.deliverAll()
				}
				if theirs == "known" {
					w.stored(storeDoes)
				}
				w.air, w.held = nil, false
				w.post(&providerAnswered{response: session.TokenResponse{
					AccessToken: "login1|" + name(asked) + "|ours", ExpiresIn: 60, HasExpiresIn: true, RefreshToken: "login1/1000",
				}})
				w.deliverAll()
				for w.writing != nil {
					w.stored(storeDoes)
				}
				switch {
				case w.record.version != kept:
					t.Error("it was written over")
				case asked == keyA && j.answer.Token.AccessToken != "login1|a|theirs":
					t.Errorf("answer %+v, want their token", j.answer)
				case asked != keyA && j.landed:
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
	w.fly(keyA)
	e := w.air
	w.air, w.held = nil, false
	m := &providerAnswered{err: &session.APIError{Code: session.CodeInvalidGrant, Status: 200}}
	m.response.RefreshToken = w.rotate(e.token)
	w.post(m)
	w.drain()
}

// A write that seemed to fail had happened, and something was learnt since: the store
// must get that too.
func TestInDoubt_savesWhatTheStoreLacks(t *testing.T) {
	w := newTestWorld(t)
	w.fly(keyA)
	w.landed(landPlain)
	w.stored(storeLies)
	w.fly(keyB)
	w.landed(landPlain)
	w.drain()
	if got := len(w.record.state.TokenSets); got != 2 {
		t.Errorf("token sets in the store = %d, want 2", got)
	}
}

// A login that was written although the store said otherwise is found, also when the store
// does not answer at once whose record that is now.
func TestInDoubt_aLoginIsLookedForUntilTheStoreAnswers(t *testing.T) {
	w := newTestWorld(t)
	in := w.login(0)
	w.deliverAll()
	w.stored(storeLies)
	for range 3 {
		w.stored(storeFails)
		if !w.retry {
			t.Fatal("nobody looks again")
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

// A login was given up while it was written, and it cannot be known whether it was. Its
// deletion fails, but is tried again although an earlier session lives on.
func TestErase_ofALoginInDoubtIsTriedAgain(t *testing.T) {
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
func TestOpening_restsAfterAStrayCommand(t *testing.T) {
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

// A connection's token that was won is handed out although the save finds that
// another process has ended the session at its ceiling.
func TestLost_atTheCeilingHandsOutAConnectionsToken(t *testing.T) {
	w := withCeiling(t)
	w.rules.Exclusive = false
	j := w.fly(keyGoogle)
	w.record, w.gone = nil, session.ReasonCeiling
	w.landed(landPlain)
	w.drain()
	if j.answer.Err != nil {
		t.Errorf("answer = %v, want the token", j.answer.Err)
	}
}

// Another process has signed another user in, who reached a ceiling before this process
// heard of it: nothing of the earlier session stays, for it was replaced.
func TestLost_atTheCeilingOfALoginThatCameBetween(t *testing.T) {
	w := newTestWorld(t)
	w.rules.Exclusive = false
	w.fly(keyGoogle)
	w.landed(landPlain)
	w.stored(storeDoes)
	github := w.fly(session.ConnectionKey("github", ""))
	w.record, w.gone = nil, session.ReasonCeiling
	w.command(&messages.ReadRecord{Call: w.call()})
	w.deliverAll()
	w.stored(storeDoes)
	if w.shown.Phase != directory.Ended || len(w.shown.State().ConnectionTokenSets) > 0 {
		t.Errorf("shows phase %d with %d connection tokens, want an end without any", w.shown.Phase, len(w.shown.State().ConnectionTokenSets))
	}
	if got := session.CodeOf(github.answer.Err); got != session.CodeMissingRefreshToken {
		t.Errorf("whoever waits for a connection is told %q, want %q", got, session.CodeMissingRefreshToken)
	}
	w.landed(landPlain)
	w.drain()
}

// While a connection's token is still on its way, after the ceiling, another process signs
// a user in: that is heard of, and nothing is left of the end.
func TestTold_ofALoginAfterTheEnd(t *testing.T) {
	w := withCeiling(t)
	w.rules.Exclusive, w.tells = false, true
	github := w.fly(keyGoogle)
	w.pass()
	w.reachCeiling()
	w.deliverAll()
	w.stored(storeDoes) // it is deleted
	w.elsewhere("signed in")
	for len(w.notices) > 0 {
		w.hear()
	}
	w.deliverAll()
	w.stored(storeDoes) // read
	if w.shown.Phase != directory.Ready || w.shown.Incarnation != w.record.incarnation {
		t.Errorf("shows phase %d of %s, want the new login", w.shown.Phase, w.names[w.shown.Incarnation])
	}
	if got := session.CodeOf(github.answer.Err); got != session.CodeMissingRefreshToken {
		t.Errorf("whoever waited is told %q, want %q", got, session.CodeMissingRefreshToken)
	}
	w.landed(landRotated)
	w.drain()
}

// The same where the record cannot be read then: the end is not remembered, so that a caller who
// asks next reads it.
func TestTold_ofALoginThatCannotBeRead(t *testing.T) {
	w := withCeiling(t)
	w.rules.Exclusive, w.tells = false, true
	w.fly(keyGoogle)
	w.pass()
	w.reachCeiling()
	w.deliverAll()
	w.stored(storeDoes)
	w.elsewhere("signed in")
	for len(w.notices) > 0 {
		w.hear()
	}
	w.deliverAll()
	w.stored(storeFails)
	w.landed(landPlain)
	w.drain()
	if w.core != nil || w.marker {
		t.Error("the end is remembered")
	}
}

// Two logins at once, in two processes: the notice of the other's is heard before this
// process knows that its own, the earlier one, was written.
func TestTold_ofALoginBeforeItsOwnIsAnswered(t *testing.T) {
	for what, phase := range map[string]directory.Phase{"signed in": directory.Ready, "signed out": directory.Ended} {
		w := newTestWorld(t)
		w.rules.Exclusive, w.tells = false, true
		w.login(0)
		w.deliverAll()
		w.late = true
		w.finish(storeDoes)
		w.elsewhere(what)
		for len(w.notices) > 0 {
			w.hear()
		}
		w.deliverAll()
		w.answerNow()
		w.deliverAll()
		w.stored(storeDoes) // read
		if w.shown.Phase != phase || phase == directory.Ready && w.shown.Incarnation != w.record.incarnation {
			t.Errorf("%s elsewhere: shows phase %d of %s", what, w.shown.Phase, w.names[w.shown.Incarnation])
		}
		w.drain()
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

// An end that is still to be written is not undone by a notice of a login before it.
func TestTold_ofALoginThatIsToBeDeleted(t *testing.T) {
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
	a := w.fly(keyA)
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
	w.landed(landRotated) // dropped
	w.drain()
	if w.record != nil || w.updates != 0 {
		t.Errorf("record %v, updates %d, want neither", w.record, w.updates)
	}
}

// A caller who asked an earlier login, or before a load that took long, gets nothing of a session
// whose own lifetime is over since.
func TestOutlived_answersNobody(t *testing.T) {
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
func TestOutlived_whileTheLeaseIsTaken(t *testing.T) {
	w := newWorld(t)
	underLeases(w)
	in, s := w.newLogin(0)
	s.Internal.EndsAt = w.now.Unix() + 60
	w.record = &record{w.version(), in, s}
	w.load()
	j := w.takeSlot(keyA)
	w.pass()
	w.stored(storeDoes) // begin
	if w.air != nil || w.shown.Reason != session.ReasonLifetime || j.answer.Err == nil {
		t.Errorf("in the air %v, shows %q, %v", w.air != nil, w.shown.Reason, j.answer.Err)
	}
	w.drain()
}

func TestLogout_afterTheCeilingTakesTheRemainder(t *testing.T) {
	w := withCeiling(t)
	w.fly(keyGoogle)
	w.landed(landPlain)
	w.stored(storeDoes)
	j := w.fly(session.ConnectionKey("github", ""))
	w.pass()
	w.now = w.now.Add(-30 * time.Second)
	w.reachCeiling()
	w.deliverAll()
	if n := len(w.shown.State().ConnectionTokenSets); n != 1 {
		t.Errorf("connection tokens that stay = %d, want 1", n)
	}
	w.logout(session.Incarnation{})
	w.deliverAll()
	if n := len(w.shown.State().ConnectionTokenSets); n != 0 || !j.landed {
		t.Errorf("connection tokens after a logout = %d, landed %v", n, j.landed)
	}
	w.landed(landRotated)
	w.drain()
	if n := len(w.ends[len(w.ends)-1].State().ConnectionTokenSets); n != 0 {
		t.Errorf("connection tokens after a late answer = %d", n)
	}
}
