package idptest_test

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// verify checks a token against the published keys, as a client would.
func (a *app) verify(token string) (jwt.MapClaims, error) {
	set := a.get(a.tenant.URL("/.well-known/jwks.json"))
	keyOf := func(tok *jwt.Token) (any, error) {
		for _, k := range set.body["keys"].([]any) {
			if k := k.(map[string]any); k["kid"] == tok.Header["kid"] {
				n, _ := base64.RawURLEncoding.DecodeString(k["n"].(string))
				e, _ := base64.RawURLEncoding.DecodeString(k["e"].(string))
				return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}, nil
			}
		}
		return nil, errors.New("unknown kid")
	}
	c := jwt.MapClaims{}
	_, err := jwt.NewParser(jwt.WithJSONNumber(), jwt.WithValidMethods([]string{"RS256"}),
		jwt.WithTimeFunc(func() time.Time { return t0 })).ParseWithClaims(token, c, keyOf)
	return c, err
}

// OpenID Connect Core sections 2 and 12.2: of the login, whenever the token is issued.
func TestIDToken_saysWhenTheUserSignedInWhereMaxAgeAsks(t *testing.T) {
	clk := clock.NewFake(t0)
	a := inProcess(t, idptest.WithClock(clk))
	if c := claims(t, a.login(nil).str("id_token")); c["auth_time"] != nil {
		t.Errorf("auth_time = %v, nobody asked for it", c["auth_time"])
	}
	code := a.code(nil, "max_age", "100")
	clk.Advance(time.Minute)
	r := a.exchange(code)
	clk.Advance(time.Minute)
	for _, r := range []answer{r, a.refresh(r.str("refresh_token"))} {
		if c := claims(t, r.str("id_token")); number(c["auth_time"]) != t0.Unix() {
			t.Errorf("auth_time = %v, want %d", c["auth_time"], t0.Unix())
		}
	}
	r = a.login(idptest.Claims{"auth_time": idptest.Absent}, "max_age", "0")
	if c := claims(t, r.str("id_token")); c["auth_time"] != nil {
		t.Errorf("auth_time = %v, the test took it out", c["auth_time"])
	}
}

func TestIDToken_isSignedWithAPublishedKey(t *testing.T) {
	clk := clock.NewFake(t0)
	overBoth(t, func(t *testing.T, a *app) {
		r := a.login(idptest.Claims{"plan": "gold"}, "nonce", "n-1", "organization", "org_7")
		c, err := a.verify(r.str("id_token"))
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]any{
			"iss": a.tenant.Issuer(), "sub": idptest.Subject, "aud": idptest.ClientID, "email": "ada@example.com",
			"plan": "gold", "nonce": "n-1", "org_id": "org_7",
		} {
			if c[name] != want {
				t.Errorf("%s = %v, want %v", name, c[name], want)
			}
		}
		if iat, exp := number(c["iat"]), number(c["exp"]); iat != t0.Unix() || exp != t0.Add(idptest.IDTokenLife).Unix() {
			t.Errorf("iat, exp = %d, %d", iat, exp)
		}
		if _, err := a.verify(r.str("access_token")); err != nil {
			t.Errorf("access token: %v", err)
		}
		again, err := a.verify(a.refresh(r.str("refresh_token")).str("id_token"))
		if err != nil || again["sid"] != c["sid"] || again["plan"] != "gold" || again["nonce"] != nil {
			t.Errorf("after a refresh: %v, %v; want the same login without nonce", again, err)
		}
	}, idptest.WithClock(clk))
}

