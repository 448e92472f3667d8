package idptest_test

import (
	"crypto/x509"
	"maps"
	"net/http"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/idp/idptest"
)

func TestProfile_unknownScopeAtARefresh(t *testing.T) {
	for name, want := range map[string]int{"authentik": 200, "okta": 400} {
		p, _ := idptest.ProfileNamed(name)
		c := play(t, p)
		_, r := c.signIn()
		if r := c.spend(r.str("refresh_token"), "scope", "openid no-such-scope"); r.status != want {
			t.Errorf("%s = %d %s, want %d", name, r.status, r.raw, want)
		}
	}
}

func TestProfile_thumbprintOfAnotherCertificate(t *testing.T) {
	p, _ := idptest.ProfileNamed("entra-certificate")
	c := play(t, p)
	c.config.Certificate = &x509.Certificate{Raw: []byte("another")}
	if r := c.spend("rt_none"); r.str("error") != "invalid_client" {
		t.Errorf("refresh = %d %s", r.status, r.raw)
	}
}

func TestProfile_appleSecretsThatAreRefused(t *testing.T) {
	p, _ := idptest.ProfileNamed("apple")
	c := play(t, p)
	const day = 24 * 60 * 60
	for what, tt := range map[string]struct {
		change jwt.MapClaims
		good   bool
	}{
		"as it must be":      {nil, true},
		"more than 6 months": {jwt.MapClaims{"exp": t0.Unix() + 184*day}, false},
		"over":               {jwt.MapClaims{"exp": t0.Unix()}, false},
		"another client":     {jwt.MapClaims{"sub": "another"}, false},
		"another audience":   {jwt.MapClaims{"aud": "https://other.example"}, false},
		"no team":            {jwt.MapClaims{"iss": ""}, false},
	} {
		claims := jwt.MapClaims{"iss": "TEAM", "sub": idptest.ClientID, "aud": c.tenant.Issuer(), "iat": t0.Unix(), "exp": t0.Unix() + 180*day}
		maps.Copy(claims, tt.change)
		token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		token.Header["kid"] = "KEY"
		secret, err := token.SignedString(c.config.Key)
		if err != nil {
			t.Fatal(err)
		}
		r := c.form("/auth/token", "grant_type", "refresh_token", "refresh_token", "x", "client_id", idptest.ClientID, "client_secret", secret)
		if (r.str("error") != "invalid_client") != tt.good {
			t.Errorf("%s = %d %s", what, r.status, r.raw)
		}
	}
}

func TestProfile_furtherAudiences(t *testing.T) {
	p, _ := idptest.ProfileNamed("zitadel")
	c := play(t, p)
	_, r := c.signIn()
	id := c.claimsOf(r.str("id_token"))
	if aud, ok := id["aud"].([]any); !ok || len(aud) != 2 || id["azp"] != idptest.ClientID {
		t.Errorf("aud = %v, azp = %v", id["aud"], id["azp"])
	}
}

func TestProfile_metadataAtTheAliasOnly(t *testing.T) {
	for name, want := range map[string]int{"entra-b2c": 404, "entra-ciam": 200, "entra-consumers": 200} {
		p, _ := idptest.ProfileNamed(name)
		a := inProcess(t, idptest.WithProfile(p))
		if r := a.get(a.tenant.URL("/.well-known/openid-configuration")); r.status != want {
			t.Errorf("%s: metadata at the issuer = %d, want %d", name, r.status, want)
		}
		if r := a.get(p.Location.Alias + "/.well-known/openid-configuration"); r.status != 200 || r.str("issuer") != a.tenant.Issuer() {
			t.Errorf("%s: metadata at the alias = %d %s", name, r.status, r.raw)
		}
	}
}

func TestProfile_userinfo(t *testing.T) {
	p, _ := idptest.ProfileNamed("franceconnect")
	c := play(t, p)
	_, r := c.signIn()
	if u := c.userinfo(r.str("access_token")); u["iss"] != c.tenant.Issuer() || u["aud"] != idptest.ClientID || u["email"] != "ada@example.com" {
		t.Errorf("signed userinfo = %v", u)
	}
	c.clk.Advance(p.Tokens.Life)
	req, err := http.NewRequest(http.MethodGet, c.endpoint("userinfo_endpoint"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.str("access_token"))
	if r := c.do(req); r.status != 401 {
		t.Errorf("with a token that expired = %d %s", r.status, r.raw)
	}
}

func TestProfile_keysWithoutUse(t *testing.T) {
	p, _ := idptest.ProfileNamed("duplicate-kids")
	for _, k := range play(t, p).keySet() {
		if k["use"] != nil {
			t.Errorf("key = %v", k)
		}
	}
}

func TestProfile_editedCopy(t *testing.T) {
	p, _ := idptest.ProfileNamed("okta")
	p.Keys.TokenNoKID, p.Authorize.Nonce, p.Refresh.Given = true, true, idptest.RefreshNever
	p.Config.Nonce = true
	c := play(t, p)
	_, r := c.signIn()
	token, _, err := jwt.NewParser().ParseUnverified(r.str("id_token"), jwt.MapClaims{})
	if err != nil || token.Header["kid"] != nil || r.str("refresh_token") != "" {
		t.Errorf("answer = %s, header = %v, %v", r.raw, token.Header, err)
	}
	if r := c.get(c.logout(r.str("id_token"))); r.status != 302 {
		t.Errorf("logout = %d %s", r.status, r.raw)
	}
}
