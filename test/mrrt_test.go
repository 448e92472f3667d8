package test_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

// abMap is the map of section 4.2, with default audience A.
func abMap(c *tokenward.Config) {
	c.Audience, c.ScopesFor = apiA, map[string]string{apiA: "openid email profile", apiB: "read:x write:x"}
}

// withRefresh lets a login have a refresh token although the map does not ask for one.
func (r *rig) loginWithRefresh() string {
	r.t.Helper()
	res, err := r.complete(r.callback(tokenward.LoginRequest{AuthorizationParams: map[string]string{"scope": "offline_access"}}))
	if err != nil {
		r.t.Fatal(err)
	}
	return res.SessionID
}

// 4.2: what each call asks the provider for.
func TestMRRT_whatIsAsked(t *testing.T) {
	scopes := func(s string) func(*tokenward.Config) {
		return func(c *tokenward.Config) { c.Scopes = s }
	}
	tests := []struct {
		name     string
		config   func(*tokenward.Config)
		req      tokenward.TokenRequest
		audience string // "" : none is sent
		scope    string
	}{
		{"()", abMap, tokenward.TokenRequest{}, apiA, "openid email profile"},
		{"(B)", abMap, tokenward.TokenRequest{Audience: apiB}, apiB, "read:x write:x"},
		{"(A, write:admin)", abMap, tokenward.TokenRequest{Audience: apiA, Scope: "write:admin"}, apiA, "openid email profile write:admin"},
		{"(B, write:x read:y)", abMap, tokenward.TokenRequest{Audience: apiB, Scope: "write:x read:y"}, apiB, "read:x write:x read:y"},
		{"(C, z z y)", abMap, tokenward.TokenRequest{Audience: apiC, Scope: "z z y"}, apiC, "z y"},
		{"(C)", abMap, tokenward.TokenRequest{Audience: apiC}, apiC, ""},
		{"(scope alone)", abMap, tokenward.TokenRequest{Scope: "write:admin"}, apiA, "openid email profile write:admin"},
		{"a string, ()", scopes("openid offline_access a"), tokenward.TokenRequest{}, "", "openid offline_access a"},
		{"a string, for every audience", scopes("openid offline_access a"), tokenward.TokenRequest{Audience: apiC, Scope: "b a"}, apiC, "openid offline_access a b"},
		{"nothing configured, ()", nil, tokenward.TokenRequest{}, "", ""},
		{"nothing configured, (C)", nil, tokenward.TokenRequest{Audience: apiC}, apiC, ""},
		{"nothing configured, scope alone", nil, tokenward.TokenRequest{Scope: "  b  a "}, "", "b a"},
		{"default is no audience", nil, tokenward.TokenRequest{Audience: "default"}, "", ""},
		{"an audience that is called default", func(c *tokenward.Config) { c.Audience = "default" }, tokenward.TokenRequest{}, "default", ""},
		{"and one beside it", func(c *tokenward.Config) { c.Audience = apiA }, tokenward.TokenRequest{Audience: "default"}, "default", ""},
		{"a map for no audience", func(c *tokenward.Config) { c.ScopesFor = map[string]string{"default": "x y"} }, tokenward.TokenRequest{}, "", "x y"},
		{
			"audience and scope among the parameters",
			func(c *tokenward.Config) {
				c.AuthorizationParams = map[string]string{"audience": apiA, "scope": "openid offline_access a"}
			},
			tokenward.TokenRequest{},
			apiA, "openid offline_access a",
		},
	}
	for _, tt := range tests {
		r := newRig(t, withConfig(func(c *tokenward.Config) {
			if tt.config != nil {
				tt.config(c)
			}
		}))
		id := r.loginWithRefresh()
		r.expire()
		tok := r.token(id, tt.req)
		form := r.tenant.LastForm(idptest.Refresh)
		if got := form.Get("audience"); got != tt.audience || form.Has("audience") != (tt.audience != "") {
			t.Errorf("%s: audience = %q, want %q", tt.name, got, tt.audience)
		}
		if got := form.Get("scope"); got != tt.scope || form.Has("scope") != (tt.scope != "") {
			t.Errorf("%s: scope = %q, want %q", tt.name, got, tt.scope)
		}
		r.token(id, tt.req)
		if n := r.tenant.Refreshes(); n != 1 {
			t.Errorf("%s: refreshes = %d, want 1: the answer is kept", tt.name, n)
		}
		if want := orDefault(tt.audience); tok.Audience != want {
			t.Errorf("%s: the answer says audience %q, want %q", tt.name, tok.Audience, want)
		}
	}
}

