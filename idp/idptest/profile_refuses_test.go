package idptest_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/idp/idptest"
)

// What an application meets that knows issuer, client id and secret, asks for the usual
// scopes, authenticates by Basic and uses PKCE: the first thing that goes wrong.
func TestProfile_whatACommonClientMeets(t *testing.T) {
	want := map[string]string{
		"entra-organizations": "issuer", "entra-b2c": "issuer", "entra-ciam": "issuer",
		"google": "page invalid_scope", "google-iss-without-scheme": "page invalid_scope",
		"cognito": "page invalid_scope", "gitlab": "page invalid_scope", "linkedin": "page invalid_scope", "slack": "page invalid_scope",
		"apple": "page invalid_scope", "apple-openid-only": "page invalid_scope", "spring": "page invalid_scope", "discord": "page invalid_scope",
		"line": "page invalid_scope", "yahoo": "page invalid_scope", "franceconnect": "page invalid_scope",
		"logingov": "page invalid_request", "par-required": "page invalid_request", "govuk-one-login": "page invalid_request",
		"okta-private-key-jwt": "token invalid_client", "entra-certificate": "token invalid_client", "workos": "",
		"basic-not-decoded": "token invalid_client", "public-client": "token invalid_client",
		"node-oidc-provider": "no refresh token", "simplelogin": "no refresh token",
	}
	for _, p := range idptest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			if got := commonClient(t, p); got != want[p.Name] {
				t.Errorf("%q, want %q", got, want[p.Name])
			}
		})
	}
}

// commonClient returns the first thing that goes wrong for such an application.
func commonClient(t *testing.T, p idptest.Profile) string {
	a := inProcess(t, idptest.WithProfile(p))
	issuer := p.Location.Issuer
	if p.Location.Alias != "" && p.Config.SeparateMetadata {
		issuer = p.Location.Alias
	}
	meta := a.get(strings.TrimRight(issuer, "/") + "/.well-known/openid-configuration")
	if meta.str("issuer") != issuer {
		return "issuer"
	}
	back, err := a.tenant.Callback(meta.str("authorization_endpoint") + "?" + a.authorizeForm().Encode())
	if err != nil {
		for _, code := range []string{"invalid_scope", "invalid_request"} {
			if strings.Contains(err.Error(), code) {
				return "page " + code
			}
		}
		return err.Error()
	}
	q := back.URL.Query()
	if q.Has("error") {
		return "callback " + q.Get("error")
	}
	c := &player{app: a, profile: p, config: a.tenant.Application(), meta: meta.body}
	c.profile.Config.Auth = idptest.AuthBasic
	r := c.token("grant_type", "authorization_code", "code", q.Get("code"), "redirect_uri", "http://127.0.0.1:9/callback", "code_verifier", verifier)
	switch {
	case r.str("access_token") == "":
		return "token " + r.str("error")
	case r.str("refresh_token") == "":
		return "no refresh token"
	}
	return ""
}

func TestProfile_unknownScope(t *testing.T) {
	for name, want := range map[string]string{"google": "", "okta": "invalid_scope", "authentik": "granted"} {
		p, _ := idptest.ProfileNamed(name)
		c := play(t, p)
		back, err := c.authorize("scope", "openid no-such-scope")
		got := back.Get("error")
		if back.Has("code") {
			got = "granted"
		}
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%s: callback %v, %v, want %q", name, back, err, want)
		}
	}
}

func TestProfile_refreshThatAsksForMore(t *testing.T) {
	for name, strict := range map[string]bool{"narrowed-grant": true, "dex": true, "spring": true, "hydra": true, "zitadel": true, "okta": false, "auth0": false, "entra": false} {
		p, _ := idptest.ProfileNamed(name)
		c := play(t, p)
		_, r := c.signIn("scope", strings.TrimSpace("openid email "+map[bool]string{true: "offline_access"}[p.Refresh.Given == idptest.RefreshOfflineAccess]))
		token := r.str("refresh_token")
		r = c.spend(token, "scope", "openid profile email")
		if strict != (r.str("error") == "invalid_scope") || strict != (r.status == 400) {
			t.Errorf("%s = %d %s, refused %v", name, r.status, r.raw, strict)
		}
		if strict {
			if r := c.spend(token, "scope", "openid email"); r.status != 200 {
				t.Errorf("%s: with what was granted = %d %s: the refusal spent the token", name, r.status, r.raw)
			}
		}
	}
}

func TestProfile_narrowedGrantSaysWhatWasGranted(t *testing.T) {
	p, _ := idptest.ProfileNamed("narrowed-grant")
	_, r := play(t, p).signIn()
	if r.str("scope") != "openid email offline_access" {
		t.Errorf("scope = %q", r.str("scope"))
	}
}

