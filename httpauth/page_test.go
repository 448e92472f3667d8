package httpauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
)

// checkPage checks that w is a page that loads nothing and says one of texts, and returns its text.
func checkPage(t *testing.T, what string, w *httptest.ResponseRecorder, status int, texts ...string) string {
	t.Helper()
	body, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	if w.Code != status || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || !strings.HasPrefix(body, "<!doctype html>") {
		t.Errorf("%s: %d %s %.60s, want a page with %d", what, w.Code, w.Header().Get("Content-Type"), body, status)
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Referrer-Policy") == "" {
		t.Errorf("%s: header %v", what, w.Header())
	}
	_, nonce, _ := strings.Cut(policy, "'nonce-")
	nonce, _, _ = strings.Cut(nonce, "'")
	if !strings.HasPrefix(policy, "default-src 'none'; ") || nonce == "" || strings.Contains(policy, "unsafe") || strings.Count(body, "nonce=\""+nonce+"\"") == 0 {
		t.Errorf("%s: policy %q", what, policy)
	}
	referrer, noForm := "no-referrer", "; form-action 'none'" // the address of a callback has a code
	if strings.Contains(policy, "script-src") {
		referrer, noForm = "same-origin", "" // with no-referrer the form would be sent with Origin: null
	}
	if w.Header().Get("Referrer-Policy") != referrer || !strings.Contains(policy, "; frame-ancestors 'self'") || !strings.Contains(policy, noForm) {
		t.Errorf("%s: policy %q, Referrer-Policy %q", what, policy, w.Header().Get("Referrer-Policy"))
	}
	for _, foreign := range []string{"src=", "http:", "https:", "<link", "@import", "onclick"} {
		if strings.Contains(body, foreign) {
			t.Errorf("%s: the page has %s", what, foreign)
		}
	}
	for _, text := range texts {
		if !strings.Contains(body, text) {
			t.Errorf("%s: the page does not say %q: %s", what, text, body)
		}
	}
	return body
}

