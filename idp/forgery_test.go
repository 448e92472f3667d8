package idp_test

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

// forger makes tokens that are good but for one thing.
type forger struct {
	kid    string // of the provider's key
	key    crypto.PrivateKey
	trap   string // a URL that must never be fetched
	claims map[string]any
}

func (f forger) header(changes claimsOf) map[string]any {
	return with(claimsOf{"alg": "RS256", "kid": f.kid, "typ": "JWT"}, changes)
}

func (f forger) with(header, claims claimsOf, key any) string {
	return sign(f.header(header), with(f.claims, claims), key)
}

// text signs an exact payload under an exact header, by the provider's own key.
func (f forger) text(header, payload string) string { return signText(header, payload, "RS256", f.key) }

func (f forger) payload() string { return string(must(json.Marshal(f.claims))) }

// forgeries lists them, each with its reason: the code, and words of the error.
func (f forger) forgeries() []forgery {
	public := &rsaKey().PublicKey // no secret
	spki, pkcs1 := must(x509.MarshalPKIXPublicKey(public)), x509.MarshalPKCS1PublicKey(public)
	good := f.with(nil, nil, f.key)
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	own := rsaJWK(f.kid, anotherKey())
	kidHeader := `{"alg":"RS256","kid":"` + f.kid + `"`
	const (
		invalid   = session.CodeInvalidToken
		symmetric = "symmetric"
		stranger  = "not signed by the provider"
	)
	return []forgery{
		{"alg none", f.with(claimsOf{"alg": "none"}, nil, jwt.UnsafeAllowNoneSignatureType), invalid, "unsigned"},
		{"alg nOnE", f.with(claimsOf{"alg": "nOnE"}, nil, nil) + signature, invalid, "unsigned"},
		{"alg none with the good signature", b64([]byte(`{"alg":"none"}`)) + "." + payload + "." + signature, invalid, "unsigned"},
		{"HS256 with the client secret", f.with(claimsOf{"alg": "HS256"}, nil, []byte(clientSecret)), invalid, symmetric},
		{"HS256 with the public key, PEM", f.with(claimsOf{"alg": "HS256"}, nil, []byte(pemOf("PUBLIC KEY", spki))), invalid, symmetric},
		{"HS256 with the public key, DER", f.with(claimsOf{"alg": "HS256"}, nil, spki), invalid, symmetric},
		{"HS384 with the public key, PKCS #1 PEM", f.with(claimsOf{"alg": "HS384"}, nil, []byte(pemOf("RSA PUBLIC KEY", pkcs1))), invalid, symmetric},
		{"HS512 with the public key, PKCS #1 DER", f.with(claimsOf{"alg": "HS512"}, nil, pkcs1), invalid, symmetric},
		{"signature stripped", header + "." + payload + ".", session.CodeInvalidSignature, "no signature"},
		{"signature stripped with its dot", header + "." + payload, invalid, "not a signed JWT"},
		{"signature of another token", header + "." + b64(must(json.Marshal(with(f.claims, claimsOf{"sub": "eve"})))) + "." + signature, session.CodeInvalidSignature, stranger},
		{"embedded jwk", f.with(claimsOf{"jwk": own}, nil, anotherKey()), session.CodeInvalidSignature, stranger},
		{"embedded jwk, no kid", f.with(claimsOf{"jwk": own, "kid": absent}, nil, anotherKey()), session.CodeInvalidSignature, stranger},
		{"jku", f.with(claimsOf{"jku": f.trap}, nil, anotherKey()), session.CodeInvalidSignature, stranger},
		{"jku and a kid there", f.with(claimsOf{"jku": f.trap, "kid": "evil"}, nil, anotherKey()), session.CodeJWKSKeyNotFound, "no key"},
		{"x5u", f.with(claimsOf{"x5u": f.trap}, nil, anotherKey()), session.CodeInvalidSignature, stranger},
		{"x5c", f.with(claimsOf{"x5c": []string{"AAAA"}}, nil, anotherKey()), session.CodeInvalidSignature, stranger},
		{"kid a URL", f.with(claimsOf{"kid": f.trap}, nil, anotherKey()), session.CodeJWKSKeyNotFound, "no key"},
		{"kid a path", f.with(claimsOf{"kid": "../../etc/passwd"}, nil, f.key), session.CodeJWKSKeyNotFound, "no key"},
		{"kid of 1 MiB", f.with(claimsOf{"kid": strings.Repeat("k", 1<<20)}, nil, f.key), invalid, "too long"},
		{"kid of 100 kB", f.with(claimsOf{"kid": strings.Repeat("k", 100_000)}, nil, f.key), session.CodeJWKSKeyNotFound, "no key"},
		{"kid a list", f.with(claimsOf{"kid": []string{f.kid}}, nil, f.key), invalid, "kid is not a string"},
		{"500,000 dots", strings.Repeat(".", 500_000), invalid, "too long"},
		{"200,000 dots", header + strings.Repeat(".", 200_000), invalid, "not a signed JWT"},
		{"claim twice", f.text(kidHeader+`}`, `{"sub":"eve",`+f.payload()[1:]), invalid, "a claim twice"},
		{"claim twice, once escaped", f.text(kidHeader+`}`, `{"s\u0075b":"eve",`+f.payload()[1:]), invalid, "a claim twice"},
		{"alg twice", f.text(`{"alg":"none","alg":"RS256","kid":"`+f.kid+`"}`, f.payload()), invalid, "something twice"},
		{"kid twice", f.text(kidHeader+`,"kid":"`+f.kid+`"}`, f.payload()), invalid, "something twice"},
		{"exp text", f.with(nil, claimsOf{"exp": "1900000000"}, f.key), invalid, "exp is not a date"},
		{"exp 1e308", f.with(nil, claimsOf{"exp": raw("1e308")}, f.key), invalid, "exp is not a date"},
		{"exp 1e400", f.with(nil, claimsOf{"exp": raw("1e400")}, f.key), invalid, "exp is not a date"},
		{"exp -1", f.with(nil, claimsOf{"exp": -1}, f.key), session.CodeTokenExpired, "expired"},
		{"typ of an access token", f.with(claimsOf{"typ": "at+jwt"}, nil, f.key), invalid, "it is not a"},
		{"typ of something else", f.with(claimsOf{"typ": "application/secevent+jwt"}, nil, f.key), invalid, "it is not a"},
		{"typ a number", f.with(claimsOf{"typ": 1}, nil, f.key), invalid, "typ is not a string"},
		{"crit", f.with(claimsOf{"crit": []string{"b64"}, "b64": false}, nil, f.key), invalid, "critical"},
		{"crit null", f.with(claimsOf{"crit": nil}, nil, f.key), invalid, "critical"},
	}
}

