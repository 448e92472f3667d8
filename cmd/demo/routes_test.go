package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/idp/idptest"
)

func TestRoutes_successes(t *testing.T) {
	s := newSite(t)
	s.login()
	user := s.want(s.get("/api/user"), 200, "").body
	if user["sub"] != idptest.Subject || user["email"] != "ada@example.com" {
		t.Errorf("user = %v", user)
	}

	token := s.want(s.get("/api/token"), 200, "").body
	if token["audience"] != "default" || token["expires_at"] != float64(t0.Add(idptest.TokenLife).Unix()) || token["scope"] == "" {
		t.Errorf("token = %v", token)
	}
	if _, ok := token["actual_audience"]; ok {
		t.Errorf("token has an actual_audience: %v", token)
	}
	other := s.want(s.get("/api/token?audience=https://orders.example&scope=read:x"), 200, "").body
	if other["audience"] != "https://orders.example" || other["access_token"] == token["access_token"] || !strings.Contains(other["scope"].(string), "read:x") {
		t.Errorf("token of another audience = %v", other)
	}

	connection := s.want(s.get("/api/connection-token?connection=google-oauth2&login_hint=a"), 200, "").body
	for name, want := range map[string]any{
		"connection": "google-oauth2", "login_hint": "a", "expires_at": float64(t0.Add(idptest.ConnectionTokenLife).Unix()),
	} {
		if connection[name] != want {
			t.Errorf("connection token: %s = %v, want %v", name, connection[name], want)
		}
	}

	session := s.want(s.get("/api/session"), 200, "")
	for _, name := range []string{"user", "id_token", "refresh_token", "token_sets", "connection_token_sets", "domain"} {
		if session.body[name] == nil {
			t.Errorf("session has no %s: %s", name, session.text)
		}
	}
	if _, ok := session.body["internal"]; ok {
		t.Errorf("session shows internal: %s", session.text)
	}
	if leaked := s.tenant.SecretsIn(session.text); len(leaked) > 0 {
		t.Errorf("session gives away %v", leaked)
	}
	var sets struct {
		TokenSets []struct {
			Audience, Scope string
			AccessToken     string `json:"access_token"`
			ExpiresAt       int64  `json:"expires_at"`
		} `json:"token_sets"`
	}
	if err := json.Unmarshal([]byte(session.text), &sets); err != nil || len(sets.TokenSets) != 2 {
		t.Fatalf("token sets = %v, %v; want two", sets, err)
	}
	for _, set := range sets.TokenSets {
		digits, ok := strings.CutPrefix(set.AccessToken, "sha256:")
		if !ok || len(digits) != 16 || set.ExpiresAt != t0.Add(idptest.TokenLife).Unix() {
			t.Errorf("token set = %+v", set)
		}
	}

	s.want(s.get("/healthz"), 200, "")
	s.want(s.get("/readyz"), 200, "")
	s.want(s.get("/"), 200, "")
	out := s.want(s.get("/auth/logout?return_to=/bye"), http.StatusFound, "")
	at, err := url.Parse(out.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(at.String(), s.tenant.Issuer()) || at.Query().Get("post_logout_redirect_uri") != s.url+"/bye" {
		t.Errorf("logout leads to %v, %v", at, err)
	}
	s.want(s.get("/api/user"), 401, "no_session")
}

func TestRoutes_nobodySignedIn(t *testing.T) {
	s := newSite(t)
	tests := []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/api/user", 401, "no_session"},
		{"GET", "/api/session", 401, "no_session"},
		{"GET", "/api/token", 401, "missing_refresh_token"},
		{"GET", "/api/connection-token?connection=g", 401, "missing_refresh_token"},
		{"GET", "/api/connection-token", 400, "missing_required_argument_error"},
		{"POST", "/api/burst?n=1", 401, "no_session"},
		{"GET", "/auth/callback", 400, "missing_required_argument_error"},
		{"GET", "/auth/callback?state=x&code=y", 400, "missing_transaction_error"},
		{"GET", "/auth/callback?state=x&error=access_denied", 400, "missing_transaction_error"},
		{"GET", "/auth/login?organization=%20", 400, "invalid_argument"},
		{"POST", "/auth/backchannel-logout", 400, "backchannel_logout_error"},
		{"GET", "/nothing", 404, "not_found"},
		{"GET", "/api/user/", 404, "not_found"},
		{"POST", "/nothing", 404, "not_found"},
		{"POST", "/api/user", 405, "method_not_allowed"},
		{"DELETE", "/", 405, "method_not_allowed"},
		{"GET", "/api/burst?n=1", 405, "method_not_allowed"},
		{"GET", "/auth/backchannel-logout", 405, "method_not_allowed"},
		{"PUT", "/auth/logout", 405, "method_not_allowed"},
	}
	for _, tt := range tests {
		a := s.want(s.do(tt.method, tt.path), tt.status, tt.code)
		if allow := a.Header.Get("Allow"); (allow != "") != (tt.status == 405) {
			t.Errorf("%s %s: Allow = %q", tt.method, tt.path, allow)
		}
	}
}

