package idp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	"github.com/tokenward/tokenward/idp"
)

// everyAlgorithm is what a provider lists that signs by all of them.
var everyAlgorithm = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "HS256", "none",
}

// ecOf is a P-256, P-384 or P-521 key as a provider publishes it, without kid.
func ecOf(crv string, key *ecdsa.PrivateKey) claimsOf {
	point := must(key.PublicKey.Bytes())[1:]
	return claimsOf{"kty": "EC", "crv": crv, "x": b64(point[:len(point)/2]), "y": b64(point[len(point)/2:])}
}

// shortX returns a key whose first coordinate begins with a zero octet.
func shortX() *ecdsa.PrivateKey {
	for {
		key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		if must(key.PublicKey.Bytes())[1] == 0 {
			return key
		}
	}
}

// Keys as providers publish them: what signs by a key of the set is verified by it, whichever
// optional members either side leaves out.
func TestKeys_asProvidersPublishThem(t *testing.T) {
	rsaPlain := with(rsaJWK("", rsaKey()), claimsOf{"kid": absent, "alg": absent, "use": absent})
	otherPlain := with(rsaJWK("", anotherKey()), claimsOf{"kid": absent, "alg": absent, "use": absent})
	kid := func(jwk claimsOf, kid string) claimsOf { return with(jwk, claimsOf{"kid": kid}) }
	short := shortX()
	shortPoint := must(short.PublicKey.Bytes())
	unpadded := with(ecOf("P-256", short), claimsOf{"x": b64(shortPoint[2:33])})
	overlong := with(ecOf("P-256", ecKey()), claimsOf{"x": b64(append([]byte{0}, must(ecKey().PublicKey.Bytes())[1:33]...))})
	equals := with(ecOf("P-384", p384Key()), claimsOf{"x": base64.URLEncoding.EncodeToString(must(p384Key().PublicKey.Bytes())[1:49])})
	var forty []claimsOf
	for i := range 39 {
		forty = append(forty, kid(rsaJWK("", anotherKey()), fmt.Sprint("old-", i)))
	}
	forty = append(forty, rsaJWK("1", rsaKey()))

	type keys = []claimsOf
	tests := []struct {
		name string
		keys keys
		alg  string
		kid  any // of the token
		key  crypto.PrivateKey
		want string
	}{
		{"RS256", keys{kid(rsaPlain, "1")}, "RS256", "1", rsaKey(), "ok"},
		{"RS384", keys{kid(rsaPlain, "1")}, "RS384", "1", rsaKey(), "ok"},
		{"RS512", keys{kid(rsaPlain, "1")}, "RS512", "1", rsaKey(), "ok"},
		{"PS256", keys{kid(rsaPlain, "1")}, "PS256", "1", rsaKey(), "ok"},
		{"PS384", keys{kid(rsaPlain, "1")}, "PS384", "1", rsaKey(), "ok"},
		{"PS512", keys{kid(rsaPlain, "1")}, "PS512", "1", rsaKey(), "ok"},
		{"ES256", keys{kid(ecOf("P-256", ecKey()), "1")}, "ES256", "1", ecKey(), "ok"},
		{"ES384", keys{kid(ecOf("P-384", p384Key()), "1")}, "ES384", "1", p384Key(), "ok"},
		{"ES512", keys{kid(ecOf("P-521", p521Key()), "1")}, "ES512", "1", p521Key(), "ok"},
		{"EdDSA", keys{edJWK("1", edKey())}, "EdDSA", "1", edKey(), "ok"},
		{"Ed25519 (RFC 9864)", keys{edJWK("1", edKey())}, "Ed25519", "1", edKey(), "ok"},
		{"Ed25519 key that says EdDSA", keys{with(edJWK("1", edKey()), claimsOf{"alg": "EdDSA"})}, "EdDSA", "1", edKey(), "ok"},
		{"HS256 is listed", keys{kid(rsaPlain, "1")}, "HS256", "1", []byte(clientSecret), "invalid_token"},

		{"no kid on either side", keys{rsaPlain}, "RS256", absent, rsaKey(), "ok"},
		{"kid in the token only", keys{rsaPlain}, "RS256", "1", rsaKey(), "ok"},
		{"kid in the set only", keys{kid(rsaPlain, "1")}, "RS256", absent, rsaKey(), "ok"},
		{"kid in the set only, EC beside RSA", keys{kid(rsaPlain, "1"), kid(ecOf("P-256", ecKey()), "2")}, "ES256", absent, ecKey(), "ok"},
		{"several keys without kid", keys{otherPlain, rsaPlain, ecOf("P-256", ecKey())}, "RS256", absent, rsaKey(), "ok"},
		{"several keys without kid, kid in the token", keys{otherPlain, rsaPlain}, "RS256", "1", rsaKey(), "ok"},
		{"several keys with kids, none in the token", keys{kid(otherPlain, "1"), kid(rsaPlain, "2")}, "RS256", absent, rsaKey(), "jwks_key_not_found"},
		{"another kid", keys{kid(rsaPlain, "1")}, "RS256", "2", rsaKey(), "jwks_key_not_found"},
		{"another kid beside a key without", keys{kid(otherPlain, "1"), rsaPlain}, "RS256", "2", rsaKey(), "ok"},
		{"a key without kid that did not sign", keys{otherPlain}, "RS256", "1", rsaKey(), "invalid_signature"},
		{"one kid for two keys", keys{kid(otherPlain, "1"), kid(rsaPlain, "1")}, "RS256", "1", rsaKey(), "ok"},
		{"the key is there twice", keys{kid(rsaPlain, "1"), kid(rsaPlain, "1")}, "RS256", "1", rsaKey(), "ok"},
		{"forty keys", forty, "RS256", "1", rsaKey(), "ok"},

		{"more keys without kid than are tried", append(slices.Repeat(keys{otherPlain}, 8), rsaPlain), "RS256", absent, rsaKey(), "invalid_signature"},

		{"unknown kty", keys{{"kty": "AKP", "kid": "1", "alg": "ML-DSA-44", "pub": "AAAA"}, kid(rsaPlain, "1")}, "RS256", "1", rsaKey(), "ok"},
		{"an encryption key first", keys{with(rsaJWK("enc", anotherKey()), claimsOf{"use": "enc", "alg": "RSA-OAEP"}), rsaPlain}, "RS256", absent, rsaKey(), "ok"},
		{"an encryption key of that kid", keys{with(rsaJWK("1", anotherKey()), claimsOf{"use": "enc"}), rsaJWK("1", rsaKey())}, "RS256", "1", rsaKey(), "ok"},
		{"x5c and x5t beside it", keys{with(rsaJWK("1", rsaKey()), claimsOf{"x5c": []string{"MII"}, "x5t": "abc"})}, "RS256", "1", rsaKey(), "ok"},
		{"the key is for RS256 alone", keys{rsaJWK("1", rsaKey())}, "RS512", "1", rsaKey(), "invalid_token"},

		{"coordinate without its leading zero", keys{kid(unpadded, "1")}, "ES256", "1", short, "ok"},
		{"coordinate with a zero too many", keys{kid(overlong, "1")}, "ES256", "1", ecKey(), "ok"},
		{"coordinate with =", keys{kid(equals, "1")}, "ES384", "1", p384Key(), "ok"},
	}
	for _, tt := range tests {
		r := newRig(t, func(c *idp.Config) { c.ReadMetadata = true })
		r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"id_token_signing_alg_values_supported": everyAlgorithm}))
		r.publish(tt.keys...)
		raw := sign(with(claimsOf{"alg": tt.alg, "typ": "JWT"}, claimsOf{"kid": tt.kid}), idClaims(nil), tt.key)
		if _, err := r.client.VerifyIDToken(t.Context(), issuer, raw, idp.Expect{}); verdict(err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// The accepted algorithms are the host's, else the provider's less the symmetric ones, else RS256.
func TestAlgorithms_byMetadata(t *testing.T) {
	tests := []struct {
		name   string
		listed any // nil: absent
		host   []string
		alg    string
		want   string
	}{
		{"absent, RS256", nil, nil, "RS256", "ok"},
		{"absent, ES256", nil, nil, "ES256", "invalid_token"},
		{"listed", []string{"ES256"}, nil, "ES256", "ok"},
		{"not listed", []string{"ES256"}, nil, "RS256", "invalid_token"},
		{"symmetric ones only", []string{"HS256", "none"}, nil, "RS256", "ok"},
		{"no list", "ES256", nil, "ES256", "invalid_token"},
		{"the host's", []string{"ES256"}, []string{"RS256"}, "ES256", "invalid_token"},
	}
	for _, tt := range tests {
		r := newRig(t, func(c *idp.Config) { c.ReadMetadata, c.Algorithms = true, tt.host })
		if tt.listed != nil {
			r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"id_token_signing_alg_values_supported": tt.listed}))
		}
		r.publish(rsaJWK("1", rsaKey()), with(ecJWK("2", ecKey()), nil))
		kid, key := "1", crypto.PrivateKey(rsaKey())
		if tt.alg == "ES256" {
			kid, key = "2", ecKey()
		}
		raw := sign(claimsOf{"alg": tt.alg, "kid": kid}, idClaims(nil), key)
		if _, err := r.client.VerifyIDToken(t.Context(), issuer, raw, idp.Expect{}); verdict(err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}
