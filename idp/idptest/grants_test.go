package idptest_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

func TestCodeExchange_checksWhatTheLoginSaid(t *testing.T) {
	tests := []struct {
		name, param, value string
		want               string
	}{
		{"good", "", "", ""},
		{"another code", "code", "code_made_up", "invalid_grant"},
		{"another verifier", "code_verifier", strings.Repeat("x", 43), "invalid_grant"},
		{"no verifier", "code_verifier", "", "invalid_grant"},
		{"another redirect_uri", "redirect_uri", "http://127.0.0.1:9/elsewhere", "invalid_grant"},
	}
	overBoth(t, func(t *testing.T, a *app) {
		for _, tt := range tests {
			code := a.code(nil)
			if r := a.exchange(code, tt.param, tt.value); r.str("error") != tt.want {
				t.Errorf("%s = %d %s, want %q", tt.name, r.status, r.raw, tt.want)
			}
			if tt.param == "code" {
				continue
			}
			if r := a.exchange(code); r.str("error") != "invalid_grant" {
				t.Errorf("%s: the same code again = %d %s, want invalid_grant", tt.name, r.status, r.raw)
			}
		}
	})
}

func TestRefresh_grantsByPolicy(t *testing.T) {
	policy := idptest.WithPolicy(map[string]string{
		"https://a.example": "read:a write:a",
		"https://b.example": "read:b write:b",
	})
	const login = "openid offline_access read:a"
	tests := []struct {
		name            string
		audience, scope string
		wantAud, want   string
	}{
		{"nothing named", "", "", "https://a.example", login},
		{"fewer scopes", "", "read:a", "https://a.example", "read:a"},
		{"more scopes, one not allowed", "", "openid write:a admin:a", "https://a.example", "openid write:a"},
		{"another audience", "https://b.example", "write:b admin:b", "https://b.example", "write:b"},
		{"another audience, all its scopes", "https://b.example", "", "https://b.example", "read:b write:b"},
		{"an audience outside the policy", "https://c.example", "read:c", "https://a.example", login},
	}
	a := inProcess(t, policy, idptest.WithAudience("https://a.example"))
	token := a.login(nil, "scope", login+" admin:a").str("refresh_token")
	for _, tt := range tests {
		r := a.refresh(token, "audience", tt.audience, "scope", tt.scope)
		token = r.str("refresh_token")
		c := claims(t, r.str("access_token"))
		if c["aud"] != tt.wantAud || c["scope"] != tt.want || r.str("scope") != tt.want {
			t.Errorf("%s: aud %v, scope %q, in the answer %q; want %s, %q", tt.name, c["aud"], c["scope"], r.str("scope"), tt.wantAud, tt.want)
		}
	}
}

// A policy that does not name the login's own audience takes nothing from the login.
func TestRefresh_thePolicyLeavesTheLogin(t *testing.T) {
	const login = "openid offline_access read:a write:a"
	tests := []struct {
		name            string
		audience, scope string
		wantAud, want   string
	}{
		{"nothing named", "", "", "https://a.example", login},
		{"the login's audience", "https://a.example", "", "https://a.example", login},
		{"fewer scopes", "https://a.example", "openid read:a", "https://a.example", "openid read:a"},
		{"more scopes", "", "read:a admin:a profile", "https://a.example", "read:a"},
		{"what the policy names", "https://b.example", "openid read:b read:a", "https://b.example", "openid read:b"},
		{"an audience outside the policy", "https://c.example", "read:c", "https://a.example", login},
	}
	a := inProcess(t, idptest.WithPolicy(map[string]string{"https://b.example": "read:b"}))
	r := a.login(nil, "audience", "https://a.example", "scope", login)
	if r.str("scope") != login {
		t.Errorf("the login was granted %q, want %q", r.str("scope"), login)
	}
	for _, tt := range tests {
		r = a.refresh(r.str("refresh_token"), "audience", tt.audience, "scope", tt.scope)
		if c := claims(t, r.str("access_token")); c["aud"] != tt.wantAud || r.str("scope") != tt.want {
			t.Errorf("%s: aud %v, scope %q, want %s, %q", tt.name, c["aud"], r.str("scope"), tt.wantAud, tt.want)
		}
	}
}

func TestRefresh_withoutPolicyGrantsWhatIsAsked(t *testing.T) {
	a := inProcess(t)
	token := a.login(nil).str("refresh_token")
	r := a.refresh(token, "audience", "https://any.example", "scope", "x  y x")
	if c := claims(t, r.str("access_token")); c["aud"] != "https://any.example" || c["scope"] != "x y" {
		t.Errorf("aud %v, scope %q, want https://any.example, x y", c["aud"], c["scope"])
	}
	r = a.refresh(r.str("refresh_token"))
	if c := claims(t, r.str("access_token")); c["aud"] != a.tenant.URL("/userinfo") {
		t.Errorf("aud %v, want the userinfo endpoint", c["aud"])
	}
}

func TestAccessToken_saysWhoForHowLong(t *testing.T) {
	clk := clock.NewFake(t0)
	a := inProcess(t, idptest.WithClock(clk), idptest.WithTokenLife(90*time.Second))
	first := a.login(nil)
	if number(first.body["expires_in"]) != 90 {
		t.Errorf("expires_in = %v, want 90", first.body["expires_in"])
	}
	c := claims(t, first.str("access_token"))
	if iat, exp := number(c["iat"]), number(c["exp"]); iat != t0.Unix() || exp != t0.Unix()+90 {
		t.Errorf("iat, exp = %d, %d, want %d and 90 s more", iat, exp, t0.Unix())
	}
	if c["sub"] != idptest.Subject || c["iss"] != a.tenant.Issuer() || c["client_id"] != idptest.ClientID || c["jti"] == "" {
		t.Errorf("claims = %v", c)
	}
	second := a.refresh(first.str("refresh_token"))
	if second.str("access_token") == first.str("access_token") {
		t.Error("two answers with the same access token")
	}
	a.tenant.Set(idptest.WithOpaqueTokens())
	if tok := a.refresh(second.str("refresh_token")).str("access_token"); strings.Contains(tok, ".") || tok == "" {
		t.Errorf("opaque token = %q", tok)
	}
}

