package gooidc

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp"
)

const (
	issuer   = "https://tenant.example/"
	clientID = "client"
	event    = "http://schemas.openid.net/event/backchannel-logout"
)

var now = time.Unix(1_800_000_000, 0)

// with says how a token differs from a good one.
type with = map[string]any

var absent any = struct{ int }{}

func raw(s string) any { return json.RawMessage(s) }

// row is one token, and who accepts it.
type row struct {
	name           string
	header, claims with
	ours, theirs   bool
	why            string // of a token that we accept and they do not
}

const (
	agreed  = "agreed to differ: "
	spelled = agreed + "issuers compare without regard to the case of the host and to slashes at the end, for tenants are configured by hand"
)

// idTokens is where the two agree, where we are stricter, and where we are not.
var idTokens = []row{
	{"good", nil, nil, true, true, ""},
	{"unknown claims and headers", with{"x": 1}, with{"y": 2}, true, true, ""},
	{"aud a list", nil, with{"aud": []any{clientID}}, true, true, ""},
	{"azp and two audiences", nil, with{"aud": []any{clientID, "api"}, "azp": clientID}, true, true, ""},
	{"no iat", nil, with{"iat": absent}, true, true, ""},
	{"fraction in exp", nil, with{"exp": raw("1800000100.5")}, true, true, ""},
	{"no typ", with{"typ": absent}, nil, true, true, ""},
	{"key in the header", with{"jwk": with{"kty": "RSA"}}, nil, true, false, agreed + "we do not read it at all"},

	// Both refuse.
	{"alg none", with{"alg": "none"}, nil, false, false, ""},
	{"alg HS256", with{"alg": "HS256"}, nil, false, false, ""},
	{"alg RS512", with{"alg": "RS512"}, nil, false, false, ""},
	{"crit", with{"crit": []any{"x"}, "x": 1}, nil, false, false, ""},
	{"unknown kid", with{"kid": "2"}, nil, false, false, ""},
	{"no aud", nil, with{"aud": absent}, false, false, ""},
	{"another aud", nil, with{"aud": "api"}, false, false, ""},
	{"aud a number", nil, with{"aud": 1}, false, false, ""},
	{"aud with a number", nil, with{"aud": []any{clientID, 1}}, false, false, ""},
	{"another iss", nil, with{"iss": "https://evil.example/"}, false, false, ""},
	{"iss a bare domain", nil, with{"iss": "tenant.example"}, false, false, ""},
	{"no iss", nil, with{"iss": absent}, false, false, ""},
	{"no exp", nil, with{"exp": absent}, false, false, ""},
	{"exp over", nil, with{"exp": now.Unix() - 1}, false, false, ""},
	{"exp -1", nil, with{"exp": -1}, false, false, ""},
	{"exp true", nil, with{"exp": true}, false, false, ""},
	{"exp 1e400", nil, with{"exp": raw("1e400")}, false, false, ""},
	{"nbf in an hour", nil, with{"nbf": now.Unix() + 3600}, false, false, ""},
	{"sub a number", nil, with{"sub": 7}, false, false, ""},
	{"nonce a number", nil, with{"nonce": 7}, false, false, ""},
	{"at_hash a list", nil, with{"at_hash": []any{}}, false, false, ""},

	// We are stricter.
	{"exp at this very second", nil, with{"exp": now.Unix()}, false, true, ""},
	{"exp text", nil, with{"exp": "1900000000"}, false, true, ""},
	{"exp beyond the year 9999", nil, with{"exp": raw("99999999999999")}, false, true, ""},
	{"iat in an hour", nil, with{"iat": now.Unix() + 3600}, false, true, ""},
	{"nbf in four minutes", nil, with{"nbf": now.Unix() + 240}, false, true, ""},
	{"two audiences, no azp", nil, with{"aud": []any{clientID, "api"}}, false, true, ""},
	{"two audiences, another azp", nil, with{"aud": []any{clientID, "api"}, "azp": "api"}, false, true, ""},
	{"no sub", nil, with{"sub": absent}, false, true, ""},
	{"empty sub", nil, with{"sub": ""}, false, true, ""},
	{"claim in capitals", nil, with{"sub": absent, "SUB": "ada"}, false, true, ""},
	{"typ of an access token", with{"typ": "at+jwt"}, nil, false, true, ""},
	{"typ of a logout token", with{"typ": "logout+jwt"}, nil, false, true, ""},
	{"typ a number", with{"typ": 1}, nil, false, true, ""},
	{"a logout event", nil, with{"events": with{event: with{}}}, false, true, ""},
	{"no kid and two keys", with{"kid": absent}, nil, false, true, ""},
	{"empty kid", with{"kid": ""}, nil, false, true, ""},

	// They are.
	{"iss without its slash", nil, with{"iss": "https://tenant.example"}, true, false, spelled},
	{"iss in capitals", nil, with{"iss": "https://TENANT.example/"}, true, false, spelled},
	{"claims to be found elsewhere", nil, with{"_claim_names": with{"x": "y"}}, true, false, agreed + "distributed claims are not followed, so nothing is wrong with them"},
}

