package test_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store/storetest"
)

// count adds one to a counter that the application keeps in a session.
func count(data tokenward.SessionData) error {
	n := 0
	if _, err := data.Get("n", &n); err != nil {
		return err
	}
	return data.Set("n", n+1)
}

// counted returns that counter.
func (r *rig) counted(c *tokenward.Client, id string) int {
	r.t.Helper()
	data, err := c.GetSessionData(context.Background(), tokenward.SessionID(id))
	if err != nil {
		r.t.Fatal(err)
	}
	n := 0
	if _, err := data.Get("n", &n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

func TestUpdateSession_isKept(t *testing.T) {
	r := newRig(t, withShared())
	id := r.login()
	if err := r.client.Session(id).UpdateSession(t.Context(), count); err != nil {
		t.Fatal(err)
	}
	s, err := r.client.GetSession(t.Context(), tokenward.SessionID(id))
	if err != nil || string(s.Data["n"]) != "1" {
		t.Errorf("GetSession = %v, %v", s, err)
	}
	s.Data["n"][0] = '9' // a copy
	if n := r.counted(r.client, id); n != 1 {
		t.Errorf("n = %d, want 1", n)
	}

	// It survives a refresh, and another process has it.
	r.clock.Advance(idptest.TokenLife)
	if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
		t.Fatal(err)
	}
	if n := r.counted(r.newClient(), id); n != 1 {
		t.Errorf("after a refresh another client reads n = %d, want 1", n)
	}
}

// finish returns when the calls of several processes have. The clock goes on for that: one process waits for another's lease.
func (r *rig) finish(calls *sync.WaitGroup) {
	r.t.Helper()
	done := make(chan struct{})
	go func() { calls.Wait(); close(done) }()
	over := func() bool {
		select {
		case <-done:
			return true
		default:
			r.clock.Advance(100 * time.Millisecond)
			return false
		}
	}
	if !await.Within(time.Minute, over) {
		r.t.Fatal("the calls do not end")
	}
}

// Of any number of updates at once, by several processes and beside refreshes, none is lost.
func TestUpdateSession_noneIsLost(t *testing.T) {
	r := newRig(t, withShared())
	id := r.login()
	clients := []*tokenward.Client{r.client, r.newClient(), r.newClient()}
	const each = 20
	var wg sync.WaitGroup
	for i, c := range clients {
		for range each {
			wg.Go(func() {
				if err := c.UpdateSession(context.Background(), count, tokenward.SessionID(id)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			o := tokenward.TokenRequest{Audience: fmt.Sprintf("https://api%d.example.com", i)}
			if _, err := c.GetAccessToken(context.Background(), o, tokenward.SessionID(id)); err != nil {
				t.Error(err)
			}
		})
	}
	r.finish(&wg)
	if n := r.counted(r.newClient(), id); n != each*len(clients) {
		t.Errorf("n = %d, want %d", n, each*len(clients))
	}
}

func TestUpdateSession_whatItRefuses(t *testing.T) {
	r := newRig(t)
	id := r.login()
	o := tokenward.SessionID(id)
	mine := errors.New("mine")
	for name, tt := range map[string]struct {
		update func(tokenward.SessionData) error
		want   error
	}{
		"an error of the function": {func(d tokenward.SessionData) error { _ = d.Set("a", 1); return mine }, mine},
		"too much": {
			func(d tokenward.SessionData) error { return d.Set("a", strings.Repeat("v", 4096)) },
			&tokenward.InvalidArgumentError{Argument: "data"},
		},
		"no JSON": {func(d tokenward.SessionData) error { d["a"] = []byte("{"); return nil }, &tokenward.InvalidArgumentError{Argument: "data"}},
	} {
		if err := r.client.UpdateSession(t.Context(), tt.update, o); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if data, err := r.client.GetSessionData(t.Context(), o); err != nil || data == nil || len(data) != 0 {
		t.Errorf("data = %v, %v; want none", data, err)
	}
	if err := r.client.UpdateSession(t.Context(), count, tokenward.SessionID("nobody's")); !errors.Is(err, tokenward.ErrMissingSession) {
		t.Errorf("without a session: %v", err)
	}
	if err := r.client.UpdateSession(t.Context(), count, tokenward.StoreOptions{}); !errors.Is(err, &tokenward.InvalidArgumentError{Argument: "session"}) {
		t.Errorf("a call that names no session: %v", err)
	}
}

// An end takes the values, and brings no session back.
func TestUpdateSession_afterTheEnd(t *testing.T) {
	r := newRig(t)
	id := r.login(idptest.Claims{"session_expiry": t0.Add(time.Hour).Unix()})
	o := tokenward.SessionID(id)
	ended := r.client.UpdateSession(t.Context(), func(d tokenward.SessionData) error {
		if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, o); err != nil {
			t.Error(err)
		}
		return count(d)
	}, o)
	if !errors.Is(ended, tokenward.ErrMissingSession) {
		t.Errorf("an update that a logout overtakes: %v", ended)
	}
	if data, err := r.client.GetSessionData(t.Context(), o); data != nil || err != nil {
		t.Errorf("data = %v, %v; want no session", data, err)
	}

	id = r.login(idptest.Claims{"session_expiry": t0.Add(time.Hour).Unix()})
	r.clock.Advance(time.Hour - session.CeilingLeeway)
	if err := r.client.UpdateSession(t.Context(), count, tokenward.SessionID(id)); !errors.Is(err, tokenward.ErrSessionExpired) {
		t.Errorf("at the ceiling: %v", err)
	}
	if n := r.tenant.Refreshes(); n != 0 {
		t.Errorf("refreshes = %d, want 0", n)
	}
}

// A request on the wire is not waited for, and keeps its intent; its answer keeps the values.
func TestUpdateSession_duringARefresh(t *testing.T) {
	r := newRig(t, withShared())
	id := r.login()
	o := tokenward.SessionID(id)
	r.clock.Advance(idptest.TokenLife)
	held := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
	answered := make(chan error, 1)
	go func() {
		_, err := r.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, o)
		answered <- err
	}()
	if err := held.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := r.client.UpdateSession(t.Context(), count, o); err != nil {
		t.Fatal(err)
	}
	if n := r.counted(r.newClient(), id); n != 1 {
		t.Errorf("another client reads n = %d, want 1", n)
	}
	held.Release()
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if n := r.counted(r.newClient(), id); n != 1 {
		t.Errorf("after the refresh n = %d, want 1", n)
	}
}

// Where the store fails, the caller hears of it, and the values are written later.
func TestUpdateSession_storeFails(t *testing.T) {
	r := newRig(t, withShared())
	id := r.login()
	o := tokenward.SessionID(id)
	r.store.Fail(storetest.OpUpdate, 1)
	if err := r.client.UpdateSession(t.Context(), count, o); !errors.Is(err, tokenward.ErrStore) {
		t.Fatalf("UpdateSession = %v, want ErrStore", err)
	}
	r.advance(10 * time.Second) // the next try is timed
	if n := r.counted(r.newClient(), id); n != 1 {
		t.Errorf("n = %d, want 1", n)
	}
}

// A login of the same user keeps the values, as a step-up does; another user gets none.
func TestUpdateSession_theNextLogin(t *testing.T) {
	r := newRig(t)
	id := r.login()
	o := tokenward.SessionID(id)
	if err := r.client.UpdateSession(t.Context(), count, o); err != nil {
		t.Fatal(err)
	}
	res, err := r.tryLogin(o)
	if err != nil || string(res.Session.Data["n"]) != "1" || r.counted(r.client, id) != 1 {
		t.Errorf("the same user: %v, n = %d", err, r.counted(r.client, id))
	}
	r.loginAs(o, idptest.Claims{"sub": "another"})
	if n := r.counted(r.client, id); n != 0 {
		t.Errorf("another user reads n = %d", n)
	}
}

// In a browser the login gets a new session id.
func TestUpdateSession_theNextLoginOfABrowser(t *testing.T) {
	for name, opts := range map[string][]rigOption{"state store": nil, "cookies": {withClient(tokenward.WithStatelessSessions())}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, opts...)
			b := newBrowser(r)
			b.login()
			if err := r.client.UpdateSession(t.Context(), count, b.options()); err != nil {
				t.Fatal(err)
			}
			b.took()
			first := b.login()
			data, err := r.client.GetSessionData(t.Context(), b.options())
			if string(data["n"]) != "1" || err != nil || first == "" {
				t.Errorf("the same user: data = %v, %v", data, err)
			}
			b.took()
			r.tenant.NextLogin(idptest.Claims{"sub": "another"})
			b.login()
			if data, err = r.client.GetSessionData(t.Context(), b.options()); len(data) != 0 || data == nil || err != nil {
				t.Errorf("another user: data = %v, %v", data, err)
			}
		})
	}
}

