package idp_test

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/idp"
)

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (r *rig) of(clientID string, a idp.Credentials) *idp.Client {
	r.t.Helper()
	c, err := r.client.For(clientID, a)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// Each application authenticates in its own way, and all of them share metadata and keys.
func TestFor_authenticatesItsApplication(t *testing.T) {
	r := newRig(t)
	for name, tt := range map[string]struct {
		credentials idp.Credentials
		want        idp.AuthMethod
	}{
		"secret":  {idp.Credentials{ClientSecret: "another"}, idp.ClientSecretBasic},
		"in form": {idp.Credentials{ClientSecret: "another", Auth: idp.ClientSecretPost}, idp.ClientSecretPost},
		"key":     {idp.Credentials{SigningKey: rsaKey(), SigningKeyID: "2"}, idp.PrivateKeyJWT},
		"public":  {idp.Credentials{Auth: idp.PublicClient}, idp.PublicClient},
	} {
		_, err := r.of("another id", tt.credentials).Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
		if err != nil || r.sent() != tt.want || r.form.Get("client_id") != "another id" {
			t.Errorf("%s: %v, %s by %q, want %s", name, err, r.sent(), r.form.Get("client_id"), tt.want)
		}
		id, secret, _ := (&http.Request{Header: r.header}).BasicAuth()
		if tt.want == idp.ClientSecretBasic && (id != "another+id" || secret != "another") {
			t.Errorf("%s: Basic %q, %q", name, id, secret)
		}
		if tt.want != idp.PrivateKeyJWT {
			continue
		}
		var claims jwt.RegisteredClaims
		if _, err := jwt.ParseWithClaims(r.form.Get("client_assertion"), &claims, func(*jwt.Token) (any, error) { return &rsaKey().PublicKey, nil },
			jwt.WithTimeFunc(r.clock.Now)); err != nil || claims.Issuer != "another id" || claims.Subject != "another id" {
			t.Errorf("%s: assertion %+v, %v", name, claims, err)
		}
	}
	if err := refresh(t, r); err != nil || r.sent() != idp.ClientSecretBasic || r.form.Get("client_id") != clientID {
		t.Errorf("the first application afterwards: %v, %s by %q", err, r.sent(), r.form.Get("client_id"))
	}
	if n := r.count(metadata); n != 1 {
		t.Errorf("metadata requests = %d, want 1 for all applications", n)
	}
}

// A certificate's endpoints are for the application that has one, even where another had the metadata fetched.
func TestFor_certificateBesideASecret(t *testing.T) {
	r := newRig(t)
	r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"mtls_endpoint_aliases": claimsOf{"token_endpoint": "https://mtls.example/token"}}))
	r.answer("https://mtls.example/token", 200, `{"access_token":"mtls","token_type":"Bearer"}`)
	var own int
	mutual := r.of("mutual", idp.Credentials{Auth: idp.TLSClientAuth, HTTPClient: &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		own++
		return r.RoundTrip(req)
	})}})
	for range 2 {
		if err := refresh(t, r); err != nil {
			t.Fatal(err)
		}
		got, err := mutual.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
		if err != nil || got.AccessToken != "mtls" || r.form.Get("client_id") != "mutual" {
			t.Errorf("by certificate: %q, %v", got.AccessToken, err)
		}
	}
	if r.count(metadata) != 1 || own != 2 {
		t.Errorf("metadata requests = %d, want 1; by the application's own HTTP client %d, want 2", r.count(metadata), own)
	}
	r = newRig(t)
	r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"mtls_endpoint_aliases": 7}))
	if err := refresh(t, r); err != nil {
		t.Errorf("aliases that cannot be read, with a secret: %v", err)
	}
	_, err := r.of("mutual", idp.Credentials{Auth: idp.TLSClientAuth}).Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
	if verdict(err) != "metadata_error" {
		t.Errorf("aliases that cannot be read, with a certificate: %v, want metadata_error", err)
	}
}