func TestErrors_arePagesForPeople(t *testing.T) {
	s := newSignedIn(t, httpauth.AllowParams("organization"))
	checkPage(t, "an unknown callback", s.get("/auth/callback?code=x&state=unknown"), 400, `href="/auth/login"`, "Sign in again", "missing_transaction_error")
	checkPage(t, "a callback without state", s.get("/auth/callback?code=x"), 400, `href="/auth/login"`)
	at, err := url.Parse(s.back)
	if err != nil {
		t.Fatal(err)
	}
	refused := s.get("/auth/callback?" + url.Values{"state": {at.Query().Get("state")}, "error": {"access_denied"}, "error_description": {"<b>call 555</b>"}}.Encode())
	if page := checkPage(t, "the user said no", refused, 400, `href="/auth/login"`, "access_denied"); strings.Contains(page, "555") {
		t.Error("the page shows what the provider, or a link, says")
	}
	at, err = url.Parse(s.start(""))
	if err != nil {
		t.Fatal(err)
	}
	worded := s.get("/auth/callback?" + url.Values{"state": {at.Query().Get("state")}, "error": {"call 555 <now>"}}.Encode())
	if page := checkPage(t, "an error that is no word", worded, 400); strings.Contains(page, "555") {
		t.Error("the page shows an error that is no word")
	}
	checkPage(t, "a logout from elsewhere", s.get("/auth/logout", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"), 403, "another site")
	checkPage(t, "a login that cannot be", s.get("/auth/login?organization=%20&return_to=/a%3Fb"), 400, `href="?return_to=%2Fa%3Fb"`)
	s.tenant.Script(idptest.CodeExchange, idptest.Status(500))
	checkPage(t, "the provider's fault", s.get(s.start("")), 502, `href="/auth/login"`, "token_error")

	for name, header := range map[string][]string{
		"a script":  {"Accept", "text/html", "Sec-Fetch-Mode", "cors"},
		"a program": {"Accept", "application/json"},
		"a tool":    {"Accept", "*/*"},
	} {
		w := s.send(http.MethodGet, "/auth/callback?code=x&state=unknown", nil, header...)
		if w.Code != 400 || codeIn(w.Body.String()) != "missing_transaction_error" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// A form that a person sends after the session has ended is answered with a page, a program's request is not.
func TestErrors_aFormWithoutASession(t *testing.T) {
	s := newSignedIn(t)
	s.cookies = map[string]string{}
	checkPage(t, "a person's form", s.send(http.MethodPost, "/me", url.Values{"a": {"b"}}, "Accept", "text/html"), 401, "Please sign in", `href="/auth/login"`)
	w := s.send(http.MethodPost, "/me", url.Values{"a": {"b"}}, "Accept", "application/json")
	if w.Code != 401 || codeIn(w.Body.String()) != "no_session" {
		t.Errorf("a program: %d %s", w.Code, w.Body)
	}
}

func TestErrors_aPersonReloadsWhatWillPass(t *testing.T) {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/auth/callback", nil)
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	httpauth.WriteError(w, r, fmt.Errorf("%w: no", tokenward.ErrStore))
	checkPage(t, "a store that is down", w, 503, "Reload this page", "store_error")
	if got := w.Header().Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After = %q, want 1", got)
	}
}

// The host's handler has the errors, instead of the pages.
func TestErrors_areTheHosts(t *testing.T) {
	var got []tokenward.Code
	s := newSignedIn(t, httpauth.OnError(func(w http.ResponseWriter, _ *http.Request, err error) {
		got = append(got, tokenward.CodeOf(err))
		w.WriteHeader(httpauth.StatusOf(err))
	}))
	for _, w := range []*httptest.ResponseRecorder{
		s.get("/auth/callback?code=x&state=unknown"),
		s.get("/auth/logout", "Sec-Fetch-Site", "cross-site"),
		s.get("/auth/login", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"),
	} {
		if w.Body.Len() != 0 {
			t.Errorf("%d with %s", w.Code, w.Body)
		}
	}
	if want := "[missing_transaction_error cross_origin not_a_navigation]"; fmt.Sprint(got) != want {
		t.Errorf("OnError got %v, want %s", got, want)
	}
}

// Behind Require an error leads to the login, and from there back to the page: the pattern for a user whom the
// provider has revoked, and whose session lives.
func TestErrors_behindRequireLeadBackToThePage(t *testing.T) {
	s := newSignedIn(t)
	revoked := &tokenward.AccessTokenError{Code: "missing_refresh_token", Message: "gone"}
	s.handler = http.StripPrefix("/app", s.handlers.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { httpauth.WriteError(w, r, revoked) })))
	checkPage(t, "a page", s.get("/app/orders?id=1"), 401, `href="/auth/login?return_to=%2Fapp%2Forders%3Fid%3D1"`, "sign in again")
	w := s.send(http.MethodGet, "/app/orders", nil)
	if w.Code != 401 || codeIn(w.Body.String()) != "missing_refresh_token" || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("a program: %d %s", w.Code, w.Body)
	}
}

// RFC 9110 section 15.5.2 demands a challenge, RFC 6750 section 3 says which.
func TestUnauthorized_hasAChallenge(t *testing.T) {
	const none, invalid = `Bearer realm="session"`, `Bearer realm="session", error="invalid_token"`
	dead := &tokenward.AccessTokenError{Code: "refresh_token_error", Err: &tokenward.APIError{Code: "invalid_grant", Status: 400}}
	for err, want := range map[error]string{
		tokenward.ErrSessionExpired:                                             invalid,
		&tokenward.SessionExpiredError{}:                                        invalid,
		&tokenward.AccessTokenError{Code: "session_expired"}:                    invalid,
		&tokenward.AccessTokenError{Code: "missing_session"}:                    none,
		&tokenward.AccessTokenError{Code: "missing_refresh_token"}:              none,
		&tokenward.AccessTokenForConnectionError{Code: "missing_refresh_token"}: none,
		dead:                                 invalid,
		tokenward.ErrOverloaded:              "",
		errors.New("another"):                "",
		&tokenward.MissingTransactionError{}: "",
	} {
		for _, accept := range []string{"text/html", "application/json"} {
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Accept", accept)
			httpauth.WriteError(w, r, err)
			if got := w.Header().Get("WWW-Authenticate"); got != want || (w.Code == http.StatusUnauthorized) != (want != "") {
				t.Errorf("%v: %d, WWW-Authenticate %q, want %q", err, w.Code, got, want)
			}
		}
		if tokenward.LoginRequired(err) && httpauth.StatusOf(err) != http.StatusUnauthorized {
			t.Errorf("%v: status %d, want 401 where a login is required", err, httpauth.StatusOf(err))
		}
	}
	s := newSignedIn(t)
	s.cookies = map[string]string{}
	if w := s.send(http.MethodGet, "/me", nil); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != none {
		t.Errorf("Require: %d, WWW-Authenticate %q, want %q", w.Code, w.Header().Get("WWW-Authenticate"), none)
	}
}

// A session whose refresh token the provider has refused is told so each time, by access tokens and by connection tokens.
func TestUnauthorized_ofADeadTokenIsSaidEachTime(t *testing.T) {
	const none, invalid = `Bearer realm="session"`, `Bearer realm="session", error="invalid_token"`
	s := newSignedIn(t)
	asked := func(ask func(r *http.Request) error) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { httpauth.WriteError(w, r, ask(r)) })
	}
	token := asked(func(r *http.Request) error {
		_, err := s.client.GetAccessToken(r.Context(), tokenward.TokenRequest{}, tokenward.HTTP(nil, r))
		return err
	})
	connection := asked(func(r *http.Request) error {
		_, err := s.client.GetAccessTokenForConnection(r.Context(), tokenward.ConnectionRequest{Connection: "google"}, tokenward.HTTP(nil, r))
		return err
	})
	s.clock.Advance(2 * time.Hour)
	s.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_grant", ""))
	for i, h := range []http.Handler{token, token, connection} {
		s.handler = h
		if w := s.send(http.MethodGet, "/", nil); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != invalid {
			t.Errorf("call %d: %d %s, WWW-Authenticate %q, want %q", i, w.Code, w.Body, w.Header().Get("WWW-Authenticate"), invalid)
		}
	}
	s.cookies = map[string]string{}
	if w := s.send(http.MethodGet, "/", nil); w.Header().Get("WWW-Authenticate") != none {
		t.Errorf("without a session: %d %s, WWW-Authenticate %q, want %q", w.Code, w.Body, w.Header().Get("WWW-Authenticate"), none)
	}
}

