package test_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// user asks who is signed in, as one request of the browser.
func (b *browser) user() tokenward.User {
	b.r.t.Helper()
	u, err := b.r.client.GetUser(b.r.t.Context(), b.options())
	if err != nil {
		b.r.t.Fatalf("GetUser: %v", err)
	}
	b.r.settle()
	b.took()
	return u
}

// set returns the Set-Cookie lines of the latest answer.
func (b *browser) set() []string { return b.answer.Header()["Set-Cookie"] }

func TestCookie_attributesAndAge(t *testing.T) {
	inAnHour := idptest.Claims{"session_expiry": t0.Add(time.Hour).Unix()}
	tests := []struct {
		name    string
		cookies tokenward.Cookies
		claims  idptest.Claims
		want    string
	}{
		{"as it is", tokenward.Cookies{}, nil, "_a0_session=; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"},
		{"secure", tokenward.Cookies{Secure: true}, nil, "__Host-_a0_session=; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		{"a domain", tokenward.Cookies{Domain: "app.example"}, nil, "_a0_session=; Path=/; Domain=app.example; Max-Age=86400; HttpOnly; SameSite=Lax"},
		{"fixed", tokenward.Cookies{Fixed: true}, nil, "_a0_session=; Path=/; Max-Age=259200; HttpOnly; SameSite=Lax"},
		{"a ceiling", tokenward.Cookies{}, inAnHour, "_a0_session=; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"}, // the server holds it
		{"fixed, a ceiling", tokenward.Cookies{Fixed: true}, inAnHour, "_a0_session=; Path=/; Max-Age=259200; HttpOnly; SameSite=Lax"},
		{"short", tokenward.Cookies{Inactivity: time.Hour, Absolute: time.Minute}, nil, "_a0_session=; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"},
	}
	for _, tt := range tests {
		opts := []rigOption{withClient(tokenward.WithCookies(tt.cookies))}
		if tt.cookies.Domain != "" {
			opts = append(opts, reachedAt("http://www.app.example/callback")...)
		}
		r := newRig(t, opts...)
		b := newBrowser(r)
		back, err := r.tenant.Authorize(r.start(tokenward.LoginRequest{}, b.options()), tt.claims)
		if err != nil {
			t.Fatal(err)
		}
		b.took()
		if _, err := r.client.CompleteInteractiveLogin(t.Context(), back, b.options()); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		for _, line := range b.set() {
			name, rest, _ := strings.Cut(line, "=")
			_, attributes, _ := strings.Cut(rest, ";")
			if got := name + "=;" + attributes; strings.Contains(name, "_a0_session") && got != tt.want {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
		}
	}
	for _, bad := range []tokenward.Cookies{{Inactivity: -1}, {Absolute: -1}, {Domain: "a b"}} {
		if _, err := tokenward.New(wellConfigured(), tokenward.WithCookies(bad)); tokenward.CodeOf(err) != "configuration_error" {
			t.Errorf("%+v: err = %v", bad, err)
		}
	}
}

// A session that is used lives until its absolute lifetime is over, and not longer.
func TestCookie_rolls(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	id := b.login()
	if b.user(); len(b.set()) != 0 {
		t.Errorf("a session that was noted just now: %q", b.set())
	}
	r.clock.Advance(73 * time.Minute)
	first := b.cookie.Value
	o := b.options()
	for range 3 {
		if u, err := r.client.GetUser(t.Context(), o); u == nil || err != nil {
			t.Fatalf("GetUser = %v, %v", u, err)
		}
	}
	r.settle()
	b.took()
	if n := len(b.set()); n != 1 || b.cookie.Value == first || b.cookie.MaxAge != 86400 {
		t.Errorf("%d cookies, new %v, for %d s; want one new, for a day", n, b.cookie.Value != first, b.cookie.MaxAge)
	}
	for range 3 {
		r.clock.Advance(23 * time.Hour)
		if b.user() == nil {
			t.Fatal("a session in use ended")
		}
	}
	if want := int((72*time.Hour - 73*time.Minute - 69*time.Hour).Seconds()); b.cookie.MaxAge != want {
		t.Errorf("Max-Age = %d, want %d: what is left of three days", b.cookie.MaxAge, want)
	}
	r.clock.Set(t0.Add(72*time.Hour - time.Second))
	if b.user() == nil {
		t.Error("it ended early")
	}
	r.clock.Advance(time.Second)
	if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id)); !errors.Is(err, tokenward.ErrMissingRefreshToken) {
		t.Errorf("by id, after three days: %v", err)
	}
	if b.user() != nil || len(b.set()) != 0 || r.memory.Len() != 0 {
		t.Errorf("after three days: Set-Cookie %q, records %d", b.set(), r.memory.Len())
	}
	if n := r.store.Ends(session.KeyOf("_a0_session", id)); n != 1 {
		t.Errorf("deletes = %d, want 1", n)
	}
}

