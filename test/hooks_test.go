package test_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// heard notes what hooks are told.
type heard struct {
	mu        sync.Mutex
	ends      []tokenward.SessionEnd
	refreshed []tokenward.Refreshed
	failures  []tokenward.RefreshFailure
}

func (h *heard) hooks() tokenward.Hooks {
	return tokenward.Hooks{
		SessionEnded: func(_ context.Context, e tokenward.SessionEnd) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.ends = append(h.ends, e)
		},
		AfterRefresh: func(_ context.Context, r tokenward.Refreshed) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.refreshed = append(h.refreshed, r)
		},
		RefreshFailed: func(_ context.Context, f tokenward.RefreshFailure) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.failures = append(h.failures, f)
		},
	}
}

// reasons returns why sessions have ended, in order, and forgets them.
func (h *heard) reasons() (all []session.Reason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.ends {
		all = append(all, e.Reason)
	}
	h.ends = nil
	return all
}

// Settle waits for hooks under way, and for those that wait.
func TestSettle_waitsForHooks(t *testing.T) {
	var heard atomic.Int64
	begun, let := make(chan struct{}, 2), make(chan struct{})
	r := newRig(t, withClient(tokenward.WithHooks(tokenward.Hooks{SessionEnded: func(context.Context, tokenward.SessionEnd) {
		begun <- struct{}{}
		<-let
		heard.Add(1)
	}})))
	for range 2 {
		r.logOut(tokenward.SessionID(r.login()))
	}
	<-begun
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.client.Settle(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("Settle while a hook runs: %v", err)
	}
	close(let)
	if err := r.client.Settle(t.Context()); err != nil || heard.Load() != 2 {
		t.Errorf("Settle: %v, heard of %d ends, want 2", err, heard.Load())
	}
}

func TestHooks_afterLogin(t *testing.T) {
	denied := errors.New("no account")
	var got *tokenward.Login
	r := newRig(t, withClient(tokenward.WithHooks(tokenward.Hooks{AfterLogin: func(_ context.Context, l *tokenward.Login) error {
		got = l
		if l.User.Sub() == "stranger" {
			return denied
		}
		return l.Data.Set("role", "admin")
	}})))
	id := r.login()
	data, err := r.client.GetSessionData(t.Context(), tokenward.SessionID(id))
	if err != nil || string(data["role"]) != `"admin"` || got.User.Sub() == "" {
		t.Errorf("data = %v, %v", data, err)
	}
	_, err = r.tryLogin(tokenward.SessionID("mine"), idptest.Claims{"sub": "stranger"})
	var refused *tokenward.LoginRefusedError
	if !errors.As(err, &refused) || !errors.Is(err, denied) || tokenward.CodeOf(err) != session.CodeLoginRefused {
		t.Errorf("a login that the hook refuses: %v", err)
	}
	if user, err := r.client.GetUser(t.Context(), tokenward.SessionID("mine")); user != nil || err != nil {
		t.Errorf("a session was stored: %v, %v", user, err)
	}
}

func TestHooks_beforeSave(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithUserUpdates(), tokenward.WithHooks(tokenward.Hooks{
		BeforeSave: func(_ context.Context, user tokenward.User) (tokenward.User, error) {
			delete(user, "email")
			user["sub"], user["role"] = "another", "admin"
			return user, nil
		},
	})))
	id := r.login(idptest.Claims{"email": "ann@example.com", "sub": "ann"})
	check := func(when string) {
		t.Helper()
		user, err := r.client.GetUser(t.Context(), tokenward.SessionID(id))
		if err != nil || user["role"] != "admin" || user.Email() != "" || user.Sub() != "ann" {
			t.Errorf("%s: user = %v, %v", when, user, err)
		}
	}
	check("after the login")
	r.clock.Advance(idptest.TokenLife)
	if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
		t.Fatal(err)
	}
	check("after a refresh")
}

// A hook that fails at a refresh leaves the user as it was, and the refresh goes on.
func TestHooks_beforeSaveFailsAtARefresh(t *testing.T) {
	for name, fails := range map[string]func(context.Context) error{
		"error": func(context.Context) error { return errors.New("no") },
		"panic": func(context.Context) error { panic("a defect") },
	} {
		t.Run(name, func(t *testing.T) {
			logins := 0
			r := newRig(t, withClient(tokenward.WithUserUpdates(), tokenward.WithHooks(tokenward.Hooks{
				BeforeSave: func(ctx context.Context, user tokenward.User) (tokenward.User, error) {
					if logins++; logins > 1 {
						return nil, fails(ctx)
					}
					return user, nil
				},
			})))
			id := r.login(idptest.Claims{"name": "Ann"})
			r.clock.Advance(idptest.TokenLife)
			if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
				t.Fatal(err)
			}
			if user, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); err != nil || user.Name() != "Ann" || logins != 2 {
				t.Errorf("user = %v, %v; the hook was called %d times", user, err, logins)
			}
		})
	}
}

