package test_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store/storetest"
)

// askStepUp has the rig's client ask the users of q for a sign-in later than that time.
func (r *rig) askStepUp(q tokenward.EndRequest, after time.Time) int {
	r.t.Helper()
	q.Issuer, q.BeganBy = r.tenant.Issuer(), after
	n, err := r.client.AskStepUp(r.t.Context(), q, tokenward.StoreOptions{})
	if err != nil {
		r.t.Fatalf("AskStepUp: %v", err)
	}
	return n
}

// asked reports whether a client asks the user of a session to sign in again, for what needs nothing else.
func (r *rig) asked(c *tokenward.Client, id string) bool {
	r.t.Helper()
	u, err := c.GetUser(context.Background(), tokenward.SessionID(id))
	if err != nil || u == nil {
		r.t.Fatalf("GetUser = %v, %v", u, err)
	}
	err = c.CheckStepUp(u, tokenward.StepUp{})
	if err != nil && tokenward.CodeOf(err) != "insufficient_user_authentication" {
		r.t.Fatal(err)
	}
	return err != nil
}

func signedIn(at time.Time) idptest.Claims { return idptest.Claims{"auth_time": at.Unix()} }

var adaNow = tokenward.EndRequest{Subject: idptest.Subject}

// The sessions that a request names are asked for a new sign-in, everywhere, whether they are in memory or asleep, and once. No other is.
func TestAskStepUp(t *testing.T) {
	const ada, bob = idptest.Subject, "auth0|bob"
	for name, tt := range map[string]struct {
		by   time.Duration // after t0; the sessions begin at 0 (phone), 1m (laptop) and 1h (tablet), bob's at 0
		q    tokenward.EndRequest
		asks []string
	}{
		"a user, now":                           {2 * time.Hour, tokenward.EndRequest{Subject: ada}, []string{"laptop", "phone", "tablet"}},
		"a user, at an earlier time":            {31 * time.Second, tokenward.EndRequest{Subject: ada}, []string{"phone"}}, // the laptop's sign-in is later than that
		"a user, before any session":            {-time.Minute, tokenward.EndRequest{Subject: ada}, nil},
		"a session":                             {2 * time.Hour, tokenward.EndRequest{SID: "laptop"}, []string{"laptop"}},
		"a session of another user":             {2 * time.Hour, tokenward.EndRequest{SID: "laptop", Subject: bob}, nil},
		"an address, and who has it":            {2 * time.Hour, tokenward.EndRequest{Email: "Ada@example.com"}, []string{"laptop", "phone", "tablet"}},
		"a session that began after it":         {time.Minute, tokenward.EndRequest{SID: "tablet"}, nil},
		"a session that was no new sign-in (1)": {time.Hour + 3*time.Second, tokenward.EndRequest{SID: "sso"}, []string{"sso"}},
		"a session that was no new sign-in (2)": {59*time.Minute + 29*time.Second, tokenward.EndRequest{SID: "sso"}, nil}, // it began 31 s after it
	} {
		for _, resident := range []bool{true, false} {
			r := newRig(t, withShared())
			r.tenant.SetUser(bob, nil)
			other := r.newClient()
			login := func(name string, claims idptest.Claims) string {
				claims["sid"] = name
				return r.login(signedIn(r.clock.Now()), claims)
			}
			ids := map[string]string{
				"phone": login("phone", idptest.Claims{"email": "ada@example.com", "email_verified": true}),
				"bob's": login("bob's", idptest.Claims{"sub": bob, "email": "bob@example.com"}),
			}
			r.clock.Advance(time.Minute)
			ids["laptop"] = login("laptop", idptest.Claims{"email": idptest.Absent})
			r.clock.Advance(59 * time.Minute)
			ids["tablet"] = login("tablet", idptest.Claims{})
			r.tenant.SetUser("eve", nil)
			ids["sso"] = login("sso", idptest.Claims{"sub": "eve", "email": "eve@example.com", "auth_time": t0.Unix()})
			for _, id := range ids {
				r.asked(other, id) // it has them in memory
			}
			if !resident {
				r.restart()
			}
			name = fmt.Sprint(name, ", resident ", resident)
			before := r.store.Updates()
			if n := r.askStepUp(tt.q, t0.Add(tt.by)); n != len(tt.asks) {
				t.Errorf("%s: asked %d, want %d", name, n, len(tt.asks))
			}
			if n := r.askStepUp(tt.q, t0.Add(tt.by)); n != 0 {
				t.Errorf("%s: asked %d more when it came again", name, n)
			}
			r.want(name+": updates", r.store.Updates()-before, len(tt.asks))
			for session, id := range ids {
				want := slices.Contains(tt.asks, session)
				if got := r.asked(r.client, id); got != want {
					t.Errorf("%s: %s is asked: %v", name, session, got)
				}
				await.Eventually(t, name+": the other process asks, or not", func() bool { return r.asked(other, id) == want })
			}
		}
	}
}

