package idp_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// sent says how the last token request authenticated.
func (r *rig) sent() idp.AuthMethod {
	_, _, basic := (&http.Request{Header: r.header}).BasicAuth()
	post := r.form.Has("client_secret")
	switch {
	case basic && post:
		return "two ways at once"
	case basic:
		return idp.ClientSecretBasic
	case post:
		return idp.ClientSecretPost
	case r.form.Has("client_assertion"):
		return idp.PrivateKeyJWT
	}
	return idp.PublicClient
}

func refresh(t *testing.T, r *rig) error {
	t.Helper()
	_, err := r.client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
	return err
}

// What the host left open the provider's metadata decides, Basic before post.
func TestClientAuth_byMetadata(t *testing.T) {
	tests := []struct {
		name    string
		methods any // of the metadata; nil: absent
		choose  idp.AuthMethod
		ignore  bool // the metadata
		want    idp.AuthMethod
	}{
		{"absent", nil, "", false, idp.ClientSecretBasic},
		{"both", []string{"client_secret_post", "client_secret_basic"}, "", false, idp.ClientSecretBasic},
		{"post only", []string{"client_secret_post", "private_key_jwt"}, "", false, idp.ClientSecretPost},
		{"neither", []string{"tls_client_auth"}, "", false, idp.ClientSecretBasic},
		{"no list", "client_secret_post", "", false, idp.ClientSecretBasic},
		{"the host chose Basic", []string{"client_secret_post"}, idp.ClientSecretBasic, false, idp.ClientSecretBasic},
		{"the host chose post", []string{"client_secret_basic"}, idp.ClientSecretPost, false, idp.ClientSecretPost},
		{"an Auth0 domain", []string{"client_secret_post"}, "", true, idp.ClientSecretBasic},
	}
	for _, tt := range tests {
		r := newRig(t, func(c *idp.Config) { c.Auth, c.ReadMetadata = tt.choose, !tt.ignore })
		doc := defaultMetadata()
		if tt.methods != nil {
			doc["token_endpoint_auth_methods_supported"] = tt.methods
		}
		r.answerJSON(metadata, doc)
		if err := refresh(t, r); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := r.sent(); got != tt.want || r.form.Get("client_id") != clientID {
			t.Errorf("%s: sent by %s with client_id %q, want %s", tt.name, got, r.form.Get("client_id"), tt.want)
		}
	}
}

func TestClientAuth_public(t *testing.T) {
	r := newRig(t, func(c *idp.Config) { c.ClientSecret, c.Auth = "", idp.PublicClient })
	if err := refresh(t, r); err != nil {
		t.Fatal(err)
	}
	want := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}, "client_id": {clientID}}
	if r.form.Encode() != want.Encode() || r.header.Get("Authorization") != "" {
		t.Errorf("sent %v, Authorization %q; want %v and none", r.form, r.header.Get("Authorization"), want)
	}
}

// A request that cannot be authenticated is not sent.
func TestClientAuth_nothing(t *testing.T) {
	r := newRig(t, func(cfg *idp.Config) { cfg.ClientSecret = "" })
	for _, tt := range tokenRequests {
		if _, err := tt.send(t.Context(), r.client); verdict(err) != "ConfigurationError" {
			t.Errorf("%s: %v, want a ConfigurationError", tt.name, err)
		}
	}
	r.wantCount(token, 0)
}

func certificate(key *rsa.PrivateKey) *x509.Certificate {
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	return must(x509.ParseCertificate(der))
}

// Entra ID wants the certificate's thumbprint, login.gov the token endpoint as aud.
func TestClientAuth_assertionForTheTokenEndpointByCertificate(t *testing.T) {
	cert := certificate(rsaKey())
	r := newRig(t, func(c *idp.Config) {
		c.SigningKey, c.SigningCertificate, c.AssertTokenEndpoint = rsaKey(), cert, true
	})
	if err := refresh(t, r); err != nil {
		t.Fatal(err)
	}
	var claims jwt.RegisteredClaims
	tok, err := jwt.ParseWithClaims(r.form.Get("client_assertion"), &claims,
		func(*jwt.Token) (any, error) { return &rsaKey().PublicKey, nil }, jwt.WithTimeFunc(r.clock.Now))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.Raw)
	if got, want := tok.Header["x5t#S256"], base64.RawURLEncoding.EncodeToString(sum[:]); got != want || tok.Header["x5t"] == nil {
		t.Errorf("x5t#S256 = %v, want %s; x5t = %v", got, want, tok.Header["x5t"])
	}
	if len(claims.Audience) != 1 || claims.Audience[0] != "https://tenant.example/token" {
		t.Errorf("aud = %v, want the token endpoint", claims.Audience)
	}
}

// A client with a certificate asks at the endpoints that are for it, and names itself in the
// body (RFC 8705 sections 2 and 5).
func TestClientAuth_mutualTLS(t *testing.T) {
	for _, method := range []idp.AuthMethod{idp.TLSClientAuth, idp.SelfSignedTLSClientAuth} {
		r := newRig(t, func(c *idp.Config) { c.ClientSecret, c.Auth = "", method })
		doc := defaultMetadata()
		doc["mtls_endpoint_aliases"] = map[string]any{"token_endpoint": "https://mtls.tenant.example/mtls/token", "issuer": "https://evil.example/"}
		r.answerJSON(metadata, doc)
		r.answer("https://mtls.tenant.example/mtls/token", 200, `{"access_token":"at","expires_in":3600}`)
		if err := refresh(t, r); err != nil {
			t.Fatal(err)
		}
		r.wantCount("/mtls/token", 1)
		r.wantCount(token, 0)
		if got := r.sent(); got != idp.PublicClient || r.form.Get("client_id") != clientID {
			t.Errorf("%s: sent %v", method, r.form)
		}
	}
}

func TestClientAuth_refusesAtNew(t *testing.T) {
	other := certificate(anotherKey())
	for name, cfg := range map[string]idp.Config{
		"a public client with a secret":  {ClientSecret: "s", Auth: idp.PublicClient},
		"a certificate and a secret":     {ClientSecret: "s", Auth: idp.TLSClientAuth},
		"a certificate of another key":   {SigningKey: rsaKey(), SigningCertificate: other},
		"a certificate without its key":  {ClientSecret: "s", SigningCertificate: other},
		"a public client with a key":     {SigningKey: rsaKey(), Auth: idp.PublicClient},
		"a method that does not exist":   {ClientSecret: "s", Auth: "client_secret_jwt"},
		"a signed assertion without key": {ClientSecret: "s", Auth: idp.PrivateKeyJWT},
	} {
		cfg.ClientID = clientID
		_, err := idp.New(cfg)
		var config *session.ConfigurationError
		if !errors.As(err, &config) {
			t.Errorf("%s: %v, want a ConfigurationError", name, err)
		}
	}
}