func TestRetryAfter_isSaidInWholeSeconds(t *testing.T) {
	limited := func(d time.Duration) *tokenward.APIError {
		return &tokenward.APIError{Code: "token_error", Status: 429, RetryAfter: d}
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{limited(30 * time.Second), "30"},
		{limited(1500 * time.Millisecond), "2"},
		{limited(1), "1"},
		{limited(0), ""},
		{&tokenward.AccessTokenError{Code: "refresh_token_error", Err: limited(time.Minute)}, "60"},
		{&tokenward.APIError{Code: "token_error", Err: limited(time.Minute)}, "60"},
		{tokenward.ErrOverloaded, "1"},
		{&tokenward.AccessTokenError{Code: "overloaded", Err: limited(7 * time.Second)}, "7"},
		{tokenward.ErrStore, "1"},
		{&tokenward.AccessTokenError{Code: "refresh_token_error", Err: &tokenward.BreakerOpenError{RetryAfter: 9 * time.Second}}, "9"},
		{tokenward.ErrSessionExpired, ""},
		{errors.New("another"), ""},
		{context.Canceled, "1"},
		{context.DeadlineExceeded, ""},
	} {
		w := httptest.NewRecorder()
		httpauth.WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil), tt.err)
		if got := w.Header().Get("Retry-After"); got != tt.want {
			t.Errorf("%v: Retry-After %q, want %q", tt.err, got, tt.want)
		}
	}
}

// Where the provider refuses the application, no user can do anything about it: the page says whose turn it is.
func TestErrors_ofARefusedApplication(t *testing.T) {
	const whose = "operator"
	s := newSignedIn(t)
	for _, code := range []string{"invalid_client", "unauthorized_client", "invalid_request"} {
		s.tenant.Script(idptest.CodeExchange, idptest.OAuthError(code, "call 555"))
		page := checkPage(t, code, s.get(s.start("")), 502, whose, "token_error")
		if strings.Contains(page, "Try again") || strings.Contains(page, "555") {
			t.Errorf("%s: %s", code, page)
		}
	}
	at, err := url.Parse(s.start(""))
	if err != nil {
		t.Fatal(err)
	}
	back := "/auth/callback?" + url.Values{"state": {at.Query().Get("state")}, "error": {"unauthorized_client"}}.Encode()
	checkPage(t, "refused at the callback", s.get(back), 400, whose, "unauthorized_client")

	for name, fault := range map[string]idptest.Fault{
		"an expired code": idptest.OAuthError("invalid_grant", "expired"), "500": idptest.Status(500), "no answer": idptest.ResetConn(),
	} {
		s.tenant.Script(idptest.CodeExchange, fault)
		if page := checkPage(t, name, s.get(s.start("")), 502, "Try again"); strings.Contains(page, whose) {
			t.Errorf("%s: %s", name, page)
		}
	}
}