func TestProfile_scopesUnderOtherNames(t *testing.T) {
	p, _ := idptest.ProfileNamed("google")
	c := play(t, p)
	_, r := c.signIn()
	want := "openid https://www.googleapis.com/auth/userinfo.profile https://www.googleapis.com/auth/userinfo.email"
	if r.str("scope") != want {
		t.Errorf("scope = %q", r.str("scope"))
	}
	if r := c.spend(r.str("refresh_token"), "scope", want); r.status != 200 || r.str("scope") != want {
		t.Errorf("refresh that spells them so = %d %s", r.status, r.raw)
	}
}

func TestProfile_googleGivesRefreshTokensAtConsent(t *testing.T) {
	p, _ := idptest.ProfileNamed("google")
	c := play(t, p)
	for _, tt := range []struct {
		access, prompt string
		want           bool
	}{{"", "", false}, {"offline", "", false}, {"offline", "consent", true}, {"", "consent", false}} {
		_, r := c.signIn("access_type", tt.access, "prompt", tt.prompt)
		if got := r.str("refresh_token") != ""; got != tt.want {
			t.Errorf("access_type %q, prompt %q: refresh token %v, want %v", tt.access, tt.prompt, got, tt.want)
		}
	}
	if _, r := play(t, p).signIn("prompt", ""); r.str("refresh_token") == "" {
		t.Error("none at the first login with access_type=offline")
	}
}

func TestProfile_linkedInRefusesPKCE(t *testing.T) {
	p, _ := idptest.ProfileNamed("linkedin")
	p.Config.NoPKCE = false
	c := play(t, p)
	back, err := c.authorize()
	if err != nil {
		t.Fatal(err)
	}
	r := c.token("grant_type", "authorization_code", "code", back.Get("code"), "redirect_uri", playerCallback, "code_verifier", verifier)
	if r.status != 401 || r.str("error") != "invalid_client" {
		t.Errorf("with code_verifier = %d %s", r.status, r.raw)
	}
	p, _ = idptest.ProfileNamed("linkedin")
	c = play(t, p)
	_, r = c.signIn("nonce", playerNonce)
	if id := c.claimsOf(r.str("id_token")); id["nonce"] != nil || id["email_verified"] != "true" || r.str("scope") != "openid,profile,email" {
		t.Errorf("ID token = %v, scope %q", id, r.str("scope"))
	}
}

func TestProfile_pkce(t *testing.T) {
	for name, want := range map[string]string{"public-client": "invalid_request", "okta": "", "auth0": "invalid_request", "apple-openid-only": ""} {
		p, _ := idptest.ProfileNamed(name)
		p.Config.NoPKCE = true
		back, err := play(t, p).authorize()
		if err != nil || back.Get("error") != want {
			t.Errorf("%s without PKCE: %v, %v, want %q", name, back, err, want)
		}
	}
	for name, ignored := range map[string]bool{"okta": false, "simplelogin": true} {
		p, _ := idptest.ProfileNamed(name)
		c := play(t, p)
		back, _ := c.authorize()
		r := c.token("grant_type", "authorization_code", "code", back.Get("code"), "redirect_uri", playerCallback, "code_verifier", verifier+"x")
		if (r.status == 200) != ignored {
			t.Errorf("%s: another verifier = %d %s", name, r.status, r.raw)
		}
	}
}

func TestProfile_appleFormPost(t *testing.T) {
	p, _ := idptest.ProfileNamed("apple")
	c := play(t, p)
	first, r := c.signIn()
	if got, want := first.Get("user"), `{"email":"ada@example.com","name":{"firstName":"Ada","lastName":"Lovelace"}}`; got != want {
		t.Errorf("user = %s, want %s", got, want)
	}
	if id := c.claimsOf(r.str("id_token")); id["name"] != nil || id["email_verified"] != "true" {
		t.Errorf("ID token = %v", id)
	}
	if again, _ := c.signIn(); again.Has("user") {
		t.Errorf("user once more: %v", again)
	}
	if _, err := c.tenant.Callback(c.endpoint("authorization_endpoint") + "?" + c.request("response_mode", "query").Encode()); err == nil {
		t.Error("name and email by GET, want an error page")
	}
}