func orDefault(audience string) string {
	if audience == "" {
		return "default"
	}
	return audience
}

// 4.2: the token of the login answers the call without arguments.
func TestMRRT_theLoginsToken(t *testing.T) {
	for name, config := range map[string]func(*tokenward.Config){
		"nothing configured": func(*tokenward.Config) {},
		"a map":              abMap,
		"an audience":        func(c *tokenward.Config) { c.Audience = apiA },
		"parameters": func(c *tokenward.Config) {
			c.AuthorizationParams = map[string]string{"audience": apiA, "scope": "openid offline_access a"}
		},
	} {
		r := newRig(t, withConfig(config))
		id := r.login()
		if tok := r.token(id, tokenward.TokenRequest{}); tok.AccessToken != r.state(id).TokenSets[0].AccessToken {
			t.Errorf("%s: another token than the login's", name)
		}
		if n := r.tenant.Refreshes(); n != 0 {
			t.Errorf("%s: refreshes = %d, want 0", name, n)
		}
	}
}

// set is a token set for tests of the lookup.
func set(token, scope, requested string, life time.Duration) session.TokenSet {
	return session.TokenSet{Audience: apiA, AccessToken: token, Scope: scope, RequestedScope: requested, ExpiresAt: t0.Add(life).Unix()}
}

// 4.3: which of the tokens in the cache answers.
func TestMRRT_lookup(t *testing.T) {
	const live, dead = time.Hour, -time.Second
	tests := []struct {
		name  string
		sets  []session.TokenSet
		scope string
		want  string // empty: a refresh
	}{
		{"an expired best match, a valid larger one", []session.TokenSet{set("small", "a", "a", dead), set("large", "a b", "a b", live)}, "a", "large"},
		{"narrower than requested", []session.TokenSet{set("narrow", "a", "a b", live)}, "b a", "narrow"},
		{"narrower than requested, another query", []session.TokenSet{set("narrow", "a", "a b", live)}, "b", ""},
		{"no stored scope, a scope is wanted", []session.TokenSet{set("none", "", "", live)}, "a", ""},
		{"no stored scope, none is wanted", []session.TokenSet{set("none", "", "", live)}, "", "none"},
		{"the smallest superset", []session.TokenSet{set("three", "a b c", "", live), set("two", "a b", "", live)}, "a", "two"},
		{"equal wins over larger", []session.TokenSet{set("two", "a b", "", live), set("one", "a", "", live)}, "a", "one"},
		{"requested equal wins over larger", []session.TokenSet{set("two", "a b", "", live), set("asked", "c", "a", live)}, "a", "asked"},
		{"ties by order", []session.TokenSet{set("first", "a b", "", live), set("second", "a c", "", live)}, "a", "first"},
		{"order and white space don't matter", []session.TokenSet{set("t", " b  a ", "", live)}, "a\tb a", "t"},
		{"any covers no scope", []session.TokenSet{set("t", "a b", "a b", live)}, "", "t"},
		{"no scope, the token requested without", []session.TokenSet{set("narrow", "z", "z", live), set("mine", "a b", "", live)}, "", "mine"},
		{"no scope, the fewest", []session.TokenSet{set("two", "a b", "", live), set("one", "z", "", live)}, "", "one"},
		{"another audience", []session.TokenSet{{Audience: apiB, AccessToken: "b", Scope: "a", ExpiresAt: t0.Add(live).Unix()}}, "a", ""},
		{"expired now", []session.TokenSet{set("t", "a", "a", 0)}, "a", ""},
		{"in its last second", []session.TokenSet{set("t", "a", "a", time.Second)}, "a", "t"},
		{"a part of a scope's name", []session.TokenSet{set("t", "read:x", "", live)}, "read", ""},
	}
	for _, tt := range tests {
		r := newRig(t)
		id := r.login()
		s := r.state(id).Clone()
		s.TokenSets = tt.sets
		r.put(id, s)
		r.restart()
		tok := r.token(id, tokenward.TokenRequest{Audience: apiA, Scope: tt.scope})
		if n := r.tenant.Refreshes(); (n == 0) != (tt.want != "") || tt.want != "" && tok.AccessToken != tt.want {
			t.Errorf("%s: refreshes = %d, token %q, want %q", tt.name, n, tok.AccessToken, tt.want)
		}
	}
}

