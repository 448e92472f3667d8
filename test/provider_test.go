package test_test

import (
	"net/http"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// withProfile makes the rig's tenant a provider, and the rig's application one that knows only
// the provider's issuer and its own credentials.
func withProfile(t *testing.T, name string, change ...func(*idptest.Profile)) rigOption {
	t.Helper()
	p, ok := idptest.ProfileNamed(name)
	if !ok {
		t.Fatalf("there is no profile %s", name)
	}
	for _, c := range change {
		c(&p)
	}
	return withTenant(idptest.InProcess(), idptest.WithProfile(p))
}

// startParams returns the parameters of the authorization request of a login.
func (r *rig) startParams(req tokenward.LoginRequest) url.Values {
	r.t.Helper()
	u, err := url.Parse(r.start(req, tokenward.StoreOptions{}))
	if err != nil {
		r.t.Fatal(err)
	}
	return u.Query()
}

// Where nothing names a scope, offline_access is asked for unless an issuer's list lacks it.
func TestLoginScope_byMetadata(t *testing.T) {
	const all, without = "openid profile email offline_access", "openid profile email"
	listed := func(scopes ...string) func(*idptest.Profile) {
		return func(p *idptest.Profile) { p.Metadata.Scopes = scopes }
	}
	tests := []struct {
		name     string
		listed   func(*idptest.Profile)
		config   func(*tokenward.Config)
		call     string
		want     string
		warnings int
	}{
		{"listed", listed("openid", "offline_access"), nil, "", all, 0},
		{"not listed", listed("openid", "profile"), nil, "", without, 1},
		{"no list", listed(), nil, "", all, 0},
		{"not listed, configured", listed("openid"), func(c *tokenward.Config) { c.Scopes = all }, "", all, 0},
		{"not listed, named by the call", listed("openid"), nil, "openid offline_access", "openid offline_access", 1},
		{"not listed, an Auth0 domain", listed("openid"), func(c *tokenward.Config) {
			u, _ := url.Parse(c.Issuer)
			c.Issuer, c.Domain = "", u.Host
		}, "", all, 0},
	}
	for _, tt := range tests {
		r := newRig(t, withProfile(t, "auth0", tt.listed), withConfig(func(c *tokenward.Config) {
			if tt.config != nil {
				tt.config(c)
			}
		}))
		req := tokenward.LoginRequest{}
		if tt.call != "" {
			req.AuthorizationParams = map[string]string{"scope": tt.call}
		}
		if got := r.startParams(req).Get("scope"); got != tt.want {
			t.Errorf("%s: scope %q, want %q", tt.name, got, tt.want)
		}
		r.startParams(req)
		r.want(tt.name+": warnings", r.log.count("Config.Scopes"), tt.warnings)
	}
}

// What an ID token lacks of the granted profile, one request to UserInfo adds.
func TestUserInfo_atLogin(t *testing.T) {
	thin := func(p *idptest.Profile) { p.IDToken.Thin, p.IDToken.AnyScope = true, false }
	full := func(p *idptest.Profile) { p.IDToken.Thin = false }
	yes, no := withProvider(tokenward.ProviderConfig{UserInfo: tokenward.Always}), withProvider(tokenward.ProviderConfig{UserInfo: tokenward.Never})
	tests := []struct {
		name     string
		profile  func(*idptest.Profile)
		domain   bool
		options  []tokenward.Option
		scope    string
		fault    *idptest.Fault
		requests int
		email    string
	}{
		{"thin token at an issuer", thin, false, nil, "", nil, 1, "ada@example.com"},
		{"full token at an issuer", full, false, nil, "", nil, 0, "ada@example.com"},
		{"thin token at an Auth0 domain", thin, true, nil, "", nil, 0, ""},
		{"thin token at an Auth0 domain, by option", thin, true, []tokenward.Option{yes}, "", nil, 1, "ada@example.com"},
		{"switched off", thin, false, []tokenward.Option{no}, "", nil, 0, ""},
		{"neither profile nor email asked for", thin, false, nil, "openid offline_access", nil, 0, ""},
		{"refused", thin, false, nil, "", faulty(idptest.Status(http.StatusForbidden)), 1, ""},
		{"another user", thin, false, nil, "", faulty(idptest.Edit(func(b map[string]any) { b["sub"] = "eve" })), 1, ""},
		{"a ceiling of its own", thin, false, nil, "", faulty(idptest.Edit(func(b map[string]any) {
			b["session_expiry"], b["sid"], b["org_id"] = t0.Add(time.Hour).Unix(), "evil", "org_evil"
		})), 1, "ada@example.com"},
	}
	for _, tt := range tests {
		r := newRig(t, withProfile(t, "auth0", tt.profile), withClient(tt.options...), withConfig(func(c *tokenward.Config) {
			if tt.domain {
				u, _ := url.Parse(c.Issuer)
				c.Issuer, c.Domain = "", u.Host
			}
			c.Scopes = tt.scope
			c.AuthorizationParams = map[string]string{"login_hint": "ada"}
		}))
		if tt.fault != nil {
			r.tenant.Script(idptest.UserInfo, *tt.fault)
		}
		r.tenant.SetUser("ada", idptest.Claims{"name": "Ada Lovelace", "email": "ada@example.com"})
		id := r.login()
		user, err := r.client.GetUser(t.Context(), tokenward.SessionID(id))
		if err != nil || user == nil {
			t.Fatalf("%s: GetUser = %v, %v", tt.name, user, err)
		}
		if user.Email() != tt.email || user.SessionExpiry() != 0 || user["sid"] == "evil" || user["org_id"] != nil {
			t.Errorf("%s: user = %v, want the email %q", tt.name, user, tt.email)
		}
		r.want(tt.name+": requests to UserInfo", r.tenant.Requests(idptest.UserInfo), tt.requests)
	}
}

func faulty(f idptest.Fault) *idptest.Fault { return &f }

// A login whose ceiling is past asks nothing more.
func TestUserInfo_afterTheCeilingCheck(t *testing.T) {
	r := newRig(t, withProfile(t, "auth0", func(p *idptest.Profile) { p.IDToken.Thin, p.IDToken.AnyScope = true, false }))
	_, err := r.tryLogin(tokenward.StoreOptions{}, idptest.Claims{"session_expiry": t0.Unix()})
	wantError[*tokenward.SessionExpiredError](t, "login", err, "session_expired")
	r.want("requests to UserInfo", r.tenant.Requests(idptest.UserInfo), 0)
}

// A user granted less than the application asks for, at a provider that holds refreshes to it.
func TestRefresh_keepsToTheGrant(t *testing.T) {
	r := newRig(t, withProfile(t, "narrowed-grant"), withConfig(func(c *tokenward.Config) {
		c.Scopes = "openid profile email offline_access"
	}))
	id := r.login()
	for range 2 {
		r.expire()
		r.token(id, tokenward.TokenRequest{})
	}
	if form := r.tenant.LastForm(idptest.Refresh); form.Has("scope") {
		t.Errorf("the refresh asked for %q, want no scope", form.Get("scope"))
	}
	refreshes := r.tenant.Requests(idptest.Refresh)
	r.token(id, tokenward.TokenRequest{}) // from the cache
	r.want("refreshes", r.tenant.Requests(idptest.Refresh), refreshes)
}

// Dex names no scope in its answers. A refresh that asks for none is for what the login was granted, so calls with these scopes
// are answered from the cache before a refresh and after it.
func TestRefresh_theGrantStaysWhereNoAnswerNamesIt(t *testing.T) {
	r := newRig(t, withProfile(t, "dex"))
	id := r.login()
	granted := r.token(id, tokenward.TokenRequest{}).Scope
	for n := range 3 {
		r.want("refreshes", r.tenant.Requests(idptest.Refresh), n)
		for _, scope := range []string{"", "email", "profile openid"} {
			if got := r.token(id, tokenward.TokenRequest{Scope: scope}).Scope; got != granted || got == "" {
				t.Errorf("after %d refreshes, asked for %q: granted %q, want %q", n, scope, got, granted)
			}
		}
		r.want("refreshes", r.tenant.Requests(idptest.Refresh), n)
		r.clock.Advance(r.token(id, tokenward.TokenRequest{}).ExpiresAt.Sub(r.clock.Now()))
		r.token(id, tokenward.TokenRequest{})
	}
}

func TestPKCE_off(t *testing.T) {
	r := newRig(t, withTenant(idptest.InProcess()), withClient(withProvider(tokenward.ProviderConfig{NoPKCE: true})))
	q := r.startParams(tokenward.LoginRequest{})
	if q.Has("code_challenge") || q.Has("code_challenge_method") || q.Get("nonce") == "" {
		t.Errorf("authorization request %v, want a nonce in place of a challenge", q)
	}
	p, _ := idptest.ProfileNamed("auth0")
	p.Authorize.PKCE = idptest.PKCERefused
	r = newRig(t, withTenant(idptest.InProcess(), idptest.WithProfile(p)), withClient(withProvider(tokenward.ProviderConfig{NoPKCE: true})))
	r.login()
	if form := r.tenant.LastForm(idptest.CodeExchange); form.Has("code_verifier") {
		t.Error("the exchange has a code_verifier")
	}
}

// The audience goes by the name of RFC 8707 where the host says so.
func TestResource(t *testing.T) {
	r := newRig(t, withClient(withProvider(tokenward.ProviderConfig{Resource: true})), withConfig(func(c *tokenward.Config) { c.Audience = apiA }))
	q := r.startParams(tokenward.LoginRequest{})
	if q.Get("resource") != apiA || q.Has("audience") {
		t.Errorf("authorization request %v, want resource in place of audience", q)
	}
	id := r.login()
	if form := r.tenant.LastForm(idptest.CodeExchange); form.Get("resource") != apiA || form.Has("audience") {
		t.Errorf("code exchange %v, want resource", form)
	}
	r.token(id, tokenward.TokenRequest{Audience: apiB})
	if form := r.tenant.LastForm(idptest.Refresh); form.Get("resource") != apiB || form.Has("audience") {
		t.Errorf("refresh %v, want resource", form)
	}
}

// The decisions of discovery can be looked up, and are logged once.
func TestProvider(t *testing.T) {
	r := newRig(t, withProfile(t, "google"))
	got, err := r.client.Provider(t.Context(), tokenward.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := tokenward.Provider{
		Issuer: r.tenant.Issuer(), ClientAuth: tokenward.ClientSecretPost, Algorithms: []string{"RS256"}, LoginScope: "openid profile email",
		PKCE: true, UserInfo: true, Logout: "return_to",
	}
	got.ClientAuth = want.ClientAuth // either is right: Google lists both
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Provider = %+v, want %+v", got, want)
	}
	r.startParams(tokenward.LoginRequest{})
	r.startParams(tokenward.LoginRequest{})
	r.want("log lines", r.log.count("login_scope"), 1)
}
