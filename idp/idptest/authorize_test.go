package idptest_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

func TestAuthorize_sendsTheBrowserBackWithACode(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		r := a.get(a.authorizeURL())
		to, err := url.Parse(r.header.Get("Location"))
		if r.status != 302 || err != nil || to.Host != "127.0.0.1:9" || to.Path != "/callback" {
			t.Fatalf("authorize = %d to %v, %v", r.status, to, err)
		}
		if q := to.Query(); q.Get("code") == "" || q.Get("state") != "the-state" {
			t.Errorf("callback query = %v, want code and state", q)
		}
	})
}

// Authorize requests with something wrong in them that the client is told.
var badRequests = []struct {
	name, param, value string
	want               string
}{
	{"implicit flow", "response_type", "token", "unsupported_response_type"},
	{"no PKCE", "code_challenge", "", "invalid_request"},
	{"plain PKCE", "code_challenge_method", "plain", "invalid_request"},
	{"no openid", "scope", "profile", "invalid_scope"},
}

func TestAuthorize_tellsTheClientWhatIsWrong(t *testing.T) {
	a := inProcess(t)
	for _, tt := range badRequests {
		to, err := a.tenant.Authorize(a.authorizeURL(tt.param, tt.value))
		u, _ := url.Parse(to)
		if err != nil || u.Query().Get("error") != tt.want || u.Query().Get("state") != "the-state" {
			t.Errorf("%s: callback = %q, %v, want error %s", tt.name, to, err, tt.want)
		}
	}
}

func TestPushedRequest_isRefusedWhereAuthorizeWouldRefuseIt(t *testing.T) {
	a := inProcess(t)
	refused := func(name, param, value, want string) {
		t.Helper()
		if r := a.push(a.authorizeForm(param, value)); r.status != 400 || r.str("error") != want {
			t.Errorf("%s: %d %s, want %s", name, r.status, r.raw, want)
		}
	}
	for _, tt := range badRequests {
		refused(tt.name, tt.param, tt.value, tt.want)
	}
	refused("unregistered redirect_uri", "redirect_uri", "https://evil.example/callback", "invalid_request")
	refused("a request_uri", "request_uri", "urn:none", "invalid_request")
}

func TestAuthorize_doesNotRedirectToWhomItDoesNotKnow(t *testing.T) {
	tests := []struct{ name, param, value string }{
		{"unknown client", "client_id", "stranger"},
		{"no redirect_uri", "redirect_uri", ""},
		{"relative redirect_uri", "redirect_uri", "/callback"},
		{"unregistered redirect_uri", "redirect_uri", "https://evil.example/callback"},
		{"loopback in the name only", "redirect_uri", "http://127.0.0.1.evil.example/callback"},
		{"unknown request_uri", "request_uri", "urn:none"},
	}
	a := inProcess(t)
	for _, tt := range tests {
		if to, err := a.tenant.Authorize(a.authorizeURL(tt.param, tt.value)); err == nil {
			t.Errorf("%s: callback = %q, want an error", tt.name, to)
		}
	}
}

func TestAuthorize_redirectsToWhatTheClientRegistered(t *testing.T) {
	a := inProcess(t, idptest.WithClient("app", "app-secret", "https://app.example/callback"))
	for _, uri := range []string{"https://app.example/callback", "http://localhost:3000/x", "http://[::1]:3000/x"} {
		to, err := a.tenant.Authorize(a.authorizeURL("client_id", "app", "redirect_uri", uri))
		if err != nil || !strings.HasPrefix(to, uri+"?code=") {
			t.Errorf("callback = %q, %v, want %s with a code", to, err, uri)
		}
	}
}

