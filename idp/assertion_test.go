package idp_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

func TestPrivateKeyJWT(t *testing.T) {
	r := newRig(t, func(cfg *idp.Config) { cfg.SigningKey, cfg.SigningKeyID = rsaKey(), "key-1" })
	r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"issuer": "https://TENANT.example"}))
	seen := map[string]bool{}
	for _, tt := range tokenRequests {
		if _, err := tt.send(t.Context(), r.client); err != nil {
			t.Fatal(err)
		}
		form := with2(tt.form)
		form["client_assertion"] = r.form["client_assertion"]
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		if r.form.Encode() != form.Encode() || r.header.Get("Authorization") != "" {
			t.Errorf("%s: form %v, Authorization %q: the secret must not be sent beside the assertion", tt.name, r.form, r.header.Get("Authorization"))
		}

		var claims jwt.MapClaims
		tok, err := jwt.ParseWithClaims(r.form.Get("client_assertion"), &claims, func(*jwt.Token) (any, error) { return &rsaKey().PublicKey, nil },
			jwt.WithTimeFunc(r.clock.Now), jwt.WithValidMethods([]string{"RS256"}), jwt.WithJSONNumber())
		if err != nil || tok.Header["kid"] != "key-1" {
			t.Fatalf("assertion: %v, header %v", err, tok.Header)
		}
		jti, _ := claims["jti"].(string)
		if len(jti) < 20 || seen[jti] {
			t.Errorf("jti = %q, want a new one", jti)
		}
		seen[jti] = true
		delete(claims, "jti")
		got := string(must(json.Marshal(claims)))
		want := string(must(json.Marshal(map[string]any{
			"iss": clientID, "sub": clientID, "aud": "https://TENANT.example",
			"iat": t0.Unix(), "nbf": t0.Unix(), "exp": t0.Unix() + 60,
		})))
		if got != want {
			t.Errorf("claims = %s, want %s", got, want)
		}
	}
}

func TestPrivateKeyJWT_algorithms(t *testing.T) {
	tests := []struct {
		alg  string
		key  crypto.Signer
		want string
	}{
		{"", rsaKey(), "RS256"},
		{"", ecKey(), "ES256"},
		{"", p384Key(), "ES384"},
		{"", p521Key(), "ES512"},
		{"", edKey(), "EdDSA"},
		{"RS256", rsaKey(), "RS256"},
		{"RS384", rsaKey(), "RS384"},
		{"RS512", rsaKey(), "RS512"},
		{"PS256", rsaKey(), "PS256"},
		{"PS512", rsaKey(), "PS512"},
		{"ES256", ecKey(), "ES256"},
		{"ES384", p384Key(), "ES384"},
	}
	for _, tt := range tests {
		r := newRig(t, func(cfg *idp.Config) { cfg.SigningKey, cfg.SigningAlg, cfg.ClientSecret = tt.key, tt.alg, "" })
		if _, err := r.client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken}); err != nil {
			t.Errorf("%q with a %T: %v", tt.alg, tt.key, err)
		}
		_, err := jwt.Parse(r.form.Get("client_assertion"), func(*jwt.Token) (any, error) { return tt.key.Public(), nil },
			jwt.WithTimeFunc(r.clock.Now), jwt.WithValidMethods([]string{tt.want}))
		if err != nil {
			t.Errorf("%q with a %T: the assertion is not good by %s: %v", tt.alg, tt.key, tt.want, err)
		}
	}
}

