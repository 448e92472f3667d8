package test_test

import (
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
)

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

func TestCookie_endToEnd(t *testing.T) { fromLoginToLogout(t, newRig(t)) }

// fromLoginToLogout goes with a browser over real HTTP from the login to the logout.
func fromLoginToLogout(t *testing.T, r *rig) {
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
	if got := []string{get("/logout"), get("/user"), get("/token")}; !slices.Equal(got, []string{"bye", "", "missing_refresh_token"}) {
		t.Errorf("logout and after: %q", got)
	}
}