// The callback takes a POST of the provider, and errors are JSON unless a person looks at them.
func TestCallback_formPost(t *testing.T) {
	s := newSite(t)
	at, err := url.Parse(s.callback("?return_to=/there"))
	if err != nil {
		t.Fatal(err)
	}
	jar := s.client.Jar
	s.client.Jar = nil
	page := s.want(s.post("POST", "/auth/callback", at.Query(), "Origin", s.tenant.Issuer(), "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"), 200, "")
	if !strings.Contains(page.text, at.Query().Get("state")) || !strings.Contains(page.text, `name="tokenward_replay"`) {
		t.Errorf("the page: %s", page.text)
	}
	form := at.Query()
	form.Set("tokenward_replay", "1")
	s.want(s.post("POST", "/auth/callback", form), 400, "missing_transaction_error")
	if shown := s.post("POST", "/auth/callback", form, "Accept", "text/html"); shown.StatusCode != 400 || !strings.HasPrefix(shown.text, "<!doctype html>") {
		t.Errorf("to a person: %d %s", shown.StatusCode, shown.text)
	}
	s.client.Jar = jar
	if a := s.want(s.post("POST", "/auth/callback", form), http.StatusFound, ""); a.Header.Get("Location") != "/there" {
		t.Errorf("the login leads to %q", a.Header.Get("Location"))
	}
	s.want(s.get("/api/user"), 200, "")
}

