package httpauth_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
)

// stepUpSite is a site with a page that needs a step-up; a visit counts.
func stepUpSite(t *testing.T, need tokenward.StepUp) *site {
	t.Helper()
	s := newSite(t)
	s.server.Config.Handler.(*http.ServeMux).Handle("/transfer", s.handlers.RequireStepUp(need, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var visits int
		err := s.client.UpdateSession(r.Context(), func(data tokenward.SessionData) error {
			if _, err := data.Get("visits", &visits); err != nil {
				return err
			}
			visits++
			return data.Set("visits", visits)
		}, tokenward.StoreOptions{})
		fmt.Fprint(w, visits, " ", err)
	})))
	return s
}

// visit is a browser that goes to the page, and to the provider on the way. It says how many logins that took.
func (s *site) visit() (status int, body string, logins int) {
	s.t.Helper()
	before := s.tenant.Requests(idptest.CodeExchange)
	status, body = s.get("/transfer?to=bob", "Accept", "text/html")
	return status, body, s.tenant.Requests(idptest.CodeExchange) - before
}

func TestRequireStepUp_maxAge(t *testing.T) {
	s := stepUpSite(t, tokenward.StepUp{MaxAge: 5 * time.Minute})
	s.get("/me", "Accept", "text/html") // an ordinary sign-in does not say when it was
	for i, tt := range []struct {
		later  time.Duration
		logins int
	}{{0, 1}, {0, 0}, {4 * time.Minute, 0}, {2 * time.Minute, 1}, {0, 0}} {
		s.clock.Advance(tt.later)
		status, body, logins := s.visit()
		if want := fmt.Sprint(i+1, " <nil>"); status != http.StatusOK || body != want || logins != tt.logins {
			t.Errorf("visit %d: %d %q after %d logins; want 200 %q after %d", i+1, status, body, logins, want, tt.logins)
		}
	}
}

func TestRequireStepUp_acr(t *testing.T) {
	s := stepUpSite(t, tokenward.StepUp{ACRValues: []string{"phr", "mfa"}})
	s.tenant.NextLogin(idptest.Claims{"acr": "mfa"})
	if status, body, logins := s.visit(); status != http.StatusOK || body != "1 <nil>" || logins != 1 {
		t.Errorf("one who is not signed in: %d %q after %d logins", status, body, logins)
	}
	to, err := url.Parse(s.hop("/auth/login?return_to=/", "Accept", "text/html").Header.Get("Location"))
	if err != nil || to.Query().Has("acr_values") {
		t.Errorf("an ordinary login asks for %v, %v", to, err)
	}
}

// A provider that ignores what it is asked for is asked once. The user stays signed in.
func TestRequireStepUp_theProviderIgnoresIt(t *testing.T) {
	s := stepUpSite(t, tokenward.StepUp{ACRValues: []string{"mfa"}})
	s.get("/me", "Accept", "text/html")
	status, body, logins := s.visit()
	if status != http.StatusForbidden || logins != 1 || !strings.Contains(body, "another sign-in") {
		t.Errorf("%d after %d logins: %s", status, logins, body)
	}
	if status, body := s.get("/me"); status != http.StatusOK {
		t.Errorf("the user: %d %s", status, body)
	}
}

// A program is told what is needed (RFC 9470 section 3).
func TestRequireStepUp_tellsAProgram(t *testing.T) {
	s := stepUpSite(t, tokenward.StepUp{MaxAge: 5 * time.Minute, ACRValues: []string{"phr", "mfa"}})
	s.get("/me", "Accept", "text/html")
	resp := s.hop("/transfer", "Accept", "application/json")
	want := `Bearer realm="session", error="insufficient_user_authentication", error_description="sign in again", acr_values="phr mfa", max_age="300"`
	if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != http.StatusUnauthorized || got != want || codeIn(resp.Header.Get("body")) != "insufficient_user_authentication" {
		t.Errorf("%d %s %s, want 401 %s", resp.StatusCode, got, resp.Header.Get("body"), want)
	}
	if resp := s.hop("/transfer?x", "Accept", "text/html", "Sec-Fetch-Mode", "cors"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a script: %d", resp.StatusCode)
	}
}

