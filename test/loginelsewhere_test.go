package test_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/storetest"
)

// elsewhere is two processes on one store: the rig's client, which ends sessions, and another, at which a browser signs in.
type elsewhere struct {
	*rig
	other   *tokenward.Client
	way     *storetest.Faulty // the other's way to the store
	browser *browser
}

func newElsewhere(t *testing.T, opts ...rigOption) *elsewhere {
	r := newRig(t, append([]rigOption{withShared()}, opts...)...)
	e := &elsewhere{rig: r, way: storetest.NewFaulty(r.memory), browser: newBrowser(r)}
	e.other = r.newClient(tokenward.WithStateStore(e.way))
	return e
}

// ada is who signs in elsewhere.
var ada = idptest.Claims{"sid": "sid-1", "email": "ada@example.com", "email_verified": true}

// begin begins a login at the other process and returns the callback.
func (e *elsewhere) begin(claims ...idptest.Claims) (back string) {
	e.t.Helper()
	to, err := e.other.StartInteractiveLogin(e.t.Context(), tokenward.LoginRequest{}, e.browser.options())
	if err != nil {
		e.t.Fatal(err)
	}
	e.browser.took()
	if back, err = e.tenant.Authorize(to, append([]idptest.Claims{ada}, claims...)...); err != nil {
		e.t.Fatal(err)
	}
	return back
}

type loggedIn struct {
	id  string
	err error
}

// complete completes a login at the other process.
func (e *elsewhere) complete(back string) <-chan loggedIn {
	done := make(chan loggedIn, 1)
	go func() {
		res, err := e.browser.complete(e.other, back)
		if res == nil {
			res = &tokenward.LoginResult{}
		}
		done <- loggedIn{res.SessionID, err}
	}()
	return done
}

// during has sign-outs come while a login is held at the gate, and returns what becomes of it.
func (e *elsewhere) during(gate *storetest.Gate, back string, signOut func()) loggedIn {
	e.t.Helper()
	done := e.complete(back)
	gate.Arrived(e.t, 1)
	signOut()
	gate.Release()
	l := <-done
	e.settleAll()
	return l
}

func (e *elsewhere) settleAll() {
	e.t.Helper()
	for _, c := range []*tokenward.Client{e.client, e.other} {
		if err := c.Settle(e.t.Context()); err != nil {
			e.t.Fatal(err)
		}
	}
}

// sessions returns how many sessions the store lists.
func (e *elsewhere) sessions() int {
	e.t.Helper()
	n, err := e.client.CountSessions(e.t.Context(), tokenward.SessionQuery{}, 0, tokenward.StoreOptions{})
	if err != nil {
		e.t.Fatal(err)
	}
	page, _, err := e.client.SessionPage(e.t.Context(), tokenward.SessionQuery{}, "", 0, tokenward.StoreOptions{})
	if err != nil || len(page) != n {
		e.t.Fatalf("a page of %d, counted %d, %v", len(page), n, err)
	}
	return n
}

// wantRefused fails unless the login was refused, nothing of it is in the store, and nothing in the browser.
func (e *elsewhere) wantRefused(what string, l loggedIn) {
	e.t.Helper()
	wantError[*tokenward.SessionExpiredError](e.t, what, l.err, "session_expired")
	e.wantNothing(what)
}

func (e *elsewhere) wantNothing(what string) {
	e.t.Helper()
	e.settleAll()
	e.want(what+": sessions", e.sessions(), 0)
	if e.browser.cookie != nil {
		e.t.Errorf("%s: the browser has a session", what)
	}
}

// logoutToken has the rig's client handle one.
func (e *elsewhere) logoutToken(sub, sid string, edit ...func(*idptest.Draft)) {
	e.t.Helper()
	edit = append(edit, func(d *idptest.Draft) { d.Claims["aud"] = "demo" })
	if err := e.backchannel(e.tenant.LogoutToken(sub, sid, edit...)); err != nil {
		e.t.Fatal(err)
	}
}