func TestLogout_byPOST(t *testing.T) {
	s := newSite(t)
	s.login()
	s.want(s.do("POST", "/auth/logout", "Origin", "null"), 403, "cross_origin")
	s.want(s.do("POST", "/auth/logout", "Origin", "https://evil.example"), 403, "cross_origin")
	s.want(s.do("GET", "/auth/logout", "Origin", "https://evil.example"), 403, "cross_origin")
	s.want(s.do("GET", "/auth/logout", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors"), 403, "not_a_navigation")
	s.want(s.do("GET", "/auth/logout", "Purpose", "prefetch"), 503, "")
	s.want(s.get("/api/user"), 200, "")
	s.want(s.do("POST", "/auth/logout", "Origin", s.url, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"), http.StatusFound, "")
	if a := s.want(s.get("/api/user"), 401, "no_session"); !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("WWW-Authenticate = %q", a.Header.Get("WWW-Authenticate"))
	}
}

func TestRoutes_head(t *testing.T) {
	s := newSite(t)
	for path, status := range map[string]int{"/": 200, "/healthz": 200, "/readyz": 200, "/metrics": 200, "/api/user": 401, "/nothing": 404, "/auth/login": 204, "/auth/callback": 204, "/auth/logout": 204} {
		if a := s.do(http.MethodHead, path); a.StatusCode != status || a.text != "" {
			t.Errorf("HEAD %s = %d with %d bytes, want %d and none", path, a.StatusCode, len(a.text), status)
		}
	}
}

// Each mistake in a token request has its status and its code.
func TestToken_failures(t *testing.T) {
	const token, connection = "/api/token?audience=https://new.example", "/api/connection-token?connection=g"
	tests := []struct {
		name        string
		path        string
		fault       idptest.Fault
		status      int
		code        string
		cause       any
		causeStatus any
	}{
		{"refused", token, idptest.OAuthError("invalid_target", "unknown"), 502, "refresh_token_error", "invalid_target", 400.0},
		{"an error page", token, idptest.Status(500), 502, "refresh_token_error", "token_error", 500.0},
		{"a portal", token, idptest.Garbage(), 502, "refresh_token_error", "invalid_response", 200.0},
		{"cut off", token, idptest.ResetConn(), 502, "refresh_token_error", "token_error", nil},
		{"a second factor", token, idptest.MFARequired("canary-of-mfa", map[string]any{"challenge": []any{}}), 403, "mfa_required", "mfa_required", 403.0},
		{"connection refused", connection, idptest.OAuthError("invalid_request", "no such connection"), 502, "api_error", "invalid_request", 400.0},
		{"connection cut off", connection, idptest.ResetConn(), 502, "retrieval_error", "token_error", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.login()
			s.tenant.Script(idptest.Spend, tt.fault)
			a := s.want(s.get(tt.path), tt.status, tt.code)
			cause, _ := a.body["cause"].(map[string]any)
			if cause["error"] != tt.cause || cause["status"] != tt.causeStatus {
				t.Errorf("cause = %v, want %v %v", a.body["cause"], tt.cause, tt.causeStatus)
			}
			if sealed, _ := a.body["mfa_token"].(string); (sealed != "") != (tt.code == "mfa_required") || strings.Contains(a.text, "canary") {
				t.Errorf("mfa_token = %q", sealed)
			}
			if (a.body["mfa_requirements"] != nil) != (tt.code == "mfa_required") {
				t.Errorf("mfa_requirements = %v", a.body["mfa_requirements"])
			}
			s.want(s.get("/api/user"), 200, "")
			s.want(s.get(tt.path), 200, "")
		})
	}
}

// A user whose access was revoked at the provider must sign in again: one refused refresh says so,
// and none follows at the next view.
func TestToken_ofAUserWhoWasRevoked(t *testing.T) {
	const path = "/api/token?audience=https://new.example"
	s := newSite(t)
	s.login()
	s.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_grant", "revoked").Always())
	a := s.want(s.get(path), 401, "refresh_token_error")
	if cause, _ := a.body["cause"].(map[string]any); cause["error"] != "invalid_grant" || cause["status"] != 403.0 {
		t.Errorf("cause = %v, want invalid_grant 403", a.body["cause"])
	}
	s.want(s.get(path), 401, "missing_refresh_token")
	s.want(s.get("/api/user"), 200, "")
	if n := s.tenant.Refreshes(); n != 1 {
		t.Errorf("refreshes = %d, want 1", n)
	}
}

func TestLogin_failures(t *testing.T) {
	tests := []struct {
		name  string
		args  []string
		kind  idptest.Kind
		fault idptest.Fault
		code  string
	}{
		{"no metadata", nil, idptest.Discovery, idptest.ResetConn(), "metadata_error"},
		{"metadata are an error page", nil, idptest.Discovery, idptest.Status(503), "metadata_error"},
		{"push refused", []string{"-par"}, idptest.PAR, idptest.Status(500), "par_error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, tt.args...)
			s.tenant.Script(tt.kind, tt.fault)
			s.want(s.get("/auth/login"), 502, tt.code)
			s.login()
		})
	}
}

func TestCallback_failures(t *testing.T) {
	tests := []struct {
		name   string
		kind   idptest.Kind
		fault  idptest.Fault
		claims idptest.Claims
		status int
		code   string
	}{
		{"the user said no", idptest.Authorize, idptest.OAuthError("access_denied", "no"), nil, 400, "access_denied"},
		{"the code is refused", idptest.CodeExchange, idptest.OAuthError("invalid_grant", "no"), nil, 502, "token_error"},
		{"no answer", idptest.CodeExchange, idptest.ResetConn(), nil, 502, "token_error"},
		{"no keys", idptest.JWKS, idptest.Status(500), nil, 502, "jwks_fetch_error"},
		{"a ceiling past", idptest.JWKS, idptest.OK(), idptest.Claims{"session_expiry": t0.Unix()}, 401, "session_expired"},
		{"another client's token", idptest.JWKS, idptest.OK(), idptest.Claims{"aud": "another"}, 502, "invalid_audience"},
		{"another issuer's token", idptest.JWKS, idptest.OK(), idptest.Claims{"iss": "https://other.example/"}, 502, "issuer_validation_error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.tenant.Script(tt.kind, tt.fault)
			s.tenant.NextLogin(tt.claims)
			back := s.callback("")
			s.want(s.get(back), tt.status, tt.code)
			s.want(s.get(back), 400, "missing_transaction_error")
			s.want(s.get("/api/user"), 401, "no_session")
			s.tenant.NextLogin(nil)
			s.login()
		})
	}
}