func TestClaims_arePutIntoTheTokenVerbatim(t *testing.T) {
	tests := []struct {
		name  string
		claim any
		want  string
	}{
		{"seconds", int64(1900000000), `1900000000`},
		{"raw exponent", json.RawMessage(`1e400`), `1e400`},
		{"number", json.Number("99999999999999999999"), `99999999999999999999`},
		{"float spelling", json.RawMessage(`1900000000.0`), `1900000000.0`},
		{"text", "1900000000", `"1900000000"`},
		{"null", nil, `null`},
		{"list", []any{1900000000}, `[1900000000]`},
		{"boolean", true, `true`},
		{"absent", idptest.Absent, ``},
	}
	a := inProcess(t, idptest.WithUser(idptest.Subject, idptest.Claims{"session_expiry": 1}))
	for _, tt := range tests {
		r := a.login(idptest.Claims{"session_expiry": tt.claim, "sid": idptest.Absent})
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(r.str("id_token"), ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		var c map[string]json.RawMessage
		if err := json.Unmarshal(payload, &c); err != nil {
			t.Fatal(err)
		}
		if got := string(c["session_expiry"]); got != tt.want {
			t.Errorf("%s: session_expiry = %s, want %s", tt.name, got, tt.want)
		}
		if _, has := c["sid"]; has {
			t.Errorf("%s: sid is there, want it absent", tt.name)
		}
	}
}

func TestClaims_ofALoginWinOverTheUsersForThatLoginOnly(t *testing.T) {
	a := inProcess(t)
	a.tenant.SetUser("grace", idptest.Claims{"plan": "silver"})
	plan := func(own idptest.Claims) any {
		return claims(t, a.login(own, "login_hint", "grace").str("id_token"))["plan"]
	}
	a.tenant.NextLogin(idptest.Claims{"plan": "gold"})
	for i, want := range []string{"gold", "silver"} {
		if got := plan(nil); got != want {
			t.Errorf("login %d: plan = %v, want %s", i, got, want)
		}
	}
	if got := plan(idptest.Claims{"plan": "bronze"}); got != "bronze" {
		t.Errorf("plan = %v, want bronze", got)
	}
}

func TestWithIDToken_forges(t *testing.T) {
	tests := []struct {
		name string
		edit func(*idptest.Draft)
		want error
	}{
		{"nothing", func(*idptest.Draft) {}, nil},
		{"no signature", func(d *idptest.Draft) { d.Header["alg"] = "none" }, jwt.ErrTokenSignatureInvalid},
		{"HS256 with the client secret", func(d *idptest.Draft) { d.Header["alg"] = "HS256" }, jwt.ErrTokenSignatureInvalid},
		{"another RSA family", func(d *idptest.Draft) { d.Header["alg"] = "PS256" }, jwt.ErrTokenSignatureInvalid},
		{"another key", func(d *idptest.Draft) { d.WrongKey = true }, rsa.ErrVerification},
		{"broken signature", func(d *idptest.Draft) { d.BrokenSignature = true }, rsa.ErrVerification},
		{"unknown kid", func(d *idptest.Draft) { d.Header["kid"] = "x" }, jwt.ErrTokenUnverifiable},
		{"no kid", func(d *idptest.Draft) { delete(d.Header, "kid") }, jwt.ErrTokenUnverifiable},
		{"expired", func(d *idptest.Draft) { d.Claims["exp"] = t0.Unix() - 1 }, jwt.ErrTokenExpired},
		{"raw", func(d *idptest.Draft) { d.Raw = "not.a.token" }, jwt.ErrTokenMalformed},
	}
	for _, tt := range tests {
		a := inProcess(t, idptest.WithClock(clock.NewFake(t0)), idptest.WithIDToken(tt.edit))
		if _, err := a.verify(a.login(nil).str("id_token")); !errors.Is(err, tt.want) {
			t.Errorf("%s: err = %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestWithIDToken_changesRefreshesOnly(t *testing.T) {
	a := inProcess(t, idptest.WithIDToken(func(d *idptest.Draft) {
		if d.Kind == idptest.Refresh {
			d.Claims["sub"] = "somebody-else"
		}
	}))
	r := a.login(nil)
	if got := claims(t, r.str("id_token"))["sub"]; got != idptest.Subject {
		t.Errorf("at login: sub = %v", got)
	}
	r = a.refresh(r.str("refresh_token"))
	if got := claims(t, r.str("id_token"))["sub"]; got != "somebody-else" {
		t.Errorf("at refresh: sub = %v", got)
	}
	a.tenant.Set(idptest.WithIDToken(func(d *idptest.Draft) { d.Omit = true }))
	if r = a.refresh(r.str("refresh_token")); r.str("id_token") != "" {
		t.Error("an ID token, want none")
	}
}

func TestWithAccessToken_changesAccessTokens(t *testing.T) {
	a := inProcess(t, idptest.WithAccessToken(func(d *idptest.Draft) { d.Claims["aud"] = []string{"x", "y"} }))
	if got := claims(t, a.login(nil).str("access_token"))["aud"].([]any); len(got) != 2 {
		t.Errorf("aud = %v, want two", got)
	}
}

func TestRotateKeys_isGraceful(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		old := a.login(nil).str("id_token")
		a.tenant.RotateKeys()
		now := a.login(nil).str("id_token")
		for name, token := range map[string]string{"old": old, "new": now} {
			if _, err := a.verify(token); err != nil {
				t.Errorf("%s key: %v", name, err)
			}
		}
		a.tenant.RetireKeys()
		if _, err := a.verify(old); !errors.Is(err, jwt.ErrTokenUnverifiable) {
			t.Errorf("retired key: err = %v", err)
		}
		if _, err := a.verify(now); err != nil {
			t.Errorf("the key that stays: %v", err)
		}
		if n := a.tenant.Requests(idptest.JWKS); n != 4 {
			t.Errorf("JWKS requests = %d, want 4", n)
		}
	}, idptest.WithClock(clock.NewFake(t0)))
}

func TestLogoutToken(t *testing.T) {
	a := inProcess(t, idptest.WithClock(clock.NewFake(t0)), idptest.WithClient("other", "", "https://x.example/"))
	a.exchange(a.code(idptest.Claims{"sid": "s-1"}, "client_id", "other"), "client_id", "other", "client_secret", "")
	c, err := a.verify(a.tenant.LogoutToken("ada", "s-9"))
	if err != nil {
		t.Fatal(err)
	}
	events, _ := c["events"].(map[string]any)
	if _, ok := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any); !ok ||
		c["sub"] != "ada" || c["sid"] != "s-9" || c["aud"] != idptest.ClientID || number(c["iat"]) != t0.Unix() {
		t.Errorf("claims = %v", c)
	}
	c, err = a.verify(a.tenant.LogoutToken("", "s-9", func(d *idptest.Draft) { d.Claims["nonce"] = "n" }))
	if _, has := c["sub"]; err != nil || has || c["nonce"] != "n" {
		t.Errorf("claims = %v, %v; want no sub, and the nonce", c, err)
	}
	if _, err := a.verify(a.tenant.LogoutToken("ada", "", func(d *idptest.Draft) { d.WrongKey = true })); err == nil {
		t.Error("a forged logout token verified")
	}
}