// A login fails where a hook panics, and nothing else does.
func TestHooks_panics(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithHooks(tokenward.Hooks{
		AfterLogin: func(_ context.Context, l *tokenward.Login) error {
			if l.User.Sub() == "bob" {
				panic("a defect")
			}
			return nil
		},
		SessionEnded: func(context.Context, tokenward.SessionEnd) { panic("a defect") },
	})))
	if _, err := r.tryLogin(tokenward.StoreOptions{}, idptest.Claims{"sub": "bob"}); !errors.Is(err, tokenward.ErrInternal) {
		t.Errorf("login = %v, want ErrInternal", err)
	}
	id := r.login()
	if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		t.Error(err)
	}
	r.settle()
	if n := r.client.Stats().Failures; n != 2 {
		t.Errorf("Failures = %d, want 2", n)
	}
}

func TestHooks_refreshes(t *testing.T) {
	h := &heard{}
	r := newRig(t, withClient(tokenward.WithHooks(h.hooks())))
	id := r.login(idptest.Claims{"sub": "ann"})
	r.clock.Advance(idptest.TokenLife)
	ask := func() error {
		_, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id))
		r.settle()
		return err
	}
	if err := errors.Join(ask(), ask()); err != nil {
		t.Fatal(err)
	}
	if len(h.refreshed) != 1 || h.refreshed[0].Session == (tokenward.Key{}) || !h.refreshed[0].ExpiresAt.After(r.clock.Now()) {
		t.Errorf("told of %+v, want one refresh", h.refreshed)
	}
	r.clock.Advance(idptest.TokenLife)
	user, err := r.client.GetUser(t.Context(), tokenward.SessionID(id))
	if err != nil {
		t.Fatal(err)
	}
	sid, _ := user["sid"].(string)
	if err := r.tenant.Revoke(sid); err != nil {
		t.Fatal(err)
	}
	err = ask()
	if len(h.failures) != 1 || !tokenward.LoginRequired(h.failures[0].Err) || tokenward.CodeOf(h.failures[0].Err) != tokenward.CodeOf(err) || h.failures[0].Lost {
		t.Errorf("told of %+v; the caller got %v", h.failures, err)
	}
}

// Each end is told once, with its reason.
func TestHooks_sessionEnded(t *testing.T) {
	h := &heard{}
	r := newRig(t, withClient(tokenward.WithHooks(h.hooks())))
	logout := func(id string) {
		t.Helper()
		if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, reasons ...session.Reason) {
		t.Helper()
		r.settle()
		if got := h.reasons(); !slices.Equal(got, reasons) {
			t.Errorf("%s: told of %v, want %v", what, got, reasons)
		}
	}
	id := r.login(idptest.Claims{"sub": "ann"})
	logout(id)
	r.settle()
	if len(h.ends) != 1 || h.ends[0].Subject != "ann" || h.ends[0].SID == "" {
		t.Errorf("told of %+v", h.ends)
	}
	want("logout", session.ReasonLogout)
	logout(id)
	want("a second logout")

	for name, end := range map[string]func(key tokenward.Key) error{
		"EndSession": func(key tokenward.Key) error { return r.client.EndSession(t.Context(), key, tokenward.StoreOptions{}) },
		"EndSessions": func(tokenward.Key) error {
			_, err := r.client.EndSessions(t.Context(), tokenward.EndRequest{Issuer: r.tenant.Issuer(), Subject: "bob"}, tokenward.StoreOptions{})
			return err
		},
		"EndSessionsOf": func(tokenward.Key) error {
			_, err := r.client.EndSessionsOf(t.Context(), r.tenant.Issuer(), tokenward.StoreOptions{})
			return err
		},
	} {
		r.clock.Advance(time.Second)
		id = r.login(idptest.Claims{"sub": "bob"})
		if err := end(key(id)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want(name, session.ReasonAdministration)
		var gone *store.GoneError
		if _, err := r.memory.Load(t.Context(), key(id), store.Options{}); !errors.As(err, &gone) || gone.Reason != session.ReasonAdministration {
			t.Errorf("%s: the store has %v", name, err)
		}
	}
	r.clock.Advance(time.Second)
	r.login(idptest.Claims{"sub": "bob", "sid": "of bob"})
	if err := r.backchannel(r.tenant.LogoutToken("bob", "of bob")); err != nil {
		t.Fatal(err)
	}
	want("the provider", session.ReasonBackchannelLogout)

	id = r.login()
	r.loginAs(tokenward.SessionID(id))
	want("a login in its place", session.ReasonReplaced)

	r.advance(time.Hour) // it is out of memory
	if n := r.client.Stats().Resident; n != 0 {
		t.Fatalf("%d sessions are in memory", n)
	}
	logout(id)
	want("logout of one that was not in memory", session.ReasonLogout)

	for range 3 {
		r.login(idptest.Claims{"session_expiry": r.clock.Now().Add(time.Hour).Unix()})
	}
	r.advance(30 * time.Minute)
	r.login(idptest.Claims{"session_expiry": r.clock.Now().Add(30 * time.Minute).Unix()})
	r.advance(30 * time.Minute)
	want("ceilings, in memory or not", slices.Repeat([]session.Reason{session.ReasonCeiling}, 4)...)
}

// A hook that does not return holds up neither a session nor the supervisor.
func TestHooks_slow(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, withClient(tokenward.WithHooks(tokenward.Hooks{
		SessionEnded: func(context.Context, tokenward.SessionEnd) { <-release },
	})))
	for range 3 {
		id := r.login()
		if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	r.settle()
}