// The user is asked until a login of the same session brings a sign-in that is later: none without one, none in other ways. Then no event that
// comes again, or late, asks once more.
func TestAskStepUp_untilALogin(t *testing.T) {
	r := newRig(t)
	id := r.login(signedIn(t0))
	o := tokenward.SessionID(id)
	r.clock.Advance(time.Hour)
	event := r.clock.Now()
	r.askStepUp(adaNow, event)
	r.askStepUp(adaNow, event.Add(-time.Minute)) // an earlier one comes later
	r.clock.Advance(time.Minute)

	u, err := r.client.GetUser(t.Context(), o)
	if err != nil || u.StepUpAfter() != event.Unix() {
		t.Errorf("StepUpAfter = %d, %v, want %d", u.StepUpAfter(), err, event.Unix())
	}
	for need, want := range map[time.Duration]time.Duration{0: 30 * time.Second, 10 * time.Second: 10 * time.Second, time.Hour: 30 * time.Second} {
		again := new(tokenward.StepUpError) // what the provider is asked for: 30 s of leeway are left out
		if err := r.client.CheckStepUp(u, tokenward.StepUp{MaxAge: need, ACRValues: []string{"mfa"}}); !errors.As(err, &again) ||
			again.Need.MaxAge != want || !slices.Equal(again.Need.ACRValues, []string{"mfa"}) {
			t.Errorf("CheckStepUp of %v = %v, with %+v; want max_age %v", need, err, again.Need, want)
		}
	}
	for name, claims := range map[string]idptest.Claims{
		"one that says no auth_time": {}, "one of before": signedIn(event.Add(-time.Minute)), "one of the same second": signedIn(event),
		"one to come, in milliseconds": {"auth_time": event.Add(time.Second).UnixMilli()},
	} {
		res, err := r.tryLogin(o, claims)
		if err != nil || !r.asked(r.client, id) || tokenward.CodeOf(r.client.CheckStepUp(res.Session.User, tokenward.StepUp{})) == "" {
			t.Errorf("after a login with %s nothing is asked; %v", name, err)
		}
	}
	if r.loginAs(o, signedIn(event.Add(time.Second))); r.asked(r.client, id) {
		t.Error("after a new sign-in the user is still asked")
	}
	if n := r.askStepUp(adaNow, event); n != 0 || r.asked(r.client, id) {
		t.Errorf("the event came again: %d asked", n)
	}
	if n := r.askStepUp(adaNow, r.clock.Now()); n != 1 || !r.asked(r.client, id) {
		t.Errorf("a later event: %d asked, want 1", n)
	}
	if r.loginAs(o, idptest.Claims{"sub": "another"}); r.asked(r.client, id) {
		t.Error("another user is asked in her place")
	}
}

// A browser that signs in gets another session id; it is asked all the same.
func TestAskStepUp_theNextLoginOfABrowser(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	b.login()
	r.clock.Advance(time.Minute)
	r.askStepUp(adaNow, r.clock.Now())
	r.clock.Advance(time.Minute)
	if id := b.login(); !r.asked(r.client, id) {
		t.Error("a login that was no new sign-in took the wish away")
	}
}