// A cached token is served with no refresh token too; a miss then fails with missing_refresh_token.
func TestMRRT_noRefreshToken(t *testing.T) {
	r := newRig(t, withConfig(func(c *tokenward.Config) { c.Scopes = "openid" }))
	id := r.login()
	r.token(id, tokenward.TokenRequest{})
	r.wantCode("another audience", r.tokenErr(id, tokenward.TokenRequest{Audience: apiB}), "missing_refresh_token")
	r.clock.Advance(idptest.TokenLife)
	r.wantCode("expired", r.tokenErr(id, tokenward.TokenRequest{}), "missing_refresh_token")
	r.wantCode("no session", r.tokenErr("made-up", tokenward.TokenRequest{}), "missing_refresh_token")
	r.want("refreshes", r.tenant.Refreshes(), 0)
	if !r.lives(id) {
		t.Error("the session ended")
	}
}

// 4.5: what a good answer changes.
func TestMRRT_goodAnswers(t *testing.T) {
	refresh := func(t *testing.T, f idptest.Fault, q tokenward.TokenRequest, opts ...tokenward.Option) (*rig, string, tokenward.Token, error) {
		t.Helper()
		r := newRig(t, withClient(opts...))
		id := r.login(until(100 * time.Hour))
		r.tenant.Script(idptest.Refresh, f)
		tok, err := r.client.GetAccessToken(t.Context(), q, tokenward.SessionID(id))
		return r, id, tok, err
	}
	edit := idptest.Edit
	b := tokenward.TokenRequest{Audience: apiB, Scope: "x y"}
	t.Run("1: no access token", func(t *testing.T) {
		for _, body := range []string{`{"refresh_token":"kept"}`, `{"access_token":"","refresh_token":"kept"}`, `{"access_token":null,"refresh_token":"kept"}`, `{"access_token":7,"refresh_token":"kept"}`} {
			r, id, _, err := refresh(t, idptest.Respond(200, "application/json", body), b)
			r.wantCode(body, err, "refresh_token_error")
			if s := r.state(id); len(s.TokenSets) != 1 || s.RefreshToken != "kept" {
				t.Errorf("%s: token sets %d, refresh token %q", body, len(s.TokenSets), s.RefreshToken)
			}
		}
	})
	t.Run("2: expires_in", func(t *testing.T) {
		raw := func(s string) any { return json.RawMessage(s) }
		for _, tt := range []struct {
			in   any
			life time.Duration
		}{
			{90, 90 * time.Second},
			{"90", 90 * time.Second},
			{raw("90.9"), 90 * time.Second},
			{raw("9e1"), 90 * time.Second},
			{idptest.Absent, idptest.TokenLife},
			{-5, 0},
			{"soon", 0},
			{true, 0},
			{raw("null"), idptest.TokenLife},
			{raw("1e400"), 0},
		} {
			r, id, tok, err := refresh(t, idptest.ExpiresIn(tt.in), b)
			if err != nil || !tok.ExpiresAt.Equal(t0.Add(tt.life)) {
				t.Errorf("expires_in %v: expires %v, %v, want %v", tt.in, tok.ExpiresAt, err, t0.Add(tt.life))
			}
			r.token(id, b)
			if n := r.tenant.Refreshes(); (n == 1) != (tt.life > 0) {
				t.Errorf("expires_in %v: refreshes = %d", tt.in, n)
			}
		}
	})
	t.Run("3: scope", func(t *testing.T) {
		r, id, tok, err := refresh(t, idptest.NoScope(), b)
		if err != nil || tok.Scope != "x y" {
			t.Errorf("absent: scope %q, %v", tok.Scope, err)
		}
		if s := last(r.state(id).TokenSets); s.Scope != "x y" || s.RequestedScope != "x y" {
			t.Errorf("absent: stored %+v", s)
		}
		r, id, tok, err = refresh(t, edit(func(m map[string]any) { m["scope"] = "y" }), b)
		if err != nil || tok.Scope != "y" {
			t.Errorf("narrower: scope %q, %v", tok.Scope, err)
		}
		if s := last(r.state(id).TokenSets); s.Scope != "y" || s.RequestedScope != "x y" {
			t.Errorf("narrower: stored %+v", s)
		}
	})
	t.Run("4: places", func(t *testing.T) {
		r, id, _, _ := refresh(t, idptest.OK(), b)
		r.token(id, tokenward.TokenRequest{Audience: apiC})
		r.expire()
		r.token(id, tokenward.TokenRequest{Audience: apiB, Scope: "y  x"})
		var audiences []string
		for _, s := range r.state(id).TokenSets {
			audiences = append(audiences, s.Audience)
		}
		if len(audiences) != 3 || audiences[1] != apiB || audiences[2] != apiC {
			t.Errorf("token sets of %v, want default, B, C", audiences)
		}
	})
	t.Run("5: refresh token", func(t *testing.T) {
		for _, v := range []any{nil, "", 7} {
			r := newRig(t)
			id := r.login()
			before := r.state(id).RefreshToken
			r.tenant.Set(idptest.WithoutRotation())
			r.tenant.Script(idptest.Refresh, edit(func(m map[string]any) { m["refresh_token"] = v }))
			r.token(id, b)
			if r.state(id).RefreshToken != before {
				t.Errorf("refresh_token %v: the old one went", v)
			}
		}
		r, id, _, _ := refresh(t, edit(func(m map[string]any) { m["refresh_token"] = "new" }), b)
		if got := r.state(id).RefreshToken; got != "new" {
			t.Errorf("refresh token = %q, want the new one", got)
		}
	})
	t.Run("6: ID token", func(t *testing.T) {
		r := newRig(t)
		id := r.login(until(100 * time.Hour))
		before := r.state(id)
		r.tenant.Script(idptest.Refresh, edit(func(m map[string]any) { delete(m, "id_token") }))
		r.token(id, b)
		if r.state(id).IDToken != before.IDToken {
			t.Error("absent: the old one went")
		}
		r.clock.Advance(time.Second)
		r.token(id, tokenward.TokenRequest{Audience: apiC})
		after := r.state(id)
		if after.IDToken == before.IDToken {
			t.Error("present: the old one stayed")
		}
		if after.User != before.User || after.Internal.SID != before.Internal.SID || after.Internal.CreatedAt != before.Internal.CreatedAt ||
			after.Internal.Ceiling != before.Internal.Ceiling || after.Domain != before.Domain {
			t.Errorf("%+v became %+v", before, after)
		}
	})
	t.Run("6: a missing domain is filled in", func(t *testing.T) {
		r := newRig(t)
		id := r.login()
		s := r.state(id).Clone()
		s.Domain = ""
		r.put(id, s)
		r.restart()
		r.token(id, b)
		if got := r.state(id).Domain; got != r.tenant.Issuer() {
			t.Errorf("domain = %q", got)
		}
	})
	t.Run("7: an ID token for somebody else", func(t *testing.T) {
		for claim, v := range map[string]any{"sub": "mallory", "iss": "https://other.example/", "aud": "other"} {
			r := newRig(t, withTenant(idptest.WithIDToken(func(d *idptest.Draft) {
				if d.Kind == idptest.Refresh {
					d.Claims[claim] = v
				}
			})))
			id := r.login()
			before := r.state(id)
			r.wantCode(claim, r.tokenErr(id, b), "refresh_token_error")
			after := r.state(id)
			if after.RefreshToken == before.RefreshToken || after.IDToken != before.IDToken || len(after.TokenSets) != 1 {
				t.Errorf("%s: refresh token new %v, ID token new %v, token sets %d", claim, after.RefreshToken != before.RefreshToken, after.IDToken != before.IDToken, len(after.TokenSets))
			}
		}
	})
	t.Run("9: one update", func(t *testing.T) {
		r, _, tok, err := refresh(t, idptest.OK(), b)
		if err != nil || tok.AccessToken == "" || tok.Audience != apiB || tok.Scope != "x y" || !tok.ExpiresAt.Equal(t0.Add(idptest.TokenLife)) {
			t.Errorf("token = %+v, %v", tok, err)
		}
		r.want("updates", r.store.Updates(), 1)
		r.want("replaces", r.store.Replaces(), 1) // the login's
	})
	t.Run("10: old ones go", func(t *testing.T) {
		r, id, _, _ := refresh(t, idptest.OK(), b)
		r.clock.Advance(idptest.TokenLife + 24*time.Hour)
		r.settle()
		r.token(id, tokenward.TokenRequest{Audience: apiC})
		r.want("token sets expired for 24 h", len(r.state(id).TokenSets), 3)
		r.clock.Advance(time.Second)
		r.token(id, tokenward.TokenRequest{Audience: audience(4)})
		r.want("token sets a second later", len(r.state(id).TokenSets), 2)
	})
}