// What the tenant accepts, each time over loopback HTTP.
func TestPrivateKeyJWT_atTheTenant(t *testing.T) {
	for alg, key := range map[string]crypto.Signer{
		"RS256": rsaKey(), "RS384": rsaKey(), "RS512": rsaKey(), "PS256": rsaKey(), "ES256": ecKey(), "ES384": p384Key(), "EdDSA": edKey(),
	} {
		v := newVisit(t, idptest.WithClientKey(idptest.ClientID, key.Public()), idptest.WithOpaqueTokens())
		v.client = must(idp.New(idp.Config{ClientID: idptest.ClientID, SigningKey: key, SigningAlg: alg, Clock: v.clock}))
		t.Cleanup(v.client.Close)
		login := v.login()
		if _, err := v.refresh(t.Context(), login.RefreshToken); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestPrivateKeyJWT_refusesAtNew(t *testing.T) {
	tests := []struct {
		name string
		key  crypto.PrivateKey
		alg  string
		auth idp.AuthMethod
	}{
		{"alg none", rsaKey(), "none", ""},
		{"alg HS256", []byte("secret"), "HS256", ""},
		{"a secret as key", []byte("secret"), "", ""},
		{"a text as key", "-----BEGIN", "", ""},
		{"public key", &rsaKey().PublicKey, "", ""},
		{"another kind of key", ecKey(), "RS256", ""},
		{"another curve", ecKey(), "ES384", ""},
		{"a curve without an algorithm", must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)), "", ""},
		{"RSA key of 1024 bits", must(rsa.GenerateKey(rand.Reader, 1024)), "", ""},
		{"public half of another key", &rsa.PrivateKey{PublicKey: anotherKey().PublicKey, D: rsaKey().D, Primes: rsaKey().Primes}, "", ""},
		{"EC key without a curve", &ecdsa.PrivateKey{}, "", ""},
		{"nil RSA key", (*rsa.PrivateKey)(nil), "", ""},
		{"nil EC key", (*ecdsa.PrivateKey)(nil), "ES256", ""},
		{"short Ed25519 key", ed25519.PrivateKey{1}, "EdDSA", ""},
		{"no key", nil, "", idp.PrivateKeyJWT},
		{"an algorithm and no key", nil, "RS256", ""},
		{"an algorithm and no key, by secret", nil, "RS256", idp.ClientSecretBasic},
		{"key and client_secret_post", rsaKey(), "", idp.ClientSecretPost},
	}
	for _, tt := range tests {
		_, err := idp.New(idp.Config{ClientID: "c", ClientSecret: "s", SigningKey: tt.key, SigningAlg: tt.alg, Auth: tt.auth})
		var conf *session.ConfigurationError
		if !errors.As(err, &conf) || !strings.HasPrefix(conf.Message, "Signing") {
			t.Errorf("%s: %v, want a ConfigurationError", tt.name, err)
		}
	}
}

func TestPrivateKeyJWT_keyIDWithoutAKey(t *testing.T) {
	_, err := idp.New(idp.Config{ClientID: "c", ClientSecret: "s", SigningKeyID: "key-1"})
	var conf *session.ConfigurationError
	if !errors.As(err, &conf) {
		t.Errorf("%v, want a ConfigurationError", err)
	}
}

func TestPrivateKeyJWT_withoutRandomnessSendsNothing(t *testing.T) {
	r := newRig(t, func(cfg *idp.Config) { cfg.SigningKey, cfg.Rand = rsaKey(), bytes.NewReader(nil) })
	_, err := r.client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
	if verdict(err) != "token_error" {
		t.Errorf("err = %v, want token_error", err)
	}
	r.wantCount(token, 0)
}

func TestPrivateKeyJWT_assertionIsNotShown(t *testing.T) {
	r := newRig(t, func(cfg *idp.Config) { cfg.SigningKey = rsaKey() })
	r.fail(token, errors.New("x"))
	for range 2 {
		_, err := r.client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
		wantNoSecret(t, "assertion", err, r.form.Get("client_assertion"))
		r.handle(token, func(w http.ResponseWriter, req *http.Request) {
			w.WriteHeader(401)
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":%q}`, req.PostForm.Get("client_assertion"))
		})
	}
	if _, err := r.client.PushAuthorization(t.Context(), issuer, url.Values{"client_assertion": {"mine"}}); err == nil {
		t.Error("PAR without an answer succeeded")
	}
	if got := r.form.Get("client_assertion"); got == "mine" || got == "" {
		t.Errorf("client_assertion = %q, want our own", got)
	}
}