func TestFor_tokensAreForItsApplication(t *testing.T) {
	r := newRig(t)
	other := r.of("another", idp.Credentials{})
	for name, c := range map[string]*idp.Client{clientID: r.client, "another": other} {
		for aud, want := range map[string]bool{name: true, "third": false} {
			_, err := c.VerifyIDToken(t.Context(), issuer, sign(rs256(), idClaims(claimsOf{"aud": aud}), rsaKey()), idp.Expect{})
			if (err == nil) != want {
				t.Errorf("ID token for %s at %s: %v", aud, name, err)
			}
			_, err = c.VerifyLogoutToken(t.Context(), issuer, sign(rs256(), logoutClaims(claimsOf{"aud": aud}), rsaKey()))
			if (err == nil) != want {
				t.Errorf("logout token for %s at %s: %v", aud, name, err)
			}
		}
	}
}

func TestFor_refusesCredentialsThatCannotBeUsed(t *testing.T) {
	r := newRig(t)
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	for name, a := range map[string]idp.Credentials{
		"key and method":   {SigningKey: rsaKey(), Auth: idp.ClientSecretBasic},
		"alg of no key":    {ClientSecret: "s", SigningAlg: "RS256"},
		"alg of another":   {SigningKey: rsaKey(), SigningAlg: "ES256"},
		"symmetric alg":    {SigningKey: rsaKey(), SigningAlg: "HS256"},
		"nil key":          {SigningKey: (*rsa.PrivateKey)(nil)},
		"small key":        {SigningKey: small},
		"unknown method":   {ClientSecret: "s", Auth: "by telephone"},
		"secret of public": {ClientSecret: "s", Auth: idp.PublicClient},
	} {
		if _, err := r.client.For("another", a); verdict(err) != "ConfigurationError" {
			t.Errorf("%s: %v, want a ConfigurationError", name, err)
		}
	}
	if _, err := r.client.For("", idp.Credentials{}); verdict(err) != "ConfigurationError" {
		t.Errorf("no client id: %v", err)
	}
	c := r.of("another", idp.Credentials{})
	if _, err := c.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken}); verdict(err) != "ConfigurationError" {
		t.Errorf("a request without credentials: %v, want a ConfigurationError", err)
	}
	if to, err := c.LogoutURL(t.Context(), issuer, "", idp.LogoutOptions{}); err != nil || to != "https://tenant.example/v2/logout?client_id=another" {
		t.Errorf("a logout without credentials: %s, %v", to, err)
	}
}

// A logout token may be for any of the applications at its issuer: only those of its aud are asked about, and last.
func TestVerifyLogoutTokenFor(t *testing.T) {
	r := newRig(t)
	var asked []string
	known := func(id string) error {
		asked = append(asked, id)
		if id == "second" || id == "third" {
			return nil
		}
		return errors.New("unknown")
	}
	verify := func(claims claimsOf) ([]string, error) {
		asked = nil
		_, ids, err := r.client.VerifyLogoutTokenFor(t.Context(), issuer, sign(rs256(), logoutClaims(claims), rsaKey()), known)
		return ids, err
	}
	many := []any{}
	for range 12 {
		many = append(many, "x")
	}
	for name, tt := range map[string]struct {
		claims claimsOf
		want   []string
		asked  int
	}{
		"its own":          {claimsOf{"aud": clientID}, []string{clientID}, 0},
		"another":          {claimsOf{"aud": "second"}, []string{"second"}, 1},
		"several":          {claimsOf{"aud": []any{"third", clientID, "fourth"}}, []string{"third", clientID}, 2},
		"unknown":          {claimsOf{"aud": "fourth"}, nil, 1},
		"many":             {claimsOf{"aud": many}, nil, 10},
		"many and its own": {claimsOf{"aud": append(slices.Clone(many), clientID)}, []string{clientID}, 10},
		"not a logout":     {claimsOf{"aud": "second", "events": absent}, nil, 0},
		"expired":          {claimsOf{"aud": "second", "exp": t0.Unix() - 100}, nil, 0},
	} {
		ids, err := verify(tt.claims)
		if !slices.Equal(ids, tt.want) || (err == nil) != (tt.want != nil) || len(asked) != tt.asked {
			t.Errorf("%s: %v, %v, asked %v, want %v and %d", name, ids, err, asked, tt.want, tt.asked)
		}
		if err != nil && verdict(err) != "backchannel_logout_error" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