func TestConnectionExchange_answersForTheAccount(t *testing.T) {
	tests := []struct {
		name, connection, hint string
		want                   string // prefix of the token, or the error
	}{
		{"first account", "google-oauth2", "", "ct_google-oauth2_work_"},
		{"by hint", "google-oauth2", "home", "ct_google-oauth2_home_"},
		{"no such account", "google-oauth2", "club", "federated_connection_refresh_token_not_found"},
		{"no such connection", "github", "", "federated_connection_refresh_token_not_found"},
		{"no connection", "", "", "invalid_request"},
	}
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		for _, tt := range tests {
			r := a.connection(token, tt.connection, "login_hint", tt.hint)
			if got := r.str("access_token") + r.str("error"); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s = %d %s, want %s", tt.name, r.status, r.raw, tt.want)
			}
		}
		if r := a.refresh(token); r.status != 200 {
			t.Errorf("the refresh token afterwards = %d %s, want it unspent", r.status, r.raw)
		}
	}, idptest.WithConnection("google-oauth2", "work", "home"), idptest.WithConnectionTokenLife(time.Minute))
}

func TestConnectionExchange_isAPresentation(t *testing.T) {
	a := inProcess(t)
	zero := a.login(nil).str("refresh_token")
	one := a.refresh(zero).str("refresh_token")
	if r := a.connection(one, "any"); r.status != 200 || r.str("refresh_token") != "" {
		t.Errorf("exchange = %d %s, want 200 and no rotation", r.status, r.raw)
	}
	if r := a.connection(zero, "any"); r.str("error") != "invalid_grant" {
		t.Errorf("exchange of a rotated token = %d %s, want invalid_grant", r.status, r.raw)
	}
	if a.tenant.FamilyAlive(idptest.Subject) || a.tenant.Reuses() != 1 {
		t.Error("want reuse noticed and the family revoked")
	}
}

func TestConnectionExchange_rotatesWhereTheTenantSaysSo(t *testing.T) {
	a := inProcess(t, idptest.WithExchangeRotation())
	r := a.connection(a.login(nil).str("refresh_token"), "any", "login_hint", "x@y.example")
	if r = a.refresh(r.str("refresh_token")); r.status != 200 {
		t.Errorf("refresh = %d %s, want 200", r.status, r.raw)
	}
	if got, want := a.tenant.Family(idptest.Subject).Serials(), []int{0, 1}; !slices.Equal(got, want) {
		t.Errorf("presented = %v, want %v", got, want)
	}
}

func TestWithConnectionToken_saysWhose(t *testing.T) {
	a := inProcess(t, idptest.WithConnectionToken(func(d *idptest.Draft) {
		d.Raw = fmt.Sprint(d.Kind, " of ", d.Claims["sub"], " at ", d.Claims["connection"], " as ", d.Claims["account"])
	}))
	r := a.connection(a.login(nil).str("refresh_token"), "github", "login_hint", "work")
	if got, want := r.str("access_token"), "connection exchange of "+idptest.Subject+" at github as work"; got != want {
		t.Errorf("token = %q, want %q", got, want)
	}
}

func TestTokenEndpoint_refusesWhatItDoesNotKnow(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		if r := a.form("/oauth/token", "grant_type", "password"); r.str("error") != "unsupported_grant_type" {
			t.Errorf("unknown grant = %d %s", r.status, r.raw)
		}
		if r := a.get(a.tenant.URL("/oauth/token")); r.status != 405 {
			t.Errorf("GET = %d, want 405", r.status)
		}
		if r := a.get(a.tenant.URL("/nothing")); r.status != 404 {
			t.Errorf("unknown path = %d, want 404", r.status)
		}
	})
}

func TestRevocation_needsAToken(t *testing.T) {
	a := inProcess(t)
	a.login(nil)
	if r := a.form("/oauth/revoke"); r.status != 400 || r.str("error") != "invalid_request" {
		t.Errorf("without a token = %d %s, want invalid_request", r.status, r.raw)
	}
	if r := a.form("/oauth/revoke", "token", "unknown"); r.status != 200 {
		t.Errorf("an unknown token = %d %s, want 200", r.status, r.raw)
	}
}

func TestLogout_sendsTheBrowserBack(t *testing.T) {
	const to = "https://app.example/?a=b"
	tests := []struct{ path, param, state, want string }{
		{"/v2/logout", "returnTo", "", to},
		{"/oidc/logout", "post_logout_redirect_uri", "s", to + "&state=s"},
		{"/v2/logout", "", "", ""},
	}
	a := inProcess(t)
	for _, tt := range tests {
		q := url.Values{"client_id": {idptest.ClientID}}
		change(q, []string{tt.param, to, "state", tt.state})
		if got := a.get(a.tenant.URL(tt.path) + "?" + q.Encode()).header.Get("Location"); got != tt.want {
			t.Errorf("%s: Location = %q, want %q", tt.path, got, tt.want)
		}
		if got := a.postTo(context.Background(), tt.path, q).header.Get("Location"); got != tt.want {
			t.Errorf("%s by POST: Location = %q, want %q", tt.path, got, tt.want)
		}
	}
	if n := a.tenant.Requests(idptest.Logout); n != 6 {
		t.Errorf("logout requests = %d, want 6", n)
	}
}