func TestProfile_appleSecretIsAJWT(t *testing.T) {
	p, _ := idptest.ProfileNamed("apple")
	c := play(t, p)
	refresh := func(secret string) answer {
		return c.postTo(t.Context(), "/auth/token", url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {"none"}, "client_id": {idptest.ClientID}, "client_secret": {secret},
		})
	}
	secret := c.tenant.Application().ClientSecret
	if r := refresh(secret); r.str("error") != "invalid_grant" {
		t.Errorf("its secret = %d %s", r.status, r.raw)
	}
	if r := refresh("a-plain-secret"); r.str("error") != "invalid_client" {
		t.Errorf("a plain secret = %d %s", r.status, r.raw)
	}
	c.clk.Advance(183 * 24 * time.Hour)
	if r := refresh(secret); r.str("error") != "invalid_client" {
		t.Errorf("half a year later = %d %s", r.status, r.raw)
	}
	if r := refresh(c.tenant.Application().ClientSecret); r.str("error") != "invalid_grant" {
		t.Errorf("a new secret = %d %s", r.status, r.raw)
	}
}

func TestProfile_clientAuthentication(t *testing.T) {
	for name, accepts := range map[string][]idptest.AuthMethod{
		"auth0": {idptest.AuthBasic, idptest.AuthPost}, "linkedin": {idptest.AuthPost}, "onelogin": {idptest.AuthBasic},
		"basic-not-decoded": {idptest.AuthPost}, "public-client": {idptest.AuthNone}, "okta-private-key-jwt": {idptest.AuthPrivateKey},
		"logingov": {idptest.AuthPrivateKey}, "entra-certificate": {idptest.AuthPrivateKey},
	} {
		for _, method := range []idptest.AuthMethod{idptest.AuthBasic, idptest.AuthPost, idptest.AuthNone, idptest.AuthPrivateKey} {
			p, _ := idptest.ProfileNamed(name)
			c := play(t, p)
			if method == idptest.AuthPrivateKey && c.config.Key == nil {
				continue
			}
			c.profile.Config.Auth = method
			want := false
			for _, m := range accepts {
				want = want || m == method
			}
			if r := c.spend("rt_none"); (r.str("error") != "invalid_client") != want {
				t.Errorf("%s: %s = %d %s, want it accepted: %v", name, method, r.status, r.raw, want)
			}
		}
	}
}

func TestProfile_assertions(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*idptest.Config)
		good   bool
	}{
		{"okta-private-key-jwt", func(*idptest.Config) {}, true},
		{"okta-private-key-jwt", func(c *idptest.Config) { c.AssertionAudience = idptest.AudienceIssuer }, false},
		{"logingov", func(c *idptest.Config) { c.AssertionAudience = idptest.AudienceIssuer }, false},
		{"entra-certificate", func(c *idptest.Config) { c.AssertionAudience = idptest.AudienceIssuer }, true},
		{"entra-certificate", func(c *idptest.Config) { c.Thumbprint = false }, false},
	} {
		p, _ := idptest.ProfileNamed(tt.name)
		c := play(t, p)
		tt.change(&c.profile.Config)
		if r := c.spend("rt_none"); (r.str("error") != "invalid_client") != tt.good {
			t.Errorf("%s with %+v = %d %s", tt.name, c.profile.Config, r.status, r.raw)
		}
	}
}

func TestProfile_tokenAnswers(t *testing.T) {
	for name, check := range map[string]func(login, refresh answer) bool{
		"salesforce": func(l, r answer) bool {
			return l.body["expires_in"] == nil && r.body["expires_in"] == nil && l.str("issued_at") == "1893456000000"
		},
		"no-expires-in": func(l, r answer) bool { return l.body["expires_in"] != nil && r.body["expires_in"] == nil },
		"dex":           func(l, _ answer) bool { return l.body["scope"] == nil && l.str("token_type") == "bearer" },
		"entra": func(l, r answer) bool {
			return l.str("scope") == "openid profile email" && r.str("scope") == l.str("scope")
		},
		"keycloak": func(l, _ answer) bool {
			return number(l.body["refresh_expires_in"]) == 0 && l.body["refresh_expires_in"] != nil
		},
		"slack": func(l, _ answer) bool { return l.body["ok"] == true && l.body["expires_in"] == nil },
		"simplelogin": func(l, _ answer) bool {
			user, _ := l.body["user"].(map[string]any)
			return user["email"] == "ada@example.com"
		},
		"line": func(l, r answer) bool { return l.str("id_token") != "" && r.str("id_token") == "" },
	} {
		p, _ := idptest.ProfileNamed(name)
		c := play(t, p)
		_, login := c.signIn()
		if refresh := c.spend(login.str("refresh_token")); !check(login, refresh) {
			t.Errorf("%s: login %s, refresh %s", name, login.raw, refresh.raw)
		}
	}
}

func TestProfile_expiresInAsText(t *testing.T) {
	p, _ := idptest.ProfileNamed("okta")
	p.Tokens.ExpiresIn = idptest.ExpiresText
	if _, r := play(t, p).signIn(); r.str("expires_in") != "3600" {
		t.Errorf("answer = %s", r.raw)
	}
}

