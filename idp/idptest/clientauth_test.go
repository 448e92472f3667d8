package idptest_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// authenticate sends a refresh of no token: invalid_grant says that the client
// was accepted.
func (a *app) authenticate(user, password string, form ...string) answer {
	f := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"none"}}
	change(f, form)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, a.tenant.URL("/oauth/token"), strings.NewReader(f.Encode()))
	if err != nil {
		a.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	return a.do(req)
}

func TestClientAuthentication(t *testing.T) {
	const odd = "p+ss %:w/rd" // must be form-encoded in the header (RFC 6749 section 2.3.1)
	tests := []struct {
		name           string
		user, password string
		form           []string
		want           string
		auth           idptest.AuthMethod
	}{
		{"basic", idptest.ClientID, idptest.ClientSecret, nil, "invalid_grant", idptest.AuthBasic},
		{"basic with client_id", idptest.ClientID, idptest.ClientSecret, []string{"client_id", idptest.ClientID}, "invalid_grant", idptest.AuthBasic},
		{"basic with another client_id", idptest.ClientID, idptest.ClientSecret, []string{"client_id", "public"}, "invalid_client", idptest.AuthBasic},
		{"basic, wrong secret", idptest.ClientID, "wrong", nil, "invalid_client", idptest.AuthBasic},
		{"basic, encoded", "odd", url.QueryEscape(odd), nil, "invalid_grant", idptest.AuthBasic},
		{"basic, not encoded", "odd", odd, nil, "invalid_client", idptest.AuthBasic},
		{"post", "", "", []string{"client_id", idptest.ClientID, "client_secret", idptest.ClientSecret}, "invalid_grant", idptest.AuthPost},
		{"post, wrong secret", "", "", []string{"client_id", idptest.ClientID, "client_secret", "wrong"}, "invalid_client", idptest.AuthPost},
		{"both", idptest.ClientID, idptest.ClientSecret, []string{"client_secret", idptest.ClientSecret}, "invalid_request", idptest.AuthSeveral},
		{"neither", "", "", []string{"client_id", idptest.ClientID}, "invalid_client", idptest.AuthNone},
		{"public", "", "", []string{"client_id", "public"}, "invalid_grant", idptest.AuthNone},
		{"unknown", "stranger", "", nil, "invalid_client", idptest.AuthBasic},
	}
	overBoth(t, func(t *testing.T, a *app) {
		for _, tt := range tests {
			r := a.authenticate(tt.user, tt.password, tt.form...)
			if r.str("error") != tt.want || (r.status == 401) != (tt.want == "invalid_client") {
				t.Errorf("%s = %d %s, want %s", tt.name, r.status, r.raw, tt.want)
			}
			asked := r.header.Get("WWW-Authenticate")
			if want := r.status == 401 && tt.auth == idptest.AuthBasic; strings.HasPrefix(asked, "Basic ") != want || (asked != "") != want {
				t.Errorf("%s: WWW-Authenticate = %q", tt.name, asked)
			}
			if got := a.tenant.LastAuth(idptest.Refresh); got != tt.auth {
				t.Errorf("%s: LastAuth = %s, want %s", tt.name, got, tt.auth)
			}
		}
	}, idptest.WithClient("odd", odd), idptest.WithClient("public", ""))
}

func TestClientAssertion(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a := inProcess(t, idptest.WithClock(clock.NewFake(t0)), idptest.WithClientKey("signer", &key.PublicKey))
	tests := []struct {
		name   string
		change jwt.MapClaims
		want   string
	}{
		{"good", jwt.MapClaims{"jti": "1"}, "invalid_grant"},
		{"for the token endpoint", jwt.MapClaims{"jti": "2", "aud": a.tenant.URL("/oauth/token")}, "invalid_grant"},
		{"used again", jwt.MapClaims{"jti": "1"}, "invalid_client"},
		{"no jti", jwt.MapClaims{}, "invalid_client"},
		{"too old", jwt.MapClaims{"jti": "3", "exp": t0.Unix()}, "invalid_client"},
		{"for another", jwt.MapClaims{"jti": "4", "aud": "https://other.example/"}, "invalid_client"},
		{"for another endpoint", jwt.MapClaims{"jti": "7", "aud": a.tenant.URL("/oauth/par")}, "invalid_client"},
		{"of another", jwt.MapClaims{"jti": "5", "sub": idptest.ClientID}, "invalid_client"},
		{"of a client with a secret", jwt.MapClaims{"jti": "6", "iss": idptest.ClientID, "sub": idptest.ClientID}, "invalid_client"},
	}
	signed := func(change jwt.MapClaims) []string {
		c := jwt.MapClaims{"iss": "signer", "sub": "signer", "aud": a.tenant.Issuer(), "iat": t0.Unix(), "exp": t0.Add(time.Minute).Unix()}
		maps.Copy(c, change)
		assertion, err := jwt.NewWithClaims(jwt.SigningMethodRS256, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return []string{"client_assertion", assertion, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
	}
	for _, tt := range tests {
		if r := a.authenticate("", "", signed(tt.change)...); r.str("error") != tt.want {
			t.Errorf("%s = %d %s, want %s", tt.name, r.status, r.raw, tt.want)
		}
	}
	// RFC 9126 section 2: where a request is pushed to is an audience as good as the others.
	for i, aud := range []string{a.tenant.Issuer(), a.tenant.URL("/oauth/token"), a.tenant.URL("/oauth/par")} {
		f := a.authorizeForm("client_id", "signer")
		change(f, signed(jwt.MapClaims{"jti": fmt.Sprint("push ", i), "aud": aud}))
		if r := a.push(f); r.status != 201 {
			t.Errorf("pushed, for %s = %d %s, want 201", aud, r.status, r.raw)
		}
	}
	if r := a.authenticate("", "", "client_id", "signer"); r.str("error") != "invalid_client" {
		t.Errorf("without an assertion = %d %s, want invalid_client", r.status, r.raw)
	}
	if got := a.tenant.LastAuth(idptest.Refresh); got != idptest.AuthNone {
		t.Errorf("LastAuth = %s", got)
	}
}

// A key of a kind that no assertion is checked by is a mistake of the test: New says so, and not a login.
func TestWithClientKey_kinds(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.PublicKey{&rsaKey.PublicKey, &ecKey.PublicKey, public} {
		tenant, err := idptest.New(idptest.InProcess(), idptest.WithClientKey("signer", key))
		if err != nil {
			t.Errorf("%T: %v", key, err)
			continue
		}
		tenant.Close()
	}
	for _, key := range []crypto.PublicKey{
		nil, "key", rsaKey.PublicKey, rsaKey, ecKey.PublicKey, ecKey, &public, private, ed25519.PublicKey{1}, (*rsa.PublicKey)(nil), (*ecdsa.PublicKey)(nil),
	} {
		tenant, err := idptest.New(idptest.InProcess(), idptest.WithClientKey("signer", key))
		if err == nil {
			tenant.Close()
			t.Errorf("%T is accepted", key)
			continue
		}
		if text := err.Error(); !strings.Contains(text, "WithClientKey") || !strings.Contains(text, "signer") {
			t.Errorf("%T: %q names neither the option nor the client", key, text)
		}
	}
}