func TestLoginHint_choosesTheUser(t *testing.T) {
	tests := []struct{ name, hint, want string }{
		{"none", "", idptest.Subject},
		{"a subject", "grace", "grace"},
		{"an email", "grace@example.com", "grace"},
		{"somebody new", "user-17", "user-17"},
		{"a new email", "x@example.com", "x@example.com"},
	}
	a := inProcess(t, idptest.WithUser("grace", idptest.Claims{"email": "grace@example.com"}))
	for _, tt := range tests {
		r := a.login(nil, "login_hint", tt.hint)
		if got := claims(t, r.str("id_token"))["sub"]; got != tt.want {
			t.Errorf("%s: sub = %v, want %s", tt.name, got, tt.want)
		}
	}
	a.tenant.Set(idptest.WithDefaultUser("grace"))
	if got := claims(t, a.login(nil).str("id_token"))["sub"]; got != "grace" {
		t.Errorf("default user = %v, want grace", got)
	}
}

func TestScriptedAuthorize_reachesTheCallback(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		a.tenant.Script(idptest.Authorize, idptest.OAuthError("access_denied", "The user said no."))
		u, _ := url.Parse(a.get(a.authorizeURL()).header.Get("Location"))
		if q := u.Query(); q.Get("error") != "access_denied" || q.Get("error_description") != "The user said no." || q.Get("state") != "the-state" || q.Has("code") {
			t.Errorf("callback query = %v", q)
		}
		a.code(nil) // the next is well again
	})
}

func TestCode_isGoodForTenMinutes(t *testing.T) {
	clk := clock.NewFake(t0)
	a := inProcess(t, idptest.WithClock(clk))
	early, late := a.code(nil), a.code(nil)
	clk.Advance(idptest.CodeLife - time.Nanosecond)
	if r := a.exchange(early); r.status != 200 {
		t.Errorf("just in time = %d %s, want 200", r.status, r.raw)
	}
	clk.Advance(time.Nanosecond)
	if r := a.exchange(late); r.str("error") != "invalid_grant" {
		t.Errorf("too late = %d %s, want invalid_grant", r.status, r.raw)
	}
}

func TestPushedRequest_isWhatAuthorizeDoes(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		form := a.authorizeForm("login_hint", "grace")
		r := a.push(form)
		if r.status != 201 || r.str("request_uri") == "" {
			t.Fatalf("push = %d %s", r.status, r.raw)
		}
		short := a.tenant.URL("/authorize") + "?" + url.Values{
			"client_id": {idptest.ClientID}, "response_type": {"code"}, "request_uri": {r.str("request_uri")},
		}.Encode()
		to, err := a.tenant.Authorize(short)
		cb, _ := url.Parse(to)
		if err != nil || cb.Query().Get("state") != "the-state" {
			t.Fatalf("callback = %q, %v", to, err)
		}
		if got := claims(t, a.exchange(cb.Query().Get("code")).str("id_token"))["sub"]; got != "grace" {
			t.Errorf("sub = %v, want grace", got)
		}
		if _, err := a.tenant.Authorize(short); err == nil {
			t.Error("a request_uri was good twice")
		}
		form.Set("client_secret", "wrong")
		if a.push(form).str("error") != "invalid_client" {
			t.Error("a push with the wrong secret was accepted")
		}
	})
}

func TestResponseIssuer_isSentAndPromised(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		promise := func() any {
			return a.get(a.tenant.URL("/.well-known/openid-configuration")).body["authorization_response_iss_parameter_supported"]
		}
		sent := func(changes ...string) string {
			to, err := a.tenant.Authorize(a.authorizeURL(changes...))
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(to)
			if err != nil {
				t.Fatal(err)
			}
			return u.Query().Get("iss")
		}
		if p, iss := promise(), sent(); p != nil || iss != "" {
			t.Errorf("by default: promise %v, iss %q, want neither", p, iss)
		}
		a.tenant.Set(idptest.WithResponseIssuer())
		if p := promise(); p != true {
			t.Errorf("promise = %v, want true", p)
		}
		for _, changes := range [][]string{nil, {"scope", "profile"}} { // a code, and an error
			if iss := sent(changes...); iss != a.tenant.Issuer() {
				t.Errorf("iss = %q, want %q", iss, a.tenant.Issuer())
			}
		}
		a.tenant.Script(idptest.Authorize, idptest.OAuthError("access_denied", "no"))
		if iss := sent(); iss != a.tenant.Issuer() {
			t.Errorf("iss of a scripted error = %q, want %q", iss, a.tenant.Issuer())
		}
	})
}