// The function of an update may panic, which its caller sees, and may update the session itself; no update is lost for that.
func TestUpdateSession_theFunction(t *testing.T) {
	r := newRig(t)
	id := r.login()
	h := r.client.Session(id)
	func() {
		defer func() {
			if recover() != "a defect" {
				t.Error("the caller does not see the panic")
			}
		}()
		_ = h.UpdateSession(t.Context(), func(d tokenward.SessionData) error {
			_ = count(d)
			panic("a defect")
		})
	}()
	if n := r.counted(r.client, id); n != 0 {
		t.Errorf("n = %d after a panic, want 0", n)
	}
	calls := 0
	err := h.UpdateSession(t.Context(), func(d tokenward.SessionData) error {
		if calls++; calls == 1 {
			if err := h.UpdateSession(t.Context(), count); err != nil {
				t.Error(err)
			}
		}
		return count(d)
	})
	if n := r.counted(r.client, id); err != nil || n != 2 || calls != 2 {
		t.Errorf("%v, n = %d after %d calls, want 2 after 2", err, n, calls)
	}
}

// Hundreds of updates at once are all kept.
func TestUpdateSession_hundredsAtOnce(t *testing.T) {
	r := newRig(t)
	id := r.login()
	var all sync.WaitGroup
	for range 250 {
		all.Go(func() {
			if err := r.client.UpdateSession(context.Background(), count, tokenward.SessionID(id)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := r.counted(r.client, id); n != 250 {
		t.Errorf("n = %d, want 250", n)
	}
}

// Updates that meet logins of one user after another under one session id give none the values of another.
func TestUpdateSession_besideLogins(t *testing.T) {
	r := newRig(t)
	o := tokenward.SessionID("shared")
	r.loginAs(o, idptest.Claims{"sub": "ann"})
	over := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				user, err := r.client.GetUser(context.Background(), o)
				if err != nil || user == nil {
					t.Errorf("GetUser = %v, %v", user, err)
					return
				}
				err = r.client.UpdateSession(context.Background(), func(d tokenward.SessionData) error { return d.Set("seen", true) }, o)
				if err != nil && !errors.Is(err, tokenward.ErrMissingSession) {
					t.Error(err)
				}
			}
		})
	}
	for i := range 100 {
		sub := []string{"bob", "ann"}[i%2]
		res, err := r.tryLogin(o, idptest.Claims{"sub": sub})
		if err != nil || len(res.Session.Data) != 0 {
			t.Errorf("%s begins with %s, %v; want nothing of the other user", sub, res.Session.Data, err)
		}
	}
	close(over)
	all.Wait()
}