func TestProfile_keySets(t *testing.T) {
	all := func(set []map[string]any, ok func(k map[string]any) bool) bool {
		for _, k := range set {
			if !ok(k) {
				return false
			}
		}
		return len(set) > 0
	}
	count := func(set []map[string]any, name string, v any) (n int) {
		for _, k := range set {
			if k[name] == v {
				n++
			}
		}
		return n
	}
	for name, check := range map[string]func(set []map[string]any) bool{
		"entra": func(s []map[string]any) bool {
			return all(s, func(k map[string]any) bool { return k["alg"] == nil && k["x5c"] != nil })
		},
		"keycloak": func(s []map[string]any) bool { return count(s, "use", "enc") == 1 && len(s) == 2 },
		"pingfederate": func(s []map[string]any) bool {
			return count(s, "kty", "RSA") == 2 && count(s, "kty", "EC") == 2 && count(s, "alg", "RS256") == 1
		},
		"kid-missing":     func(s []map[string]any) bool { return count(s, "kid", nil) == 1 && len(s) == 1 },
		"authentik-hs256": func(s []map[string]any) bool { return len(s) == 0 },
		"line":            func(s []map[string]any) bool { return count(s, "alg", "ES256") == 1 && len(s) == 1 },
		"duplicate-kids":  func(s []map[string]any) bool { return count(s, "kid", s[0]["kid"]) == 3 && count(s, "kty", "OKP") == 1 },
		"yahoo":           func(s []map[string]any) bool { return s[0]["crv"] == "P-256" },
	} {
		p, _ := idptest.ProfileNamed(name)
		if set := play(t, p).keySet(); !check(set) {
			t.Errorf("%s: %v", name, set)
		}
	}
}

func TestProfile_signsWithAnyAlgorithm(t *testing.T) {
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
		p, _ := idptest.ProfileNamed("okta")
		p.Keys.Alg = alg
		c := play(t, p)
		_, r := c.signIn()
		c.claimsOf(r.str("id_token"))
		c.userinfo(r.str("access_token"))
		c.tenant.RotateKeys()
		_, after := c.signIn()
		c.claimsOf(after.str("id_token"))
		c.claimsOf(r.str("id_token"))
	}
}

// RFC 9864 names the curve: golang-jwt does not know that name, so the header is all
// that is looked at.
func TestProfile_signsWithEd25519(t *testing.T) {
	p, _ := idptest.ProfileNamed("zitadel")
	p.Keys.Alg = "Ed25519"
	_, r := play(t, p).signIn()
	token, _, err := jwt.NewParser().ParseUnverified(r.str("id_token"), jwt.MapClaims{})
	if token == nil || token.Header["alg"] != "Ed25519" {
		t.Errorf("ID token = %v, %v", token, err)
	}
}

func TestProfile_parRequired(t *testing.T) {
	p, _ := idptest.ProfileNamed("par-required")
	c := play(t, p)
	if _, err := c.tenant.Callback(c.endpoint("authorization_endpoint") + "?" + c.request().Encode()); err == nil {
		t.Error("a request that was not pushed, want an error page")
	}
	if r := c.authenticated(c.endpoint("pushed_authorization_request_endpoint"), c.request("scope", "openid no-such-scope")); r.str("error") != "invalid_scope" {
		t.Errorf("pushed, with an unknown scope = %d %s", r.status, r.raw)
	}
}

func TestProfile_loginGovDemands(t *testing.T) {
	p, _ := idptest.ProfileNamed("logingov")
	c := play(t, p)
	for _, name := range []string{"nonce", "acr_values", "state"} {
		if _, err := c.authorize(name, ""); err == nil || !strings.Contains(err.Error(), name+" is required") {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestProfile_entraTenants(t *testing.T) {
	p, _ := idptest.ProfileNamed("entra-organizations")
	c := play(t, p)
	if got := c.endpoint("token_endpoint"); got != "https://login.microsoftonline.com/organizations/oauth2/v2.0/token" {
		t.Errorf("token endpoint is %s", got)
	}
	_, r := c.signIn()
	id := c.claimsOf(r.str("id_token"))
	tid, _ := id["tid"].(string)
	if tid == "" || id["iss"] != strings.ReplaceAll(c.config.Issuer, "{tenantid}", tid) {
		t.Errorf("ID token = %v", id)
	}
	own := c.get(c.tenant.Issuer() + "/.well-known/openid-configuration")
	if own.str("issuer") != id["iss"] || own.str("token_endpoint") != "https://login.microsoftonline.com/"+tid+"/oauth2/v2.0/token" {
		t.Errorf("metadata of the user's tenant = %d %s", own.status, own.raw)
	}
	c.meta = own.body
	if r := c.spend(r.str("refresh_token")); r.status != 200 {
		t.Errorf("refresh there = %d %s", r.status, r.raw)
	}
}