// A login that is under way when its user is asked is asked too, unless its sign-in is later.
func TestAskStepUp_loginUnderWay(t *testing.T) {
	for name, tt := range map[string]struct {
		signedIn time.Time
		late     bool // the event comes after the sign-in
		want     bool
	}{
		"a sign-in of before":       {t0.Add(-time.Hour), false, true},
		"a sign-in of afterwards":   {t0.Add(2 * time.Second), false, false},
		"while it is being written": {t0.Add(-time.Hour), true, true},
	} {
		r := newRig(t)
		back := r.callback(tokenward.LoginRequest{}, signedIn(tt.signedIn))
		ask := func() {
			if n := r.askStepUp(adaNow, t0.Add(time.Second)); n != 0 {
				t.Errorf("%s: asked %d before there was a session", name, n)
			}
		}
		if !tt.late {
			ask()
		}
		hold := r.store.Hold(storetest.OpReplace)
		answer := make(chan string, 1)
		go func() {
			res, err := r.complete(back)
			if err != nil {
				t.Error(err)
				answer <- ""
				return
			}
			answer <- res.SessionID
		}()
		if err := hold.Wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if tt.late {
			ask()
		}
		hold.Release()
		if got := r.asked(r.client, <-answer); got != tt.want {
			t.Errorf("%s: asked %v, want %v", name, got, tt.want)
		}
		updates := 0 // an event that came before has its wish stored with the login: a crash in between loses nothing
		if tt.late {
			updates = 1
		}
		r.want(name+": updates", r.store.Updates(), updates)
		r.clock.Advance(time.Minute)
		if id := r.login(signedIn(t0.Add(-time.Hour))); r.asked(r.client, id) {
			t.Errorf("%s: a session that began a minute after the event is asked", name)
		}
	}
}

// Of wishes, values of the application and refreshes at once, in several processes, none takes another away.
func TestAskStepUp_besideRefreshes(t *testing.T) {
	r := newRig(t, withShared())
	id := r.login(signedIn(t0))
	clients := []*tokenward.Client{r.client, r.newClient(), r.newClient()}
	r.clock.Advance(time.Minute)
	event := r.clock.Now()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for range 10 {
				if err := c.UpdateSession(context.Background(), count, tokenward.SessionID(id)); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			q := tokenward.EndRequest{Issuer: r.tenant.Issuer(), Subject: idptest.Subject, BeganBy: event.Add(-time.Duration(i) * time.Second)}
			if _, err := c.AskStepUp(context.Background(), q, tokenward.StoreOptions{}); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			o := tokenward.TokenRequest{Audience: fmt.Sprintf("https://api%d.example.com", i)}
			if _, err := c.GetAccessToken(context.Background(), o, tokenward.SessionID(id)); err != nil {
				t.Error(err)
			}
		})
	}
	r.finish(&wg)
	c := r.newClient()
	u, err := c.GetUser(t.Context(), tokenward.SessionID(id))
	if err != nil || u.StepUpAfter() != event.Unix() || r.counted(c, id) != 10*len(clients) {
		t.Errorf("StepUpAfter = %d, %v, n = %d; want %d and %d", u.StepUpAfter(), err, r.counted(c, id), event.Unix(), 10*len(clients))
	}
	s, err := c.GetSession(t.Context(), tokenward.SessionID(id))
	if err != nil || len(s.TokenSets) != 1+len(clients) {
		t.Errorf("GetSession = %v, %v; want %d token sets", s, err, 1+len(clients))
	}
}

// Where the store fails, the call does; when it comes again it asks. An end takes the wish, and a wish brings no session back.
func TestAskStepUp_storeFailsAndEnds(t *testing.T) {
	r := newRig(t, withShared())
	id := r.login(signedIn(t0), idptest.Claims{"session_expiry": t0.Add(time.Hour).Unix()})
	r.clock.Advance(time.Minute)
	event, q := r.clock.Now(), tokenward.EndRequest{Issuer: r.tenant.Issuer(), Subject: idptest.Subject}
	for _, op := range []storetest.Op{storetest.OpFind, storetest.OpLoad, storetest.OpUpdate} {
		r.store.Fail(op, 1)
		if _, err := r.client.AskStepUp(t.Context(), q, tokenward.StoreOptions{}); !errors.Is(err, tokenward.ErrStore) {
			t.Errorf("AskStepUp while %v fails: %v, want ErrStore", op, err)
		}
	}
	r.askStepUp(adaNow, event)
	if !r.asked(r.newClient(), id) {
		t.Error("the store does not have the wish")
	}
	r.clock.Advance(time.Hour - time.Minute)
	if n := r.askStepUp(adaNow, r.clock.Now()); n != 0 || r.lives(id) {
		t.Errorf("at the ceiling %d are asked, and the session lives: %v", n, r.lives(id))
	}
	for _, q := range []tokenward.EndRequest{{Issuer: "auth0|ada", Subject: idptest.Subject}, {Issuer: "https://tenant.example/"}} {
		if _, err := r.client.AskStepUp(t.Context(), q, tokenward.StoreOptions{}); tokenward.CodeOf(err) != session.CodeInvalidArgument {
			t.Errorf("AskStepUp(%+v) = %v", q, err)
		}
	}
}