func last(sets []session.TokenSet) session.TokenSet { return sets[len(sets)-1] }

// 4.5 rule 8: an audience outside the policy is answered with a token for the login's own.
func TestMRRT_anotherAudienceThanAsked(t *testing.T) {
	policy := idptest.WithPolicy(map[string]string{apiA: "read:a"})
	configured := withConfig(func(c *tokenward.Config) { c.Audience = apiA })
	t.Run("shown", func(t *testing.T) {
		r := newRig(t, withTenant(policy), configured)
		id := r.login()
		tok := r.token(id, tokenward.TokenRequest{Audience: apiB})
		if tok.Audience != apiB || tok.ActualAudience != apiA {
			t.Errorf("token = %+v, want asked B, actual A", tok)
		}
		again := r.token(id, tokenward.TokenRequest{Audience: apiB})
		if again != tok {
			t.Errorf("again = %+v, want it from the cache", again)
		}
		r.want("refreshes", r.tenant.Refreshes(), 1)
		if s := last(r.state(id).TokenSets); s.Audience != apiB || s.ActualAudience != apiA {
			t.Errorf("stored %+v", s)
		}
		r.token(r.login(), tokenward.TokenRequest{Audience: apiB})
		r.token(id, tokenward.TokenRequest{Audience: apiC})
		r.token(id, tokenward.TokenRequest{Scope: "more"})
		r.want("lines about it, one for each audience", r.log.count("another audience"), 2)
		if own := r.token(id, tokenward.TokenRequest{}); own.ActualAudience != "" {
			t.Errorf("the default audience's token says %q", own.ActualAudience)
		}
	})
	t.Run("strict", func(t *testing.T) {
		r := newRig(t, withTenant(policy), configured, withClient(withProvider(tokenward.ProviderConfig{StrictAudience: true})))
		id := r.login()
		before := r.state(id)
		r.wantCode("GetAccessToken", r.tokenErr(id, tokenward.TokenRequest{Audience: apiB}), "incorrect_audience")
		after := r.state(id)
		if len(after.TokenSets) != 1 || after.RefreshToken == before.RefreshToken {
			t.Errorf("token sets %d, refresh token new %v", len(after.TokenSets), after.RefreshToken != before.RefreshToken)
		}
		r.token(id, tokenward.TokenRequest{})
	})
	t.Run("opaque tokens tell nothing", func(t *testing.T) {
		r := newRig(t, withTenant(policy, idptest.WithOpaqueTokens()), configured, withClient(withProvider(tokenward.ProviderConfig{StrictAudience: true})))
		id := r.login()
		if tok := r.token(id, tokenward.TokenRequest{Audience: apiB}); tok.ActualAudience != "" {
			t.Errorf("token = %+v", tok)
		}
	})
	t.Run("several audiences, the asked among them", func(t *testing.T) {
		r := newRig(t, configured, withClient(withProvider(tokenward.ProviderConfig{StrictAudience: true})), withTenant(idptest.WithAccessToken(func(d *idptest.Draft) {
			d.Claims["aud"] = []any{apiB, "https://userinfo.example"}
		})))
		id := r.login()
		if tok := r.token(id, tokenward.TokenRequest{Audience: apiB}); tok.ActualAudience != "" {
			t.Errorf("token = %+v", tok)
		}
	})
}

// The list of token sets is capped: the oldest expiry goes first, not the newest set.
func TestMRRT_cap(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithLimits(tokenward.Limits{TokenSets: 3})))
	id := r.login()
	for i := range 5 {
		r.clock.Advance(time.Second)
		r.token(id, tokenward.TokenRequest{Audience: audience(i)})
	}
	sets := r.state(id).TokenSets
	r.want("token sets", len(sets), 3)
	if got := last(sets).Audience; got != audience(4) {
		t.Errorf("last = %q", got)
	}
	for i := range 3 {
		r.connection(id, tokenward.ConnectionRequest{Connection: audience(i)})
	}
	r.want("token sets beside connection tokens", len(r.state(id).TokenSets), 3)
	r.connection(id, tokenward.ConnectionRequest{Connection: audience(4)})
	r.want("connection token sets", len(r.state(id).ConnectionTokenSets), 3)
}