func TestCookie_lapsesUnused(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	b.login()
	copied := *b.cookie
	r.clock.Advance(24*time.Hour - time.Second)
	if b.user() == nil {
		t.Fatal("it ended early")
	}
	r.clock.Advance(24*time.Hour - time.Second)
	other := newBrowser(r)
	other.cookie = &copied
	if other.user() != nil || len(other.set()) != 0 {
		t.Error("a cookie that was noted two days ago opens a session")
	}
	if b.user() == nil {
		t.Error("the session in use ended with it")
	}
	r.clock.Advance(24 * time.Hour)
	if b.user() != nil || len(b.set()) != 0 {
		t.Errorf("after a day unused: Set-Cookie %q", b.set())
	}
	r.clock.Advance(2 * time.Hour)
	if n := r.memory.Len(); n != 0 {
		t.Errorf("records = %d, want 0: the store has dropped it", n)
	}
}

// A cookie that lapsed opens nothing. Its session may live on, for calls that name its id, until its
// user signs out or in again.
func TestCookie_thatLapsedStillEndsItsSession(t *testing.T) {
	for name, end := range map[string]func(*browser){
		"logout": func(b *browser) { b.r.logOut(b.options()); b.took() },
		"login":  func(b *browser) { b.login() },
	} {
		r := newRig(t)
		b := newBrowser(r)
		id := b.login()
		r.clock.Advance(24*time.Hour - time.Second)
		r.token(id, tokenward.TokenRequest{})
		r.clock.Advance(2 * time.Second)
		deletes := r.store.Ends()
		end(b)
		if n := r.store.Ends() - deletes; n != 1 {
			t.Errorf("%s: deletes = %d, want 1", name, n)
		}
		if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id)); !errors.Is(err, tokenward.ErrMissingRefreshToken) {
			t.Errorf("%s: the session that it named: %v, want it ended", name, err)
		}
	}
}

// A store that cannot be told of it keeps a session that is used all the same.
func TestCookie_inAStoreThatCannotBeTouched(t *testing.T) {
	r := newRig(t)
	r.client = r.newClient(tokenward.WithStateStore(storetest.Without[store.Toucher](r.memory)))
	b := newBrowser(r)
	b.login()
	for h := range 71 {
		r.clock.Advance(time.Hour)
		r.settle() // it goes to sleep
		if b.user() == nil {
			t.Fatalf("a session that is used every hour ended after %d hours", h+1)
		}
	}
}

// A session of the host's own has no lifetime.
func TestCookie_lifetimesAreOfBrowsers(t *testing.T) {
	r := newRig(t)
	r.loginAs(tokenward.SessionID("mine"))
	r.clock.Advance(1000 * time.Hour)
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID("mine")); u == nil || err != nil {
		t.Errorf("GetUser = %v, %v", u, err)
	}
}

// What an answer says already counts for the rest of the request.
func TestCookie_withinOneRequest(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	to := r.start(tokenward.LoginRequest{}, b.options())
	b.took()
	back, err := r.tenant.Authorize(to)
	if err != nil {
		t.Fatal(err)
	}
	o := b.options()
	if _, err := r.client.CompleteInteractiveLogin(t.Context(), back, o); err != nil {
		t.Fatal(err)
	}
	if u, err := r.client.GetUser(t.Context(), o); u == nil || err != nil {
		t.Errorf("after the login: %v, %v", u, err)
	}
	if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, o); err != nil {
		t.Fatal(err)
	}
	if u, err := r.client.GetUser(t.Context(), o); u != nil || err != nil {
		t.Errorf("after the logout: %v, %v", u, err)
	}
	if b.took(); b.cookie != nil || r.memory.Len() != 0 {
		t.Errorf("cookie %v, records %d", b.cookie, r.memory.Len())
	}
}

// One request's calls may be made at once.
func TestCookie_fromManyGoroutines(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	b.login()
	r.clock.Advance(2 * time.Hour)
	o := b.options()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(b.set()); n != 1 {
		t.Errorf("%d cookies, want 1", n)
	}
}

// While an expired session is remembered its cookie stays, for so do its connection
// tokens.
func TestCookie_staysWhileTheEndIsRemembered(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	to := r.start(tokenward.LoginRequest{}, b.options())
	b.took()
	back, err := r.tenant.Authorize(to, idptest.Claims{"session_expiry": t0.Add(30 * time.Minute).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.CompleteInteractiveLogin(t.Context(), back, b.options()); err != nil {
		t.Fatal(err)
	}
	b.took()
	c := tokenward.ConnectionRequest{Connection: "google-oauth2"}
	if _, err := r.client.GetAccessTokenForConnection(t.Context(), c, b.options()); err != nil {
		t.Fatal(err)
	}
	r.advance(30 * time.Minute)
	for range 2 {
		if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, b.options()); !errors.Is(err, tokenward.ErrSessionExpired) {
			t.Errorf("err = %v, want session_expired", err)
		}
		b.took()
		if _, err := r.client.GetAccessTokenForConnection(t.Context(), c, b.options()); err != nil {
			t.Errorf("connection: %v", err)
		}
		b.took()
	}
	r.clock.Advance(2 * time.Hour)
	if b.user() != nil || len(b.set()) != 0 {
		t.Errorf("forgotten: Set-Cookie %q", b.set())
	}
}

// Cookies cost those nothing who ask by id.
func TestCookie_hitsByIDAllocateNothing(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	o := tokenward.SessionID(b.login())
	n := testing.AllocsPerRun(100, func() {
		if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, o); err != nil {
			t.Error(err)
		}
	})
	if n != 0 {
		t.Errorf("allocations of a hit = %v, want 0", n)
	}
}