func TestLogin_parameters(t *testing.T) {
	s := newSite(t)
	back := s.callback("?return_to=/there%3Fa=b&audience=https://orders.example&scope=read:x&login_hint=grace&x_y=z&invitation=i" +
		"&state=evil&nonce=evil&client_id=evil&response_type=evil&code_challenge=evil&code_challenge_method=plain" +
		"&redirect_uri=https://evil.example&response_mode=evil&request=evil&request_uri=evil")
	form := s.tenant.LastForm(idptest.Authorize)
	for name, want := range map[string]string{
		"audience": "https://orders.example", "login_hint": "grace", "x_y": "z", "invitation": "i", "response_type": "code", "client_id": demoID,
		"redirect_uri": s.url + "/auth/callback", "code_challenge_method": "S256",
		"response_mode": "", "request": "", "request_uri": "", "nonce": "", "return_to": "",
	} {
		if got := form.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if scope := strings.Fields(form.Get("scope")); !slices.Contains(scope, "read:x") || !slices.Contains(scope, "openid") {
		t.Errorf("scope = %v", scope)
	}
	a := s.want(s.get(back), http.StatusFound, "")
	if got := a.Header.Get("Location"); got != "/there?a=b" {
		t.Errorf("the login leads to %q, want /there?a=b", got)
	}
	if user := s.want(s.get("/api/user"), 200, "").body; user["sub"] != "grace" {
		t.Errorf("user = %v, want grace", user)
	}
}

func TestCeiling_isSaid(t *testing.T) {
	s := newSite(t)
	s.tenant.NextLogin(idptest.Claims{"session_expiry": t0.Add(time.Hour).Unix()})
	s.login()
	s.clock.Advance(time.Hour)
	s.want(s.get("/api/token"), 401, "session_expired")
	s.want(s.get("/api/user"), 401, "no_session")
	s.want(s.do("POST", "/api/burst?n=3"), 401, "no_session")
}

func TestActualAudience_isSaid(t *testing.T) {
	s := newSite(t)
	s.tenant.Set(idptest.WithPolicy(map[string]string{"https://orders.example": "read:x"}))
	s.login()
	got := s.want(s.get("/api/token?audience=https://unknown.example"), 200, "").body
	if got["audience"] != "https://unknown.example" || got["actual_audience"] == nil {
		t.Errorf("token = %v, want an actual_audience", got)
	}
}

func TestLogout_ofAnotherSiteIsRefused(t *testing.T) {
	s := newSite(t)
	s.login()
	s.want(s.do("GET", "/auth/logout", "Sec-Fetch-Site", "cross-site"), 403, "cross_origin")
	s.want(s.get("/api/user"), 200, "")
	a := s.want(s.do("GET", "/auth/logout?return_to=https://evil.example", "Sec-Fetch-Site", "same-origin"), 302, "")
	if strings.Contains(a.Header.Get("Location"), "evil") {
		t.Errorf("logout leads to %s", a.Header.Get("Location"))
	}
	s.want(s.get("/api/user"), 401, "no_session")
}

func TestBackchannelLogout(t *testing.T) {
	s := newSite(t)
	s.login()
	sid, _ := s.get("/api/user").body["sid"].(string)
	forged := s.tenant.LogoutToken(idptest.Subject, sid, func(d *idptest.Draft) { d.BrokenSignature = true })
	s.want(s.post("POST", "/auth/backchannel-logout", url.Values{"logout_token": {forged}}), 400, "backchannel_logout_error")
	s.want(s.get("/api/user"), 200, "")
	good := s.tenant.LogoutToken(idptest.Subject, sid)
	s.want(s.post("POST", "/auth/backchannel-logout", url.Values{"logout_token": {good}}, "Origin", "https://tenant.example"), 200, "")
	s.want(s.get("/api/user"), 401, "no_session")
}

func TestBurst(t *testing.T) {
	s := newSite(t)
	s.login()
	for _, n := range []string{"", "0", "-1", "100001", "ten", "1e3", "99999999999999999999"} {
		s.want(s.do("POST", "/api/burst?n="+n), 400, "invalid_argument")
	}
	for _, origin := range []string{"null", "https://evil.example"} {
		s.want(s.do("POST", "/api/burst?n=1", "Origin", origin), 403, "cross_origin")
	}
	s.want(s.do("POST", "/api/burst?n=1", "Sec-Fetch-Site", "cross-site"), 403, "cross_origin")
	s.want(s.do("POST", "/api/burst?n=1", "Origin", s.url), 200, "")

	s.clock.Advance(2 * idptest.TokenLife)
	got := s.want(s.do("POST", "/api/burst?n=5000&audience=https://a.example&audience=https://b.example"), 200, "").body
	for name, want := range map[string]any{"calls": 5000.0, "ok": 5000.0, "failed": 0.0, "distinct_tokens": 2.0} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	if wall, ok := got["wall_ms"].(float64); !ok || wall < 0 {
		t.Errorf("wall_ms = %v", got["wall_ms"])
	}
	if n := s.tenant.Refreshes(); n != 2 {
		t.Errorf("refreshes = %d, want 2", n)
	}

	s.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_target", "").Always())
	got = s.want(s.do("POST", "/api/burst?n=100&audience=https://c.example"), 200, "").body
	if fmt.Sprint(got["ok"], got["failed"], got["distinct_tokens"], got["errors"]) != "0 100 0 map[refresh_token_error:100]" {
		t.Errorf("burst of failures = %v", got)
	}
}

func TestStoreDown_isSaidByEveryRouteThatNeedsIt(t *testing.T) {
	s := newSite(t)
	s.login()
	s.open("-issuer", s.tenant.Issuer()) // another process, which has nothing in memory yet
	s.store.Down()
	for _, route := range []string{
		"GET /api/user", "GET /api/session", "GET /api/token", "GET /api/connection-token?connection=g",
		"POST /api/burst?n=2", "GET /readyz", "GET /admin/", "GET /admin/sessions", "GET /auth/logout",
	} {
		method, path, _ := strings.Cut(route, " ")
		s.want(s.do(method, path), 503, "store_error")
	}
	if a := s.get("/readyz"); !strings.Contains(a.text, "store") || strings.Contains(a.text, "provider") {
		t.Errorf("readyz = %s, want the store named", a.text)
	}
	back := s.callback("")
	s.want(s.get(back), 503, "store_error")
	s.store.Heal()
	s.clock.Advance(time.Minute) // the deletion that failed is tried again
	if err := s.app.client.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.want(s.get("/readyz"), 200, "")
	s.login()
}

func TestCookies(t *testing.T) {
	tests := []struct {
		base, name, transaction string
		secure                  bool
	}{
		{"", "_a0_session", "_a0_tx", false},
		{"https://app.example", "__Host-_a0_session", "__Host-_a0_tx", true},
		{"HTTPS://app.example/", "__Host-_a0_session", "__Host-_a0_tx", true},
	}
	for _, tt := range tests {
		s := newSite(t, "-base-url", tt.base)
		s.tenant.Set(idptest.WithClient(demoID, demoSecret, strings.ToLower(strings.TrimSuffix(tt.base, "/"))+"/auth/callback"))
		jar := s.client.Jar // which would keep what is Secure to itself
		if tt.secure {
			s.client.Jar = nil
		}
		started := s.want(s.get("/auth/login"), http.StatusFound, "")
		back, err := s.tenant.Authorize(started.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		at, err := url.Parse(back)
		if err != nil {
			t.Fatal(err)
		}
		header := []string{}
		if tt.secure {
			header = []string{"Cookie", started.Cookies()[0].Name + "=" + started.Cookies()[0].Value}
		}
		done := s.want(s.do("GET", at.RequestURI(), header...), http.StatusFound, "")
		s.client.Jar = jar
		var session *http.Cookie
		for _, c := range append(started.Cookies(), done.Cookies()...) {
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Secure != tt.secure || c.Domain != "" {
				t.Errorf("cookie %q", c)
			}
			switch {
			case c.Name == tt.name:
				session = c
			case !strings.HasPrefix(c.Name, tt.transaction):
				t.Errorf("cookie %q is neither %s nor %s", c.Name, tt.name, tt.transaction)
			}
		}
		if session == nil {
			t.Fatalf("no cookie %s", tt.name)
		}
		s.want(s.do("GET", "/api/user", "Cookie", session.Name+"="+session.Value), 200, "")
	}
}

func TestCookies_forgedAreNoSession(t *testing.T) {
	s := newSite(t)
	s.login()
	at, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	good := s.client.Jar.Cookies(at)[0]
	s.client.Jar = nil
	for _, value := range []string{"", "x", good.Value[:len(good.Value)/2], good.Value + "A", "Q" + good.Value[1:], strings.Repeat("A", 4000), "%00"} {
		s.want(s.do("GET", "/api/user", "Cookie", good.Name+"="+value), 401, "no_session")
		s.want(s.do("GET", "/api/token", "Cookie", good.Name+"="+value), 401, "missing_refresh_token")
	}
	for i := range good.Value { // one character is another
		value := []byte(good.Value)
		if value[i]++; value[i] == '{' || value[i] == '[' || value[i] == ':' || value[i] == '.' || value[i] == '`' {
			value[i] = 'A'
		}
		s.want(s.do("GET", "/api/user", "Cookie", good.Name+"="+string(value)), 401, "no_session")
	}
	s.want(s.do("GET", "/api/user", "Cookie", good.Name+"="+good.Value), 200, "")
	s.open("-issuer", s.tenant.Issuer(), "-secret", "another secret of at least thirty-two bytes")
	s.want(s.do("GET", "/api/user", "Cookie", good.Name+"="+good.Value), 401, "no_session")
	s.open("-issuer", s.tenant.Issuer(), "-secret", "another secret of at least thirty-two bytes,"+sealing)
	s.want(s.do("GET", "/api/user", "Cookie", good.Name+"="+good.Value), 200, "")
}

func TestCookieStore_keepsSessionsInTheBrowser(t *testing.T) {
	s := newSite(t, "-store", "cookie")
	s.login()
	first := s.get("/api/token").body["access_token"]
	s.clock.Advance(2 * idptest.TokenLife)
	s.want(s.do("POST", "/api/burst?n=50"), 200, "")
	s.open("-issuer", s.tenant.Issuer(), "-store", "cookie")
	if second := s.want(s.get("/api/token"), 200, "").body["access_token"]; second == first || s.tenant.Refreshes() != 1 {
		t.Errorf("refreshes = %d, want one, which the burst's answer carried", s.tenant.Refreshes())
	}
	s.want(s.get("/auth/logout"), http.StatusFound, "")
	s.want(s.get("/api/user"), 401, "no_session")
}

func TestPage_letsNothingForeignIn(t *testing.T) {
	s := newSite(t)
	a := s.want(s.get("/"), 200, "")
	policy := a.Header.Get("Content-Security-Policy")
	_, nonce, ok := strings.Cut(policy, "script-src 'nonce-")
	nonce, _, _ = strings.Cut(nonce, "'")
	if !ok || nonce == "" || strings.Count(a.text, `nonce="`+nonce+`"`) != 2 || strings.Contains(policy, "unsafe") {
		t.Errorf("policy = %q", policy)
	}
	if again := s.get("/").Header.Get("Content-Security-Policy"); again == policy {
		t.Error("two pages have the same nonce")
	}
	for _, foreign := range []string{"src=\"http", "onclick=", "<link rel=\"stylesheet\""} {
		if strings.Contains(a.text, foreign) {
			t.Errorf("the page has %s", foreign)
		}
	}
}

// The operators' page is for who is signed in on this machine.
func TestRoutes_operators(t *testing.T) {
	s := newSite(t)
	s.want(s.get("/admin/sessions"), http.StatusForbidden, "forbidden")
	s.login()
	page := s.want(s.get("/admin/sessions"), 200, "")
	if !strings.Contains(page.text, idptest.Subject) {
		t.Errorf("sessions = %s", page.text)
	}
	if leaked := s.tenant.SecretsIn(page.text); len(leaked) > 0 {
		t.Errorf("the operators' page gives away %v", leaked)
	}
}
