package idptest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// userinfo asks the endpoint that discovery names for the user of a token.
func (a *app) userinfo(method, authorization string) answer {
	a.Helper()
	at := a.get(a.tenant.URL("/.well-known/openid-configuration")).str("userinfo_endpoint")
	req, err := http.NewRequest(method, at, nil)
	if err != nil {
		a.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return a.do(req)
}

func TestUserInfo_isOfTheTokensUser(t *testing.T) {
	clk := clock.NewFake(t0)
	overBoth(t, func(t *testing.T, a *app) {
		r := a.login(nil, "login_hint", "grace", "audience", "https://api.example")
		for scheme, token := range map[string]string{
			"Bearer": r.str("access_token"), "bEARER": a.refresh(r.str("refresh_token")).str("access_token"),
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				got := a.userinfo(method, scheme+" "+token)
				if got.status != 200 || got.str("sub") != "grace" || got.str("email") != "grace@example.com" || got.body["sid"] != nil || len(got.body) != 2 {
					t.Errorf("%s, %s: %d %s", method, scheme, got.status, got.raw)
				}
			}
		}
		if n := a.tenant.Requests(idptest.UserInfo); n != 4 {
			t.Errorf("requests = %d, want 4", n)
		}
	}, idptest.WithClock(clk), idptest.WithUser("grace", idptest.Claims{"email": "grace@example.com", "sid": idptest.Absent}))
}

func TestUserInfo_refusals(t *testing.T) {
	clk := clock.NewFake(t0)
	a := inProcess(t, idptest.WithClock(clk))
	r := a.login(nil)
	token := r.str("access_token")
	api := a.refresh(r.str("refresh_token"), "audience", "https://api.example", "scope", "read:x").str("access_token")
	other := inProcess(t, idptest.WithClock(clk))
	tests := []struct {
		name, authorization string
		status              int
		challenge           string
	}{
		{"no token", "", 401, "Bearer"},
		{"another scheme", "Basic " + token, 401, "Bearer"},
		{"no scheme", token, 401, "Bearer"},
		{"nonsense", "Bearer x", 401, `Bearer error="invalid_token"`},
		{"an ID token", "Bearer " + r.str("id_token"), 401, `Bearer error="invalid_token"`},
		{"another tenant's", "Bearer " + other.login(nil).str("access_token"), 401, `Bearer error="invalid_token"`},
		{"without openid", "Bearer " + api, 403, `Bearer error="insufficient_scope"`},
	}
	for _, tt := range tests {
		if got := a.userinfo(http.MethodGet, tt.authorization); got.status != tt.status || got.header.Get("WWW-Authenticate") != tt.challenge {
			t.Errorf("%s: %d, %q, want %d, %q", tt.name, got.status, got.header.Get("WWW-Authenticate"), tt.status, tt.challenge)
		}
	}
	clk.Advance(idptest.TokenLife - time.Second)
	if got := a.userinfo(http.MethodGet, "Bearer "+token); got.status != 200 {
		t.Errorf("in its last second: %d %s", got.status, got.raw)
	}
	clk.Advance(time.Second)
	if got := a.userinfo(http.MethodGet, "Bearer "+token); got.status != 401 {
		t.Errorf("expired: %d %s", got.status, got.raw)
	}
}