// After an event the page asks for a sign-in that is later, whatever else it needs, once. The provider is asked for one by max_age.
func TestRequireStepUp_afterAnEvent(t *testing.T) {
	for _, need := range []tokenward.StepUp{{}, {MaxAge: 24 * time.Hour}} {
		s := stepUpSite(t, need)
		s.get("/me", "Accept", "text/html")
		s.visit()
		if status, _, logins := s.visit(); status != http.StatusOK || logins != 0 {
			t.Errorf("before the event: %d after %d logins", status, logins)
		}
		s.clock.Advance(10 * time.Minute)
		ask := func(after time.Time) int {
			n, err := s.client.AskStepUp(t.Context(), tokenward.EndRequest{Issuer: s.tenant.Issuer(), Subject: idptest.Subject, BeganBy: after}, tokenward.StoreOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		event := s.clock.Now()
		s.clock.Advance(2 * time.Minute)
		if n := ask(event); n != 1 {
			t.Fatalf("%d sessions are asked, want 1", n)
		}
		resp := s.hop("/transfer", "Accept", "application/json")
		want := `Bearer realm="session", error="insufficient_user_authentication", error_description="sign in again", max_age="90"` // of 120 s, 30 are leeway
		if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != http.StatusUnauthorized || got != want {
			t.Errorf("a program: %d %s, want 401 %s", resp.StatusCode, got, want)
		}
		if status, _ := s.get("/me"); status != http.StatusOK {
			t.Errorf("a page that needs nothing: %d", status)
		}
		to := s.hop("/transfer?to=bob", "Accept", "text/html").Header.Get("Location")
		at, err := url.Parse(s.hop(strings.TrimPrefix(to, s.server.URL), "Accept", "text/html").Header.Get("Location"))
		if err != nil || at.Query().Get("max_age") != "90" {
			t.Errorf("the provider is asked by %v, %v; want max_age=90", at, err)
		}
		for i, logins := range []int{1, 0} {
			if status, body, n := s.visit(); status != http.StatusOK || n != logins {
				t.Errorf("visit %d after the event: %d %q after %d logins, want %d", i+1, status, body, n, logins)
			}
		}
		if n := ask(event); n != 0 {
			t.Errorf("the event came again, and asks %d", n)
		}
	}
}

// A login that is no new sign-in does not do: the user stays signed in, and is asked again the next time.
func TestRequireStepUp_afterAnEventWithoutANewSignIn(t *testing.T) {
	s := stepUpSite(t, tokenward.StepUp{})
	s.get("/me", "Accept", "text/html")
	s.clock.Advance(10 * time.Minute)
	if _, err := s.client.AskStepUp(t.Context(), tokenward.EndRequest{Issuer: s.tenant.Issuer(), Subject: idptest.Subject}, tokenward.StoreOptions{}); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(time.Minute)
	s.get("/auth/login?return_to=/me", "Accept", "text/html") // an ordinary one
	s.tenant.NextLogin(idptest.Claims{"auth_time": s.clock.Now().Add(-80 * time.Second).Unix()})
	if status, _, logins := s.visit(); status != http.StatusBadGateway || logins != 1 {
		t.Errorf("%d after %d logins, want 502 after 1: the ID token is not as it was asked for", status, logins)
	}
	if status, _, logins := s.visit(); status != http.StatusOK || logins != 1 {
		t.Errorf("a new sign-in: %d after %d logins", status, logins)
	}
}

// A link cannot choose what a login asks for, not even where any parameter may come along.
func TestRequireStepUp_isChosenByNoLink(t *testing.T) {
	s := newSite(t, httpauth.AllowAnyParams())
	s.handlers.RequireStepUp(tokenward.StepUp{ACRValues: []string{"mfa"}}, http.NotFoundHandler())
	to, err := url.Parse(s.hop("/auth/login?step_up=made-up", "Accept", "text/html").Header.Get("Location"))
	if err != nil || to.Query().Has("step_up") || to.Query().Has("acr_values") || to.Query().Get("state") == "" {
		t.Errorf("led to %v, %v", to, err)
	}
}

// When the user signed in is for the provider to say, in seconds: not in milliseconds, which would be recent for ever.
func TestCheckStepUp_authTime(t *testing.T) {
	s := newSite(t)
	now := s.clock.Now()
	number := func(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }
	const leeway = 30
	for _, tt := range []struct {
		authTime any
		need     time.Duration
		ok       bool
	}{
		{number(now.Unix()), time.Minute, true},
		{number(now.Unix() - 60 - leeway), time.Minute, true},
		{number(now.Unix() - 61 - leeway), time.Minute, false},
		{number(now.Unix() + leeway), time.Minute, true},
		{number(now.Unix() + leeway + 1), time.Minute, false},
		{number(now.UnixMilli()), time.Minute, false},
		{number(0), math.MaxInt64, true},
		{number(-1), time.Minute, false},
		{json.Number("1e400"), time.Minute, false},
		{json.Number("NaN"), time.Minute, false},
		{number(now.Unix()).String(), time.Minute, false},
		{nil, time.Minute, false},
	} {
		err := s.client.CheckStepUp(tokenward.User{"auth_time": tt.authTime}, tokenward.StepUp{MaxAge: tt.need})
		if (err == nil) != tt.ok || err != nil && tokenward.CodeOf(err) != "insufficient_user_authentication" {
			t.Errorf("auth_time %v, no longer ago than %v: %v", tt.authTime, tt.need, err)
		}
	}
}

func TestRequireStepUp_whatCannotBeMet(t *testing.T) {
	s := newSite(t)
	s.get("/me", "Accept", "text/html")
	for _, need := range []tokenward.StepUp{{MaxAge: -1}, {MaxAge: time.Millisecond}, {ACRValues: []string{`a"b`}}, {ACRValues: []string{"a b"}}} {
		if err := s.client.CheckStepUp(tokenward.User{}, need); tokenward.CodeOf(err) != "invalid_argument" {
			t.Errorf("%v: %v", need, err)
		}
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	for _, c := range s.browser.Jar.Cookies(mustParse(t, s.server.URL)) {
		r.AddCookie(c)
	}
	s.handlers.RequireStepUp(tokenward.StepUp{MaxAge: -1}, http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != http.StatusInternalServerError {
		t.Errorf("a page that needs it: %d %s", w.Code, w.Body)
	}
}

func mustParse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