// A sign-out that reaches one process refuses the login that another completes at that moment, wherever that is: its session is not
// yet stored, or not yet handed out.
func TestSignOut_duringALoginElsewhere(t *testing.T) {
	ends := func(q tokenward.EndRequest) func(*elsewhere) {
		return func(e *elsewhere) {
			q.Issuer = e.tenant.Issuer()
			e.end(q)
		}
	}
	for name, tt := range map[string]struct {
		signOut func(*elsewhere)
		refused bool
	}{
		"a logout token of its sid":          {func(e *elsewhere) { e.logoutToken("", "sid-1") }, true},
		"a logout token of its user":         {func(e *elsewhere) { e.logoutToken(idptest.Subject, "") }, true},
		"a logout token of both":             {func(e *elsewhere) { e.logoutToken(idptest.Subject, "sid-1") }, true},
		"EndSessions of its sid":             {ends(tokenward.EndRequest{SID: "sid-1"}), true},
		"EndSessions of its user":            {ends(tokenward.EndRequest{Subject: idptest.Subject}), true},
		"EndSessions of its address":         {ends(tokenward.EndRequest{Email: "Ada@example.com"}), true},
		"EndSessions of its sid and address": {ends(tokenward.EndRequest{SID: "sid-1", Email: "ada@example.com"}), true},
		"EndSessionsOf its issuer": {func(e *elsewhere) {
			if _, err := e.client.EndSessionsOf(t.Context(), e.tenant.Issuer(), tokenward.StoreOptions{}); err != nil {
				t.Fatal(err)
			}
		}, true},
		"a later one, and then an earlier one": {func(e *elsewhere) {
			e.end(tokenward.EndRequest{Issuer: e.tenant.Issuer(), Subject: idptest.Subject})
			e.end(tokenward.EndRequest{Issuer: e.tenant.Issuer(), Subject: idptest.Subject, BeganBy: t0.Add(-time.Hour)})
		}, true},
		"a logout token of another sid":           {func(e *elsewhere) { e.logoutToken("", "sid-2") }, false},
		"EndSessions of another user":             {ends(tokenward.EndRequest{Subject: "auth0|bob"}), false},
		"EndSessions of an address as a sub":      {ends(tokenward.EndRequest{Subject: "ada@example.com"}), false},
		"EndSessions of who began by an hour ago": {ends(tokenward.EndRequest{Subject: idptest.Subject, BeganBy: t0.Add(-time.Hour)}), false},
		"EndSessionsOf another issuer": {func(e *elsewhere) {
			if _, err := e.client.EndSessionsOf(t.Context(), "https://other.example/", tokenward.StoreOptions{}); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		for place, hold := range map[string]func(*storetest.Faulty) *storetest.Gate{
			"before it is stored":    func(s *storetest.Faulty) *storetest.Gate { return s.Hold(storetest.OpReplace) },
			"while it is stored":     func(s *storetest.Faulty) *storetest.Gate { return s.HoldAfter(storetest.OpReplace) },
			"before it looks":        func(s *storetest.Faulty) *storetest.Gate { return s.Hold(storetest.OpFind) },
			"after the code's spent": nil,
		} {
			t.Run(name+", "+place, func(t *testing.T) {
				e := newElsewhere(t)
				back := e.begin()
				signOut := func() { tt.signOut(e) }
				var l loggedIn
				if hold == nil { // the sign-out is over when the login begins to be stored
					signOut()
					l = <-e.complete(back)
					e.settleAll()
				} else {
					l = e.during(hold(e.way), back, signOut)
				}
				if tt.refused {
					e.wantRefused("the login", l)
					return
				}
				if l.err != nil || e.sessions() != 1 || e.browser.cookie == nil {
					t.Errorf("the login: %v, %d sessions", l.err, e.sessions())
				}
			})
		}
	}
}

// The other way round: a sign-out, or a wish for a step-up, that has looked for sessions, and goes on later than the whole login.
func TestSignOut_duringWhichALoginElsewhereIsComplete(t *testing.T) {
	q := tokenward.EndRequest{Subject: idptest.Subject}
	for name, tt := range map[string]struct {
		looks   storetest.Op
		signOut func(*elsewhere) error
		asks    bool // it ends nothing
	}{
		"a logout token": {storetest.OpFind, func(e *elsewhere) error {
			return e.backchannel(e.tenant.LogoutToken(idptest.Subject, "", func(d *idptest.Draft) { d.Claims["aud"] = "demo" }))
		}, false},
		"EndSessions": {storetest.OpFind, func(e *elsewhere) error {
			_, err := e.client.EndSessions(t.Context(), q, tokenward.StoreOptions{})
			return err
		}, false},
		"EndSessionsOf": {storetest.OpList, func(e *elsewhere) error {
			_, err := e.client.EndSessionsOf(t.Context(), q.Issuer, tokenward.StoreOptions{})
			return err
		}, false},
		"AskStepUp": {storetest.OpFind, func(e *elsewhere) error {
			_, err := e.client.AskStepUp(t.Context(), q, tokenward.StoreOptions{})
			return err
		}, true},
	} {
		e := newElsewhere(t)
		q.Issuer = e.tenant.Issuer()
		back := e.begin(signedIn(t0.Add(-time.Hour)))
		looked := e.store.HoldAfter(tt.looks)
		done := make(chan error, 1)
		go func() { done <- tt.signOut(e) }()
		looked.Arrived(t, 1)
		l := <-e.complete(back)
		looked.Release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if !tt.asks {
			e.wantRefused(name, l)
		} else if l.err != nil || !e.asked(e.other, l.id) {
			t.Errorf("%s: the login: %v, and its user is not asked", name, l.err)
		}
	}
}

// A login that is younger than what ends its user goes on.
func TestSignOut_ofAYoungerLoginElsewhere(t *testing.T) {
	for name, signOut := range map[string]func(*elsewhere){
		"a logout token":             func(e *elsewhere) { e.logoutToken(idptest.Subject, "") },
		"EndSessions of its user":    func(e *elsewhere) { e.end(tokenward.EndRequest{Issuer: e.tenant.Issuer(), Subject: idptest.Subject}) },
		"EndSessions of its address": func(e *elsewhere) { e.end(tokenward.EndRequest{Issuer: e.tenant.Issuer(), Email: "ada@example.com"}) },
		"EndSessionsOf, of its issuer": func(e *elsewhere) {
			_, _ = e.client.EndSessionsOf(e.t.Context(), e.tenant.Issuer(), tokenward.StoreOptions{})
		},
	} {
		e := newElsewhere(t)
		back := e.begin(idptest.Claims{"iat": t0.Unix() + 1})
		l := e.during(e.way.Hold(storetest.OpReplace), back, func() { signOut(e) })
		if l.err != nil || e.sessions() != 1 {
			t.Errorf("%s: the login: %v, %d sessions", name, l.err, e.sessions())
		}
	}
}

// What one process was told counts in the others for two minutes, as it does there.
func TestSignOut_isKnownElsewhereForTwoMinutes(t *testing.T) {
	e := newElsewhere(t)
	e.logoutToken("", "sid-1")
	e.clock.Advance(2*time.Minute - time.Second)
	e.wantRefused("after 1:59", <-e.complete(e.begin()))
	if l := <-e.complete(e.begin(idptest.Claims{"sid": "sid-2"})); l.err != nil {
		t.Errorf("another session: %v", l.err)
	}
	e.clock.Advance(2 * time.Second)
	if l := <-e.complete(e.begin()); l.err != nil {
		t.Errorf("after 2:01: %v", l.err)
	}
	e.settleAll()
	e.want("sessions", e.sessions(), 1) // the browser's first one was replaced
}

// Where a login can't learn what has ended, it is refused, with the store's error. A sign-out that other processes can't be told of fails, and may
// come again.
func TestSignOut_theStoreFailsBesideALoginElsewhere(t *testing.T) {
	for _, op := range []storetest.Op{storetest.OpFind, storetest.OpLoad} {
		e := newElsewhere(t)
		e.logoutToken(idptest.Subject, "", func(d *idptest.Draft) { d.Claims["iat"] = t0.Add(-time.Minute).Unix() }) // ends no login of now
		e.way.Fail(op, 1)
		l := <-e.complete(e.begin())
		if !errors.Is(l.err, tokenward.ErrStore) || !errors.Is(l.err, storetest.ErrFault) {
			t.Errorf("%s fails: the login: %v", op, l.err)
		}
		e.wantNothing(fmt.Sprintf("%s fails", op))
		if l := <-e.complete(e.begin()); l.err != nil {
			t.Errorf("%s failed: the next login: %v", op, l.err)
		}
	}
	e := newElsewhere(t)
	token := e.tenant.LogoutToken("", "sid-1", func(d *idptest.Draft) { d.Claims["aud"] = "demo" })
	e.store.Fail(storetest.OpReplace, 1)
	if err := e.backchannel(token); !errors.Is(err, tokenward.ErrStore) {
		t.Errorf("a logout token that the others can't be told of: %v", err)
	}
	if err := e.backchannel(token); err != nil {
		t.Errorf("once more: %v", err)
	}
	e.wantRefused("then", <-e.complete(e.begin()))
}

// Before or after a secret was changed, processes tell each other.
func TestSignOut_elsewhereWithAnotherSecretFirst(t *testing.T) {
	const younger = "the younger secret of at least thirty-two bytes"
	for _, secrets := range [][]string{{younger, secret}, {secret, younger}} {
		e := newElsewhere(t)
		e.cfg.Secrets = secrets
		e.other = e.newClient(tokenward.WithStateStore(e.way))
		l := e.during(e.way.Hold(storetest.OpReplace), e.begin(), func() { e.logoutToken("", "sid-1") })
		e.wantRefused(fmt.Sprint(secrets), l)
	}
}

// A sign-out takes one record of the store, however many sessions it ends and however often it comes. A front-channel request, which nothing
// authenticates, takes none.
func TestSignOut_whatItLeavesInTheStore(t *testing.T) {
	e := newElsewhere(t)
	for range 300 {
		e.login()
	}
	before := e.store.Replaces()
	if n := e.end(tokenward.EndRequest{Issuer: e.tenant.Issuer(), Subject: idptest.Subject}); n != 300 {
		t.Errorf("%d ended, want 300", n)
	}
	e.want("records written", e.store.Replaces()-before, 1)
	e.clock.Advance(2 * time.Minute)
	e.want("records two minutes later", e.memory.Len(), 0)

	token := e.tenant.LogoutToken(idptest.Subject, "sid-1", func(d *idptest.Draft) { d.Claims["aud"] = "demo" })
	for _, c := range []*tokenward.Client{e.client, e.other, e.client} {
		if err := c.HandleBackchannelLogout(t.Context(), token, tokenward.StoreOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	e.want("records of a token that reached both processes", e.memory.Len(), 1)

	before = e.store.Replaces()
	if err := e.frontchannel(e.cfg.Issuer, "made up"); err != nil {
		t.Fatal(err)
	}
	e.want("records of a front-channel request", e.store.Replaces()-before, 0)
}

// A login asks the store once more where processes share it, else not.
func TestSignOut_whatALoginAsks(t *testing.T) {
	e := newElsewhere(t)
	if l := <-e.complete(e.begin()); l.err != nil {
		t.Fatal(l.err)
	}
	e.want("finds of a login", e.way.Count(storetest.OpFind), 1)
	e.want("loads of a login", e.way.Loads(), 0)

	alone := newRig(t)
	alone.login()
	if err := alone.backchannel(alone.tenant.LogoutToken("", "sid-1", func(d *idptest.Draft) { d.Claims["aud"] = "demo" })); err != nil {
		t.Fatal(err)
	}
	alone.want("finds of a login and a logout token at a process alone", alone.store.Count(storetest.OpFind), 1)
	alone.want("records written", alone.store.Replaces(), 1)
}

// A login at another process is asked for a step-up, too.
func TestAskStepUp_loginElsewhere(t *testing.T) {
	for place, hold := range map[string]func(*storetest.Faulty) *storetest.Gate{
		"before it is stored": func(s *storetest.Faulty) *storetest.Gate { return s.Hold(storetest.OpReplace) },
		"while it is stored":  func(s *storetest.Faulty) *storetest.Gate { return s.HoldAfter(storetest.OpReplace) },
		"before it looks":     func(s *storetest.Faulty) *storetest.Gate { return s.Hold(storetest.OpFind) },
	} {
		for name, tt := range map[string]struct {
			q        tokenward.EndRequest
			signedIn time.Time
			want     bool
		}{
			"its sid":         {tokenward.EndRequest{SID: "sid-1"}, t0.Add(-time.Hour), true},
			"its user":        {tokenward.EndRequest{Subject: idptest.Subject}, t0.Add(-time.Hour), true},
			"its address":     {tokenward.EndRequest{Email: "ada@example.com"}, t0.Add(-time.Hour), true},
			"a later sign-in": {tokenward.EndRequest{Subject: idptest.Subject}, t0.Add(2 * time.Second), false},
			"another user":    {tokenward.EndRequest{Subject: "auth0|bob"}, t0.Add(-time.Hour), false},
		} {
			e := newElsewhere(t)
			l := e.during(hold(e.way), e.begin(signedIn(tt.signedIn)), func() { e.askStepUp(tt.q, t0.Add(time.Second)) })
			if l.err != nil {
				t.Errorf("%s, %s: %v", name, place, l.err)
				continue
			}
			for i, c := range []*tokenward.Client{e.other, e.newClient()} {
				if got := e.asked(c, l.id); got != tt.want {
					t.Errorf("%s, %s: process %d asks: %v", name, place, i, got)
				}
			}
			e.want("sessions", e.sessions(), 1)
		}
	}
}

// An end and a wish for a step-up, of one user and at two processes at once, take nothing from each other.
func TestSignOut_besideAStepUpAndAnotherSignOut(t *testing.T) {
	e := newElsewhere(t)
	first := e.newClient()
	gate := e.store.Hold(storetest.OpReplace)
	answers := make(chan error, 3)
	q := tokenward.EndRequest{Issuer: e.tenant.Issuer(), Subject: idptest.Subject}
	earlier := q
	earlier.BeganBy = t0.Add(-time.Hour)
	for _, do := range []func() error{
		func() error { _, err := first.EndSessions(t.Context(), q, tokenward.StoreOptions{}); return err },
		func() error {
			_, err := e.client.EndSessions(t.Context(), earlier, tokenward.StoreOptions{})
			return err
		},
		func() error { _, err := e.client.AskStepUp(t.Context(), q, tokenward.StoreOptions{}); return err },
	} {
		go func() { answers <- do() }()
	}
	gate.Arrived(t, 3)
	gate.Release()
	for range 3 {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	e.wantRefused("the login", <-e.complete(e.begin()))
	e.clock.Advance(time.Second)
	l := <-e.complete(e.begin(signedIn(t0.Add(-time.Hour))))
	if l.err != nil || !e.asked(e.other, l.id) {
		t.Errorf("the next login: %v, and no step-up is asked for", l.err)
	}
}

// A logout token of one application leaves the logins to another alone, at other processes too; EndSessions names all of the issuer.
func TestSignOut_ofOneApplicationElsewhere(t *testing.T) {
	for _, everywhere := range []bool{false, true} {
		e := newElsewhere(t, withTenant(idptest.WithClient("another", "another secret")))
		e.cfg.ClientID, e.cfg.ClientSecret = "another", "another secret"
		e.other = e.newClient(tokenward.WithStateStore(e.way))
		l := e.during(e.way.Hold(storetest.OpReplace), e.begin(), func() {
			if everywhere {
				e.end(tokenward.EndRequest{Issuer: e.tenant.Issuer(), Subject: idptest.Subject})
			} else {
				e.logoutToken(idptest.Subject, "")
			}
		})
		if everywhere {
			e.wantRefused("the login", l)
		} else if l.err != nil {
			t.Errorf("the login to another application: %v", l.err)
		}
	}
}