// logoutTokens is the same for logout tokens.
var logoutTokens = []row{
	{"good", nil, nil, true, true, ""},
	{"sid only", nil, with{"sub": absent}, true, true, ""},
	{"sub only", nil, with{"sid": absent}, true, true, ""},
	{"no typ", with{"typ": absent}, nil, true, true, ""},
	{"typ JWT", with{"typ": "JWT"}, nil, true, true, ""},
	{"two audiences, no azp", nil, with{"aud": []any{clientID, "api"}}, true, true, ""},

	{"alg none", with{"alg": "none"}, nil, false, false, ""},
	{"neither sid nor sub", nil, with{"sid": absent, "sub": absent}, false, false, ""},
	{"nonce", nil, with{"nonce": "n"}, false, false, ""},
	{"empty nonce", nil, with{"nonce": ""}, false, false, ""},
	{"no events", nil, with{"events": absent}, false, false, ""},
	{"another event", nil, with{"events": with{"x": with{}}}, false, false, ""},
	{"another aud", nil, with{"aud": "api"}, false, false, ""},
	{"another iss", nil, with{"iss": "https://evil.example/"}, false, false, ""},
	{"exp over", nil, with{"exp": now.Unix() - 1}, false, false, ""},

	{"no iat", nil, with{"iat": absent}, false, true, ""},
	{"iat in an hour", nil, with{"iat": now.Unix() + 3600}, false, true, ""},
	{"nbf in an hour", nil, with{"nbf": now.Unix() + 3600}, false, true, ""},
	{"an event that is no object", nil, with{"events": with{event: 1}}, false, true, ""},
	{"empty sid beside a sub", nil, with{"sid": ""}, false, true, ""},
	{"typ of an access token", with{"typ": "at+jwt"}, nil, false, true, ""},
	{"typ of something else", with{"typ": "secevent+jwt"}, nil, false, true, ""},

	{"no exp", nil, with{"exp": absent}, true, false, agreed + "drafts of the specification had none, and providers follow them"},
	{"no jti", nil, with{"jti": absent}, true, false, agreed + "a logout that comes twice does no harm"},
	{"iss without its slash", nil, with{"iss": "https://tenant.example"}, true, false, spelled},
}

func TestIDTokens_neverLaxer(t *testing.T) {
	p := newPeers(t)
	good := with{"iss": issuer, "sub": "ada", "aud": clientID, "iat": now.Unix(), "exp": now.Unix() + 3600}
	p.compare(idTokens, "JWT", good,
		func(tok string) error {
			_, err := p.ours.VerifyIDToken(t.Context(), issuer, tok, idp.Expect{})
			return err
		},
		func(tok string) error { _, err := p.theirs.Verify(t.Context(), tok); return err })
}

func TestLogoutTokens_neverLaxer(t *testing.T) {
	p := newPeers(t)
	good := with{
		"iss": issuer, "sub": "ada", "sid": "s", "aud": clientID, "iat": now.Unix(), "exp": now.Unix() + 120, "jti": "j",
		"events": with{event: with{}},
	}
	p.compare(logoutTokens, "logout+jwt", good,
		func(tok string) error { _, err := p.ours.VerifyLogoutToken(t.Context(), issuer, tok); return err },
		func(tok string) error { _, err := p.theirs.VerifyLogout(t.Context(), tok); return err })
}

