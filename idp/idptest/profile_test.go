package idptest_test

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// overProfiles runs a story with the client of each profile, in-process.
func overProfiles(t *testing.T, story func(t *testing.T, c *player)) {
	t.Helper()
	for _, p := range idptest.Profiles() {
		t.Run(p.Name, func(t *testing.T) { story(t, play(t, p)) })
	}
}

func TestProfiles_areDescribed(t *testing.T) {
	name, month := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`), regexp.MustCompile(`^20[0-9]{2}-(0[1-9]|1[0-2])$`)
	seen := map[string]bool{}
	for _, p := range idptest.Profiles() {
		if !name.MatchString(p.Name) || seen[p.Name] || p.Title == "" || p.Summary == "" || strings.Contains(p.Summary, "\n") || !month.MatchString(p.Facts) {
			t.Errorf("%q: title %q, summary %q, facts of %q", p.Name, p.Title, p.Summary, p.Facts)
		}
		seen[p.Name] = true
		if got, ok := idptest.ProfileNamed(p.Name); !ok || got.Title != p.Title {
			t.Errorf("ProfileNamed(%s) = %s, %v", p.Name, got.Title, ok)
		}
		for what, wrong := range map[string]bool{
			"refresh tokens": p.Lacks.RefreshTokens != (p.Refresh.Given == idptest.RefreshNever),
			"end session":    p.Lacks.EndSession != (p.Location.EndSession == ""),
			"userinfo":       p.Lacks.UserInfo != (p.Location.UserInfo == ""),
			"back channel":   p.Lacks.BackChannelLogout == p.Metadata.BackChannel,
			"refused":        (p.Refused != "") != strings.HasPrefix(p.Keys.Alg, "HS"),
			"JWT by HS256":   strings.HasPrefix(p.Keys.Alg, "HS") && !p.Tokens.Opaque,
		} {
			if wrong {
				t.Errorf("%s: %s: the parts of the profile disagree", p.Name, what)
			}
		}
	}
	if _, ok := idptest.ProfileNamed("nobody"); ok {
		t.Error("ProfileNamed knows nobody")
	}
}

func TestProfiles_callersMayChangeTheirs(t *testing.T) {
	mine, _ := idptest.ProfileNamed("entra")
	mine.IDToken.Claims["tid"] = "changed"
	mine.Metadata.Scopes[0] = "changed"
	other, _ := idptest.ProfileNamed("entra")
	if other.IDToken.Claims["tid"] == "changed" || other.Metadata.Scopes[0] == "changed" {
		t.Error("a change reached another copy")
	}
}

// What a tenant does without a profile is the profile auth0, address for address.
func TestProfile_auth0IsTheStandard(t *testing.T) {
	p, _ := idptest.ProfileNamed("auth0")
	standard, played := inProcess(t), inProcess(t, idptest.WithProfile(p))
	at := "/.well-known/openid-configuration"
	if a, b := standard.get(standard.tenant.URL(at)), played.get(played.tenant.URL(at)); a.raw != b.raw {
		t.Errorf("metadata = %s, with the profile %s", a.raw, b.raw)
	}
}

func TestProfile_metadataNamesWhatThereIs(t *testing.T) {
	overProfiles(t, func(t *testing.T, c *player) {
		l := c.profile.Lacks
		for name, absent := range map[string]bool{
			"authorization_endpoint": false, "token_endpoint": false, "jwks_uri": false,
			"end_session_endpoint": l.EndSession, "userinfo_endpoint": l.UserInfo, "backchannel_logout_supported": l.BackChannelLogout,
			"scopes_supported":                               c.profile.Metadata.Scopes == nil,
			"token_endpoint_auth_methods_supported":          c.profile.Metadata.AuthMethods == nil,
			"id_token_signing_alg_values_supported":          c.profile.Metadata.IDTokenAlgs == nil,
			"code_challenge_methods_supported":               c.profile.Metadata.Challenges == nil,
			"revocation_endpoint":                            c.profile.Location.Revocation == "",
			"pushed_authorization_request_endpoint":          c.profile.Location.PAR == "",
			"authorization_response_iss_parameter_supported": !c.profile.Metadata.ResponseIssuer,
		} {
			if _, there := c.meta[name]; there == absent {
				t.Errorf("metadata have %s: %v", name, there)
			}
		}
		for name, v := range c.meta {
			if s, ok := v.(string); ok && strings.HasSuffix(name, "_endpoint") && (strings.Contains(s, "{") || !strings.HasPrefix(s, "https://")) {
				t.Errorf("%s = %s", name, s)
			}
		}
		if c.profile.Location.Logout == "" {
			if r := c.get(c.tenant.URL("/v2/logout")); r.status != 404 {
				t.Errorf("/v2/logout = %d, want 404", r.status)
			}
		}
	})
}

func TestProfile_login(t *testing.T) {
	overProfiles(t, func(t *testing.T, c *player) {
		callback, r := c.signIn()
		if callback.Has("iss") != c.profile.Metadata.ResponseIssuer {
			t.Errorf("callback = %v", callback)
		}
		id := c.claimsOf(r.str("id_token"))
		wantNonce := c.profile.Config.Nonce
		if id["sub"] != idptest.Subject || (id["nonce"] == playerNonce) != wantNonce || !audience(id["aud"], c.config.ClientID) {
			t.Errorf("ID token = %v", id)
		}
		if want := issOf(c); id["iss"] != want {
			t.Errorf("iss = %v, want %s", id["iss"], want)
		}
		user := map[string]any{}
		if !c.profile.Lacks.UserInfo {
			user = c.userinfo(r.str("access_token"))
			if user["sub"] != id["sub"] {
				t.Errorf("userinfo is about %v", user["sub"])
			}
		}
		if _, there := id["email"]; c.profile.IDToken.Thin && there {
			t.Errorf("thin ID token = %v", id)
		}
		maps.Copy(user, id)
		if _, there := user["name"]; there == c.profile.Lacks.Name {
			t.Errorf("user = %v, has a name: %v", user, there)
		}
		if _, there := user["email"]; there == c.profile.Lacks.Email {
			t.Errorf("user = %v, has an e-mail: %v", user, there)
		}
		if v, there := user["email_verified"]; there && (v == "true") != (c.profile.IDToken.VerifiedText || c.profile.IDToken.Thin && c.profile.UserInfo.VerifiedText) {
			t.Errorf("email_verified = %T %v", v, v)
		}
		if got := r.str("refresh_token") == ""; got != c.profile.Lacks.RefreshTokens {
			t.Errorf("no refresh token: %v, want %v", got, c.profile.Lacks.RefreshTokens)
		}
	})
}

// issOf returns the iss that the profile's ID tokens have.
func issOf(c *player) string {
	if c.profile.IDToken.NoScheme {
		_, rest, _ := strings.Cut(c.tenant.Issuer(), "://")
		return rest
	}
	return c.tenant.Issuer()
}

func audience(aud any, client string) bool {
	if list, ok := aud.([]any); ok {
		return slices.Contains(list, any(client))
	}
	return aud == client
}

func TestProfile_overTheSocketAsInProcess(t *testing.T) {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	for _, p := range idptest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			clk := clock.NewFake(t0)
			tenant := idptest.NewTenant(t, idptest.WithProfile(p), idptest.WithClock(clk))
			c := newPlayer(t, p, &app{t, tenant, noRedirects(&http.Client{Transport: tr})}, clk)
			_, r := c.signIn()
			c.claimsOf(r.str("id_token"))
			if u, _ := url.Parse(c.endpoint("token_endpoint")); u.Scheme != "http" || u.Host != tenant.Address() {
				t.Errorf("token endpoint is %s", u)
			}
			if token := r.str("refresh_token"); token != "" && p.Name != "throttled" {
				if r := c.spend(token); r.status != 200 {
					t.Errorf("refresh = %d %s", r.status, r.raw)
				}
			}
		})
	}
}

func TestWithRedirectURI(t *testing.T) {
	p, _ := idptest.ProfileNamed("okta-private-key-jwt")
	const elsewhere = "https://app.example/callback"
	if back, err := play(t, p).authorize("redirect_uri", elsewhere); err == nil {
		t.Errorf("callback = %v, want it refused", back)
	}
	if back, err := play(t, p, idptest.WithRedirectURI(elsewhere)).authorize("redirect_uri", elsewhere); err != nil || !back.Has("code") {
		t.Errorf("callback = %v, %v", back, err)
	}
}

func TestProfile_withIssuerMovesTheAddresses(t *testing.T) {
	p, _ := idptest.ProfileNamed("authentik")
	tenant := idptest.NewTenant(t, idptest.InProcess(), idptest.WithProfile(p), idptest.WithIssuer("https://proxy.example/below/"))
	a := &app{t, tenant, noRedirects(tenant.Client())}
	if got, want := tenant.Issuer(), "https://proxy.example/below/application/o/app/"; got != want {
		t.Errorf("issuer = %s, want %s", got, want)
	}
	if r := a.get(tenant.URL("/.well-known/openid-configuration")); r.str("token_endpoint") != "https://proxy.example/below/application/o/token/" {
		t.Errorf("metadata = %d %s", r.status, r.raw)
	}
}

func TestProfile_refresh(t *testing.T) {
	overProfiles(t, func(t *testing.T, c *player) {
		_, r := c.signIn()
		first := r.str("refresh_token")
		if c.profile.Lacks.RefreshTokens {
			if r := c.spend("rt_none"); r.str("access_token") != "" {
				t.Errorf("refresh = %d %s", r.status, r.raw)
			}
			return
		}
		for range c.profile.Refusals.Throttled.Refreshes {
			if r := c.spend(first); r.status != 429 || r.header.Get("Retry-After") != "2" || r.body != nil {
				t.Errorf("throttled = %d %s", r.status, r.raw)
			}
		}
		current := first
		for i := range 2 {
			before := c.clk.Now()
			c.clk.Advance(time.Minute)
			next := c.spend(current)
			if next.status != 200 || next.str("access_token") == "" || next.str("access_token") == r.str("access_token") {
				t.Fatalf("refresh %d, %s later = %d %s", i, c.clk.Now().Sub(before), next.status, next.raw)
			}
			current = c.afterRefresh(current, next)
		}
		old := c.spend(first)
		stays := c.profile.Refresh.Rotation != idptest.RotateOnce
		if (old.str("access_token") != "") != stays {
			t.Errorf("the first token again = %d %s, want it good: %v", old.status, old.raw, stays)
		}
		if now := c.spend(current); (now.str("access_token") != "") != (stays || c.profile.Refresh.KeepFamily) {
			t.Errorf("the newest token afterwards = %d %s", now.status, now.raw)
		}
	})
}

// afterRefresh checks what a refresh says of the refresh token, and returns the one that
// is good now.
func (c *player) afterRefresh(presented string, r answer) string {
	c.Helper()
	got := r.str("refresh_token")
	switch c.profile.Refresh.Rotation {
	case idptest.SameToken:
		if got != "" {
			c.Errorf("answer has a refresh token: %s", r.raw)
		}
		return presented
	case idptest.SameTokenRepeated:
		if got != presented {
			c.Errorf("answer does not repeat the refresh token: %s", r.raw)
		}
	default:
		if got == "" || got == presented {
			c.Errorf("answer has no new refresh token: %s", r.raw)
		}
	}
	return got
}

func TestProfile_graceAfterARotation(t *testing.T) {
	overProfiles(t, func(t *testing.T, c *player) {
		if c.profile.Refresh.Grace == 0 || c.profile.Lacks.RefreshTokens {
			return
		}
		_, r := c.signIn()
		first := r.str("refresh_token")
		c.spend(first)
		c.clk.Advance(c.profile.Refresh.Grace - time.Second)
		if r := c.spend(first); r.status != 200 {
			t.Errorf("within the grace period = %d %s", r.status, r.raw)
		}
		c.clk.Advance(time.Second)
		if r := c.spend(first); r.str("access_token") != "" {
			t.Errorf("after it = %d %s", r.status, r.raw)
		}
	})
}

func TestProfile_refusedRefresh(t *testing.T) {
	type refusal struct {
		status int
		code   string
	}
	want := map[string]refusal{
		"auth0": {403, "invalid_grant"}, "dex": {400, "invalid_request"}, "slack": {200, "invalid_refresh_token"}, "yahoo": {400, "INVALID_REFRESH_TOKEN"},
	}
	overProfiles(t, func(t *testing.T, c *player) {
		_, r := c.signIn()
		token := r.str("refresh_token")
		for range c.profile.Refusals.Throttled.Refreshes {
			c.spend(token)
		}
		if err := c.tenant.Revoke(idptest.Subject); (err == nil) != (token != "") {
			t.Errorf("Revoke: %v", err)
		}
		if token == "" {
			token = "rt_unknown"
		}
		w, ok := want[c.profile.Name]
		if !ok {
			w = refusal{400, "invalid_grant"}
		}
		if r := c.spend(token); r.status != w.status || r.str("error") != w.code || c.profile.Refusals.OK && r.body["ok"] != false {
			t.Errorf("refresh = %d %s, want %d %s", r.status, r.raw, w.status, w.code)
		}
	})
}

func TestProfile_logout(t *testing.T) {
	overProfiles(t, func(t *testing.T, c *player) {
		_, r := c.signIn()
		if c.profile.Lacks.EndSession {
			return
		}
		if got := c.get(c.logout(r.str("id_token"))); got.status != 302 || !strings.HasPrefix(got.header.Get("Location"), playerReturn) {
			t.Errorf("logout = %d %s to %q", got.status, got.raw, got.header.Get("Location"))
		}
		wrong := map[string][]string{}
		switch c.profile.Logout.Hint {
		case idptest.HintRequired:
			wrong["without a hint"] = []string{"id_token_hint", ""}
			wrong["with another's hint"] = []string{"id_token_hint", "not.a.token"}
		case idptest.HintRefused:
			wrong["with a hint"] = []string{"id_token_hint", r.str("id_token")}
		}
		for _, names := range c.profile.Logout.Requires {
			var without []string
			for _, name := range strings.Split(names, "|") {
				without = append(without, name, "")
			}
			wrong["without "+names] = without
		}
		for what, changes := range wrong {
			if got := c.get(c.logout(r.str("id_token"), changes...)); got.status != 400 {
				t.Errorf("logout %s = %d %s, want an error page", what, got.status, got.raw)
			}
		}
	})
}

func TestProfile_backChannelLogoutToken(t *testing.T) {
	overProfiles(t, func(t *testing.T, c *player) {
		if c.profile.Lacks.BackChannelLogout {
			return
		}
		_, r := c.signIn()
		sid, _ := c.claimsOf(r.str("id_token"))["sid"].(string)
		token := c.claimsOf(c.tenant.LogoutToken(idptest.Subject, sid))
		form := c.profile.LogoutToken
		for name, absent := range map[string]bool{"sub": form.NoSub, "sid": form.NoSID || sid == "", "exp": form.NoExp, "iat": false, "jti": false, "events": false, "nonce": true} {
			if _, there := token[name]; there == absent {
				t.Errorf("logout token has %s: %v: %v", name, there, token)
			}
		}
		if token["iss"] != c.tenant.Issuer() || token["aud"] != c.config.ClientID {
			t.Errorf("logout token = %v", token)
		}
	})
}
