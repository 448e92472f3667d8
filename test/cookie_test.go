package test_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

const otherSecret = "another secret of at least thirty-two bytes"

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
	if n := r.store.Deletes(session.KeyOf("_a0_session", id)); n != 1 {
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

// A cookie that lapsed opens nothing. Its session may live on, for whoever has its id, until its
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
		deletes := r.store.Deletes()
		end(b)
		if n := r.store.Deletes() - deletes; n != 1 {
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

func TestCookie_withNothingBehindIt(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	id := b.login()
	if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		t.Fatal(err)
	}
	_, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, b.options())
	if !errors.Is(err, tokenward.ErrMissingRefreshToken) || len(b.set()) != 0 {
		t.Errorf("err = %v, Set-Cookie %q; want the cookie to lapse by itself", err, b.set())
	}
}

// What cannot be read is somebody else's: cookie and record stay.
func TestCookie_leavesAloneWhatItCannotRead(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	id := b.login()
	cfg := r.cfg
	cfg.Secrets = []string{otherSecret}
	r.cfg = cfg
	mine := r.client
	r.client = r.newClient()
	if b.user() != nil || len(b.set()) != 0 || r.memory.Len() != 1 {
		t.Errorf("under an unknown secret: Set-Cookie %q, records %d", b.set(), r.memory.Len())
	}
	good := b.cookie.Value
	raw, _ := base64.RawURLEncoding.DecodeString(good)
	raw[0] = 9
	b.cookie.Value = base64.RawURLEncoding.EncodeToString(raw)
	r.client = mine
	if b.user() != nil || len(b.set()) != 0 {
		t.Errorf("of a later release: Set-Cookie %q", b.set())
	}
	b.cookie.Value = good
	key := session.KeyOf("_a0_session", id)
	rec, err := r.memory.Load(t.Context(), key, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rec.Sealed[0] = 9
	if err := r.memory.Replace(t.Context(), key, rec, store.Options{}); err != nil {
		t.Fatal(err)
	}
	r.client = nil
	cfg.Secrets = []string{secret}
	r.cfg = cfg
	r.client = r.newClient()
	if b.user() != nil || len(b.set()) != 0 || r.memory.Len() != 1 {
		t.Errorf("a record of a later release: Set-Cookie %q, records %d", b.set(), r.memory.Len())
	}
}

func TestCookie_everyByteCounts(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	b.login()
	good := b.cookie.Value
	for i := range len(good) {
		for _, value := range []string{good[:i], good[:i] + flip(good[i]) + good[i+1:], good[:i] + good[i+1:]} {
			b.cookie.Value = value
			if u, err := r.client.GetUser(t.Context(), b.options()); u != nil || err != nil || len(b.set()) != 0 {
				t.Fatalf("changed at %d: %v, %v, %q", i, u, err, b.set())
			}
		}
	}
	b.cookie.Value = good
	if b.user() == nil {
		t.Error("unchanged, it is no session")
	}
}

func flip(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

func TestCookie_theOneThatCounts(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	b.login()
	good := b.cookie.Value
	b.login()
	for _, tt := range []struct {
		header string
		want   bool
	}{
		{"_a0_session=bWFkZS11cA; _a0_session=" + b.cookie.Value, true},
		{"_a0_session=" + b.cookie.Value + "; _a0_session=" + good, true},
		{"_a0_session=" + good + "; _a0_session=" + b.cookie.Value, true}, // the first is of a session that ended
		{"_a0_session2=" + b.cookie.Value, false},
		{"__Host-_a0_session=" + b.cookie.Value, false},
	} {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set("Cookie", tt.header)
		if u, err := r.client.GetUser(t.Context(), tokenward.HTTP(nil, req)); (u != nil) != tt.want || err != nil {
			t.Errorf("%.30s...: %v, %v", tt.header, u, err)
		}
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

func TestCookie_secretRotation(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	b.login()
	r.cfg.Secrets = []string{otherSecret, secret}
	r.client = r.newClient()
	if b.user() == nil {
		t.Fatal("the old secret does not open")
	}
	r.clock.Advance(2 * time.Hour)
	if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, b.options()); err != nil {
		t.Fatal(err)
	}
	b.took()
	r.cfg.Secrets = []string{otherSecret}
	r.client = r.newClient()
	if b.user() == nil {
		t.Error("what was used since opens under the new secret alone")
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
	r.clock.Advance(30 * time.Minute)
	r.settle()
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

// Someone who plants his own session in a browser has nothing from the login there.
func TestCookie_sessionFixation(t *testing.T) {
	r := newRig(t)
	attacker := newBrowser(r)
	planted := attacker.login()
	victim := newBrowser(r)
	victim.cookie = attacker.cookie
	if id := victim.login(); id == planted {
		t.Fatal("the login kept the id")
	}
	if attacker.user() != nil || victim.user() == nil {
		t.Error("the planted session lives, or the new one does not")
	}
}

func TestCookie_callbackAHundredTimesAtOnce(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	to := r.start(tokenward.LoginRequest{}, b.options())
	b.took()
	back, err := r.tenant.Authorize(to)
	if err != nil {
		t.Fatal(err)
	}
	var ok, missing atomic.Int64
	var wg sync.WaitGroup
	options := make([]tokenward.StoreOptions, 100)
	for i := range options {
		options[i] = b.options()
	}
	for _, o := range options {
		wg.Go(func() {
			_, err := r.client.CompleteInteractiveLogin(t.Context(), back, o)
			var gone *tokenward.MissingTransactionError
			switch {
			case err == nil:
				ok.Add(1)
			case errors.As(err, &gone):
				missing.Add(1)
			}
		})
	}
	wg.Wait()
	if ok.Load() != 1 || missing.Load() != 99 {
		t.Errorf("logins = %d, missing transactions = %d, want 1 and 99", ok.Load(), missing.Load())
	}
}

// Two tabs, the second login completed first: neither disturbs the other.
func TestCookie_twoTabs(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	var back [2]string
	for i := range back {
		to := r.start(tokenward.LoginRequest{AppState: i}, b.options())
		b.took()
		var err error
		if back[i], err = r.tenant.Authorize(to); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []int{1, 0} {
		res, err := r.client.CompleteInteractiveLogin(t.Context(), back[i], b.options())
		if err != nil || string(res.AppState) != fmt.Sprint(i) {
			t.Fatalf("tab %d: %+v, %v", i, res, err)
		}
		b.took()
	}
	if b.user() == nil || len(b.others) != 0 || r.memory.Len() != 1 {
		t.Errorf("cookies left %d, sessions %d", len(b.others), r.memory.Len())
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

func TestCookie_prefetchedLogins(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	b.login()
	var last string
	for range 200 {
		last = r.start(tokenward.LoginRequest{AppState: "/somewhere"}, b.options())
		b.took()
	}
	size := len("Cookie: ") + len(b.cookie.String())
	for _, c := range b.others {
		size += len("; ") + len(c.Name) + len("=") + len(c.Value)
	}
	if size > 8<<10 || len(b.others) < 3 {
		t.Errorf("%d logins under way, a header of %d bytes", len(b.others), size)
	}
	back, err := r.tenant.Authorize(last)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.CompleteInteractiveLogin(t.Context(), back, b.options()); err != nil {
		t.Errorf("the last of them: %v", err)
	}
	_, err = r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{AppState: strings.Repeat("x", 4096)}, b.options())
	var invalid *tokenward.InvalidArgumentError
	if !errors.As(err, &invalid) || invalid.Argument != "app_state" {
		t.Errorf("a large app_state: %v", err)
	}
}

// web is an application on the client, and a browser that follows its redirects.
func web(t *testing.T, r *rig) (get func(path string) string) {
	mux := http.NewServeMux()
	fail := func(w http.ResponseWriter, err error) bool {
		if err != nil {
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, tokenward.CodeOf(err))
		}
		return err != nil
	}
	var server *httptest.Server
	mux.HandleFunc("/login", func(w http.ResponseWriter, req *http.Request) {
		to, err := r.client.StartInteractiveLogin(req.Context(), tokenward.LoginRequest{
			AuthorizationParams: map[string]string{"redirect_uri": server.URL + "/callback"},
		}, tokenward.HTTP(w, req))
		if !fail(w, err) {
			http.Redirect(w, req, to, http.StatusFound)
		}
	})
	mux.HandleFunc("/callback", func(w http.ResponseWriter, req *http.Request) {
		_, err := r.client.CompleteInteractiveLogin(req.Context(), req.URL.String(), tokenward.HTTP(w, req))
		if !fail(w, err) {
			http.Redirect(w, req, "/user", http.StatusFound)
		}
	})
	mux.HandleFunc("/user", func(w http.ResponseWriter, req *http.Request) {
		u, err := r.client.GetUser(req.Context(), tokenward.HTTP(w, req))
		if !fail(w, err) {
			fmt.Fprint(w, u.Sub())
		}
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, req *http.Request) {
		tok, err := r.client.GetAccessToken(req.Context(), tokenward.TokenRequest{Audience: req.FormValue("audience")}, tokenward.HTTP(w, req))
		if !fail(w, err) {
			fmt.Fprint(w, tok.AccessToken)
		}
	})
	mux.HandleFunc("/logout", func(w http.ResponseWriter, req *http.Request) {
		_, err := r.client.Logout(req.Context(), tokenward.LogoutRequest{}, tokenward.HTTP(w, req))
		if !fail(w, err) {
			fmt.Fprint(w, "bye")
		}
	})
	server = httptest.NewServer(mux)
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	hc := &http.Client{Jar: jar, Transport: transport}
	return func(path string) string {
		t.Helper()
		resp, err := hc.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

func TestCookie_endToEnd(t *testing.T) {
	r := newRig(t)
	get := web(t, r)
	if got := get("/user"); got != "" {
		t.Errorf("before: user = %q", got)
	}
	if got := get("/login"); got != idptest.Subject {
		t.Fatalf("login: %q", got)
	}
	first := get("/token")
	r.clock.Advance(2 * time.Hour)
	if second := get("/token"); second == first || second != get("/token") {
		t.Error("after two hours: no new token, or more than one")
	}
	if n := r.tenant.Refreshes(); n != 1 {
		t.Errorf("refreshes = %d, want 1", n)
	}
	if got := get("/logout"); got != "bye" {
		t.Errorf("logout: %q", got)
	}
	if got := []string{get("/user"), get("/token")}; !slices.Equal(got, []string{"", "missing_refresh_token"}) {
		t.Errorf("after: %q", got)
	}
}

func FuzzSessionCookie(f *testing.F) {
	r := newRig(f)
	b := newBrowser(r)
	b.login()
	good := b.cookie.Value
	for _, v := range []string{good, "", "=", good[:10], good + "A", "\"" + good + "\"", "x; _a0_session=" + good, "AQ", "CQ", "AQAAAAAAAAAA"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set("Cookie", "_a0_session="+value)
		w := httptest.NewRecorder()
		u, err := r.client.GetUser(t.Context(), tokenward.HTTP(w, req))
		if err != nil || u != nil && !strings.Contains(value, good) {
			t.Errorf("GetUser = %v, %v", u, err)
		}
	})
}