// What no change of a claim makes.
func TestTexts_neverLaxer(t *testing.T) {
	p := newPeers(t)
	header := `{"alg":"RS256","kid":"1"}`
	body := `"iss":"` + issuer + `","aud":"client","exp":1800003600}`
	good := p.sign(header, `{"sub":"ada",`+body)
	part := strings.Split(good, ".")
	tests := []struct {
		name, token  string
		ours, theirs bool
	}{
		{"good", good, true, true},
		{"claim twice", p.sign(header, `{"sub":"eve","sub":"ada",`+body), false, true},
		{"header twice", p.sign(`{"alg":"RS256","kid":"2","kid":"1"}`, `{"sub":"ada",`+body), false, false},
		{"no signature", part[0] + "." + part[1] + ".", false, false},
		{"four parts", good + ".x", false, false},
		{"JSON serialization", `{"payload":"` + part[1] + `","protected":"` + part[0] + `","signature":"` + part[2] + `"}`, false, true},
		{"dots", strings.Repeat(".", 500_000), false, false},
		{"nothing", "", false, false},
	}
	for _, tt := range tests {
		_, ours := p.ours.VerifyIDToken(t.Context(), issuer, tt.token, idp.Expect{})
		_, theirs := p.theirs.Verify(t.Context(), tt.token)
		if (ours == nil) != tt.ours || (theirs == nil) != tt.theirs {
			t.Errorf("%s: ours %v, theirs %v", tt.name, ours, theirs)
		}
	}
}

// peers is both libraries with one provider, which publishes two keys.
type peers struct {
	*testing.T
	key    *rsa.PrivateKey
	other  *rsa.PrivateKey
	ours   *idp.Client
	theirs *oidc.IDTokenVerifier
}

func newPeers(t *testing.T) *peers {
	p := &peers{T: t, key: newKey(t), other: newKey(t)}
	web := &http.Client{Transport: p}
	var err error
	// Without leeway, for they have none on exp.
	p.ours, err = idp.New(idp.Config{ClientID: clientID, HTTPClient: web, Clock: clock.NewFake(now)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.ours.Close)
	ctx := oidc.ClientContext(context.Background(), web)
	p.theirs = oidc.NewVerifier(issuer, oidc.NewRemoteKeySet(ctx, issuer+"jwks"), &oidc.Config{
		ClientID: clientID, Now: func() time.Time { return now },
	})
	return p
}

func newKey(t *testing.T) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// RoundTrip implements http.RoundTripper: it is the provider.
func (p *peers) RoundTrip(req *http.Request) (*http.Response, error) {
	jwk := func(kid string, key *rsa.PrivateKey) with {
		return with{"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "e": "AQAB", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes())}
	}
	var body any = with{"issuer": issuer, "jwks_uri": issuer + "jwks"}
	if req.URL.Path == "/jwks" {
		body = with{"keys": []any{jwk("1", p.key), jwk("other", p.other)}}
	}
	text, err := json.Marshal(body)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(text)), Request: req,
	}, err
}

// compare checks which verifier accepts each row, and that ours accepts none that the other refuses,
// but for the rows that say so.
func (p *peers) compare(rows []row, typ string, good with, ours, theirs func(string) error) {
	stricter := 0
	for _, r := range rows {
		header, claims := with{"alg": "RS256", "kid": "1", "typ": typ}, maps.Clone(good)
		tok := p.sign(change(p, header, r.header), change(p, claims, r.claims))
		us, them := ours(tok), theirs(tok)
		if (us == nil) != r.ours || (them == nil) != r.theirs {
			p.Errorf("%s: ours %v, theirs %v", r.name, us, them)
		}
		if us == nil && them != nil && !strings.HasPrefix(r.why, agreed) {
			p.Errorf("%s: accepted, but not by go-oidc: %v", r.name, them)
		}
		if us != nil && them == nil {
			stricter++
		}
	}
	p.Logf("stricter than go-oidc on %d of %d", stricter, len(rows))
}

func change(p *peers, base, changes with) string {
	maps.Copy(base, changes)
	maps.DeleteFunc(base, func(_ string, v any) bool { return v == absent })
	text, err := json.Marshal(base)
	if err != nil {
		p.Fatal(err)
	}
	return string(text)
}

// sign signs a payload as its header says.
func (p *peers) sign(header, payload string) string {
	var h struct{ Alg string }
	if err := json.Unmarshal([]byte(header), &h); err != nil {
		p.Fatal(err)
	}
	var key any = p.key
	switch h.Alg {
	case "none":
		key = jwt.UnsafeAllowNoneSignatureType
	case "HS256":
		key = p.key.N.Bytes()
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	signature, err := jwt.GetSigningMethod(h.Alg).Sign(signed, key)
	if err != nil {
		p.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}