type forgery struct {
	name, token string
	code        session.Code
	why         string
}

func TestForgeries(t *testing.T) {
	const trap = "https://tenant.example/trap"
	exp := claimsOf{"exp": t0.Unix() + 3600}
	kinds := []struct {
		name   string
		claims map[string]any
		verify func(r *rig, tok string) error
		other  string // typ of the other kind of token
	}{
		{"ID token", idClaims(), func(r *rig, tok string) error {
			_, err := r.client.VerifyIDToken(t.Context(), issuer, tok, idp.Expect{})
			return err
		}, "logout+jwt"},
		{"logout token", logoutClaims(exp), func(r *rig, tok string) error {
			_, err := r.client.VerifyLogoutToken(t.Context(), issuer, tok)
			return err
		}, "id+jwt"},
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			r := newRig(t)
			f := forger{kid: "1", key: rsaKey(), trap: trap, claims: kind.claims}
			if err := kind.verify(r, f.with(nil, nil, f.key)); err != nil {
				t.Fatalf("the token that the forgeries begin with: %v", err)
			}
			forgeries := append(f.forgeries(), forgery{
				"typ of the other kind", f.with(claimsOf{"typ": kind.other}, nil, f.key), session.CodeInvalidToken, "it is not a",
			})
			for _, tt := range forgeries {
				err := kind.verify(r, tt.token)
				var api *session.APIError
				if !errors.As(err, &api) || api.Code != tt.code || !strings.Contains(err.Error(), tt.why) {
					t.Errorf("%s: %v, want %s: ... %s", tt.name, err, tt.code, tt.why)
				}
			}
			r.wantCount(metadata, 1)
			r.wantCount(jwks, 2)    // the first, and one for all of these
			r.wantCount("/trap", 0) // the rig sees every request, wherever to
		})
	}
}

// The same over a real connection: a client that may reach the place a header names.
func TestForgeries_fetchNothing(t *testing.T) {
	v := newVisit(t)
	issuer, trap := v.tenant.Issuer(), v.tenant.URL("/trap")
	for name, value := range map[string]any{
		"jku": trap, "x5u": trap, "kid": trap, "jwk": claimsOf{"kty": "RSA", "jku": trap}, "url": trap, "iss": trap,
	} {
		edit := func(d *idptest.Draft) { d.Header[name], d.WrongKey = value, true }
		if _, err := v.client.VerifyLogoutToken(t.Context(), issuer, v.tenant.LogoutToken("ada", "sid", edit)); err == nil {
			t.Errorf("%s: a logout token was accepted", name)
		}
		v.tenant.Set(idptest.WithIDToken(edit))
		if _, err := v.client.VerifyIDToken(t.Context(), issuer, v.login().IDToken, idp.Expect{}); err == nil {
			t.Errorf("%s: an ID token was accepted", name)
		}
	}
	if n := v.tenant.Requests(idptest.Trap); n != 0 {
		t.Errorf("requests of the trap = %d, want 0", n)
	}
	if n := v.tenant.Requests(idptest.JWKS); n > 3 { // the first, one for logins, one for logout tokens
		t.Errorf("key fetches = %d, want 3 at most", n)
	}
}
