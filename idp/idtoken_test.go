package idp_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// claimsOf is short for a change to claims or to a header.
type claimsOf = map[string]any

// verdict names an error the way the tables do.
func verdict(err error) string {
	var (
		api   *session.APIError
		iss   *session.IssuerValidationError
		org   *session.OrganizationTokenValidationError
		conf  *session.ConfigurationError
		logou *session.BackchannelLogoutError
	)
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &logou) && errors.As(err, &iss):
		return "backchannel_logout_error issuer_validation_error"
	case errors.As(err, &logou):
		return "backchannel_logout_error"
	case errors.As(err, &iss) && !errors.As(err, &api):
		return "issuer_validation_error"
	case errors.As(err, &org):
		return "organization_token_validation_error"
	case errors.As(err, &api):
		return string(api.Code)
	case errors.As(err, &conf):
		return "ConfigurationError"
	}
	return err.Error()
}

func TestVerifyIDToken_claims(t *testing.T) {
	now := t0.Unix()
	tests := []struct {
		name   string
		claims claimsOf
		want   string
	}{
		{"good", claimsOf{}, "ok"},

		{"aud: list with the client", claimsOf{"aud": []any{clientID}}, "ok"},
		{"aud: another client", claimsOf{"aud": "other"}, "invalid_audience"},
		{"aud: client in other case", claimsOf{"aud": strings.ToUpper(clientID)}, "invalid_audience"},
		{"aud: empty list", claimsOf{"aud": []any{}}, "invalid_audience"},
		{"aud: missing", claimsOf{"aud": absent}, "invalid_token"},
		{"aud: null", claimsOf{"aud": nil}, "invalid_token"},
		{"aud: number", claimsOf{"aud": 1}, "invalid_token"},
		{"aud: list with a number", claimsOf{"aud": []any{clientID, 1}}, "invalid_token"},
		{"aud: object", claimsOf{"aud": claimsOf{"0": clientID}}, "invalid_token"},

		{"azp: two audiences, azp the client", claimsOf{"aud": []any{clientID, "api"}, "azp": clientID}, "ok"},
		{"azp: two audiences, no azp", claimsOf{"aud": []any{clientID, "api"}}, "invalid_token"},
		{"azp: two audiences, another azp", claimsOf{"aud": []any{clientID, "api"}, "azp": "api"}, "invalid_token"},
		{"azp: two audiences, azp a list", claimsOf{"aud": []any{clientID, "api"}, "azp": []any{clientID}}, "invalid_token"},
		{"azp: one audience, another azp", claimsOf{"azp": "android"}, "ok"},

		{"exp: missing", claimsOf{"exp": absent}, "token_expired"},
		{"exp: null", claimsOf{"exp": nil}, "token_expired"},
		{"exp: last second within the leeway", claimsOf{"exp": now - 29}, "ok"},
		{"exp: leeway over", claimsOf{"exp": now - 30}, "token_expired"},
		{"exp: zero", claimsOf{"exp": 0}, "token_expired"},
		{"exp: -1", claimsOf{"exp": -1}, "token_expired"},
		{"exp: the year 1", claimsOf{"exp": -62135596800}, "token_expired"},
		{"exp: fraction", claimsOf{"exp": raw("1800000000.5")}, "ok"},
		{"exp: exponent", claimsOf{"exp": raw("1.9e9")}, "ok"},
		{"exp: text", claimsOf{"exp": "1900000000"}, "invalid_token"},
		{"exp: 1e308", claimsOf{"exp": raw("1e308")}, "invalid_token"},
		{"exp: 1e400", claimsOf{"exp": raw("1e400")}, "invalid_token"},
		{"exp: -1e400", claimsOf{"exp": raw("-1e400")}, "invalid_token"},
		{"exp: 20 digits", claimsOf{"exp": raw("99999999999999999999")}, "invalid_token"},
		{"exp: true", claimsOf{"exp": true}, "invalid_token"},
		{"exp: list", claimsOf{"exp": []any{now + 1}}, "invalid_token"},

		{"iat: missing", claimsOf{"iat": absent}, "ok"},
		{"iat: within the leeway", claimsOf{"iat": now + 30}, "ok"},
		{"iat: in the future", claimsOf{"iat": now + 31}, "invalid_token"},
		{"iat: text", claimsOf{"iat": "yesterday"}, "invalid_token"},
		{"iat: 1e400", claimsOf{"iat": raw("1e400")}, "invalid_token"},
		{"iat: long ago", claimsOf{"iat": 1}, "ok"},
		{"nbf: within the leeway", claimsOf{"nbf": now + 30}, "ok"},
		{"nbf: in the future", claimsOf{"nbf": now + 31}, "invalid_token"},
		{"nbf: object", claimsOf{"nbf": claimsOf{}}, "invalid_token"},

		{"iss: no trailing slash", claimsOf{"iss": "https://tenant.example"}, "ok"},
		{"iss: host in capitals", claimsOf{"iss": "HTTPS://TENANT.example//"}, "ok"},
		{"iss: another", claimsOf{"iss": "https://evil.example/"}, "issuer_validation_error"},
		{"iss: a bare domain", claimsOf{"iss": "tenant.example"}, "issuer_validation_error"},
		{"iss: a path more", claimsOf{"iss": issuer + "evil"}, "issuer_validation_error"},
		{"iss: http", claimsOf{"iss": "http://tenant.example/"}, "issuer_validation_error"},
		{"iss: missing", claimsOf{"iss": absent}, "issuer_validation_error"},
		{"iss: list", claimsOf{"iss": []any{issuer}}, "issuer_validation_error"},

		{"sub: missing", claimsOf{"sub": absent}, "invalid_token"},
		{"sub: empty", claimsOf{"sub": ""}, "invalid_token"},
		{"sub: number", claimsOf{"sub": 7}, "invalid_token"},

		{"org claims that nobody asked for", claimsOf{"org_id": 5, "org_name": "x"}, "ok"},
		{"nonce that nobody asked for", claimsOf{"nonce": "n"}, "ok"},
		{"nonce null", claimsOf{"nonce": nil}, "ok"},
		{"nonce a number", claimsOf{"nonce": 7}, "invalid_token"},
		{"at_hash a list", claimsOf{"at_hash": []any{"x"}}, "invalid_token"},
		{"azp: one audience, azp a list", claimsOf{"azp": []any{clientID}}, "invalid_token"},
		{"session_expiry of 1e400", claimsOf{"session_expiry": raw("1e400")}, "ok"},
		{"session_expiry of nonsense", claimsOf{"session_expiry": []any{"x"}}, "ok"},

		// Two faults: the first in the table of checks is the one that is told.
		{"aud before exp", claimsOf{"aud": "other", "exp": 1}, "invalid_audience"},
		{"exp before iat", claimsOf{"exp": 1, "iat": now + 100}, "token_expired"},
		{"iat before iss", claimsOf{"iat": now + 100, "iss": "x"}, "invalid_token"},
		{"iss before sub", claimsOf{"iss": "x", "sub": ""}, "issuer_validation_error"},
	}
	r := newRig(t)
	for _, tt := range tests {
		tok := sign(rs256(), idClaims(tt.claims), rsaKey())
		user, err := r.client.VerifyIDToken(t.Context(), issuer, tok, idp.Expect{})
		if got := verdict(err); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if (user != nil) != (err == nil) {
			t.Errorf("%s: claims %v with error %v", tt.name, user, err)
		}
	}
	r.wantCount(jwks, 1)
}

func TestVerifyIDToken_signature(t *testing.T) {
	good := sign(rs256(), idClaims(), rsaKey())
	parts := strings.Split(good, ".")
	hmac := func(alg string, secret []byte) string { return sign(rs256(claimsOf{"alg": alg}), idClaims(), secret) }
	evilJWK := rsaJWK("1", anotherKey())
	tests := []struct {
		name, token, want string
	}{
		{"good", good, "ok"},
		{"tampered", tampered(good), "invalid_signature"},
		{"another key under the same kid", sign(rs256(), idClaims(), anotherKey()), "invalid_signature"},
		{"another payload", parts[0] + "." + b64([]byte(`{"sub":"eve"}`)) + "." + parts[2], "invalid_signature"},
		{"no signature", parts[0] + "." + parts[1] + ".", "invalid_signature"},
		{"unknown kid", sign(rs256(claimsOf{"kid": "2"}), idClaims(), rsaKey()), "jwks_key_not_found"},
		{"kid like a path", sign(rs256(claimsOf{"kid": "../../../dev/null"}), idClaims(), rsaKey()), "jwks_key_not_found"},
		{"kid of 100 kB", sign(rs256(claimsOf{"kid": strings.Repeat("1", 100_000)}), idClaims(), rsaKey()), "jwks_key_not_found"},
		{"kid of 1 MiB", sign(rs256(claimsOf{"kid": strings.Repeat("1", 1<<20)}), idClaims(), rsaKey()), "invalid_token"},
		{"empty kid", sign(rs256(claimsOf{"kid": ""}), idClaims(), rsaKey()), "jwks_key_not_found"},
		{"kid a number", sign(rs256(claimsOf{"kid": 1}), idClaims(), rsaKey()), "invalid_token"},
		{"no kid, one key", sign(rs256(claimsOf{"kid": absent}), idClaims(), rsaKey()), "ok"},
		{"none", sign(rs256(claimsOf{"alg": "none"}), idClaims(), jwt.UnsafeAllowNoneSignatureType), "invalid_token"},
		{"None", sign(rs256(claimsOf{"alg": "None"}), idClaims(), nil), "invalid_token"},
		{"HS256 with the client secret", hmac("HS256", []byte(clientSecret)), "invalid_token"},
		{"HS256 with the public key", hmac("HS256", rsaKey().N.Bytes()), "invalid_token"},
		{"HS512", hmac("HS512", []byte(clientSecret)), "invalid_token"},
		{"RS512, not configured", sign(rs256(claimsOf{"alg": "RS512"}), idClaims(), rsaKey()), "invalid_token"},
		{"PS256, not configured", sign(rs256(claimsOf{"alg": "PS256"}), idClaims(), rsaKey()), "invalid_token"},
		{"alg in small letters", sign(rs256(claimsOf{"alg": "rs256"}), idClaims(), nil), "invalid_token"},
		{"alg missing", sign(rs256(claimsOf{"alg": absent}), idClaims(), nil), "invalid_token"},
		{"alg a number", sign(rs256(claimsOf{"alg": 256}), idClaims(), nil), "invalid_token"},
		{"crit", sign(rs256(claimsOf{"crit": []any{"b64"}, "b64": false}), idClaims(), rsaKey()), "invalid_token"},
		{"jwk, jku and x5u of its own", sign(rs256(claimsOf{
			"jwk": evilJWK, "jku": "https://evil.example/jwks", "x5u": "https://evil.example/x",
		}), idClaims(), anotherKey()), "invalid_signature"},
		{"logout token", sign(rs256(claimsOf{"typ": "logout+jwt"}), idClaims(), rsaKey()), "invalid_token"},
		{"access token", sign(rs256(claimsOf{"typ": "application/at+JWT"}), idClaims(), rsaKey()), "invalid_token"},
		{"a claim twice", signText(`{"alg":"RS256","kid":"1"}`, `{"sub":"a","sub":"b"}`, "RS256", rsaKey()), "invalid_token"},
		{"a claim twice, once escaped", signText(`{"alg":"RS256","kid":"1"}`, `{"sub":"a","s\u0075b":"b"}`, "RS256", rsaKey()), "invalid_token"},
		{"something after the claims", signText(`{"alg":"RS256","kid":"1"}`, `{"sub":"a"} {}`, "RS256", rsaKey()), "invalid_token"},
		{"claims null", signText(`{"alg":"RS256","kid":"1"}`, `null`, "RS256", rsaKey()), "invalid_token"},
		{"claims a list", signText(`{"alg":"RS256","kid":"1"}`, `[]`, "RS256", rsaKey()), "invalid_token"},
		{"header null", signText(`null`, `{}`, "RS256", rsaKey()), "invalid_token"},
		{"empty", "", "invalid_token"},
		{"no dots", "abc", "invalid_token"},
		{"two dots only", "..", "invalid_token"},
		{"encrypted", "a.b.c.d.e", "invalid_token"},
		{"500,000 dots", strings.Repeat(".", 500_000), "invalid_token"},
		{"a good token and dots", good + strings.Repeat(".", 100_000), "invalid_token"},
		{"10 MB", strings.Repeat("a", 10<<20) + ".b.c", "invalid_token"},
		{"padding", parts[0] + "=." + parts[1] + "." + parts[2], "invalid_token"},
		{"standard alphabet", "++//." + parts[1] + "." + parts[2], "invalid_token"},
		{"line break", parts[0] + "\n." + parts[1] + "." + parts[2], "invalid_signature"},
		{"deep nesting", signText(strings.Repeat("[", 50_000), "{}", "RS256", rsaKey()), "invalid_token"},
	}
	r := newRig(t)
	for _, tt := range tests {
		_, err := r.client.VerifyIDToken(t.Context(), issuer, tt.token, idp.Expect{})
		if got := verdict(err); got != tt.want {
			t.Errorf("%s: %s (%v), want %s", tt.name, got, err, tt.want)
		}
	}
	r.wantCount(metadata, 1)
	r.wantCount(jwks, 2) // and once more for all the unknown kids
	r.wantCount("/x", 0)
}

func TestVerifyIDToken_nonsenseAsksNothing(t *testing.T) {
	r := newRig(t)
	for _, tok := range []string{"", "a.b.c", sign(claimsOf{"alg": "none", "kid": "9"}, idClaims(), jwt.UnsafeAllowNoneSignatureType)} {
		if _, err := r.client.VerifyIDToken(t.Context(), issuer, tok, idp.Expect{}); err == nil {
			t.Errorf("%q was accepted", tok)
		}
	}
	r.wantCount(metadata, 0)
	r.wantCount(jwks, 0)
}

func TestVerifyIDToken_algorithms(t *testing.T) {
	jwkWithout := func(m map[string]any, names ...string) map[string]any {
		for _, n := range names {
			delete(m, n)
		}
		return m
	}
	r := newRig(t, func(cfg *idp.Config) {
		cfg.Algorithms = []string{"RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA"}
	})
	r.publish(
		jwkWithout(rsaJWK("rsa", rsaKey()), "alg"),
		rsaJWK("rs256", rsaKey()),
		ecJWK("ec", ecKey()),
		edJWK("ed", edKey()),
	)
	tests := []struct {
		alg, kid string
		key      any
		want     string
	}{
		{"RS256", "rsa", rsaKey(), "ok"},
		{"RS512", "rsa", rsaKey(), "ok"},
		{"PS256", "rsa", rsaKey(), "ok"},
		{"ES256", "ec", ecKey(), "ok"},
		{"EdDSA", "ed", edKey(), "ok"},
		{"RS512", "rs256", rsaKey(), "invalid_token"}, // the key says what it is for
		{"RS384", "rsa", rsaKey(), "invalid_token"},   // not configured
		{"RS256", "ec", rsaKey(), "invalid_token"},    // another kind of key
		{"ES256", "rsa", ecKey(), "invalid_token"},    //
		{"EdDSA", "ec", edKey(), "invalid_token"},     //
		{"RS256", "none", rsaKey(), "jwks_key_not_found"},
	}
	for _, tt := range tests {
		tok := sign(claimsOf{"alg": tt.alg, "kid": tt.kid}, idClaims(), tt.key)
		_, err := r.client.VerifyIDToken(t.Context(), issuer, tok, idp.Expect{})
		if got := verdict(err); got != tt.want {
			t.Errorf("%s with key %s: %s, want %s", tt.alg, tt.kid, got, tt.want)
		}
	}
	// An ES384 header over a P-256 key.
	method := jwt.SigningMethodES256
	signed := b64([]byte(`{"alg":"ES384","kid":"ec"}`)) + "." + b64(must(json.Marshal(idClaims())))
	tok := signed + "." + b64(must(method.Sign(signed, ecKey())))
	if _, err := r.client.VerifyIDToken(t.Context(), issuer, tok, idp.Expect{}); verdict(err) != "invalid_token" {
		t.Errorf("ES384 with a key on P-256: %v", err)
	}
}

func TestVerifyIDToken_expectations(t *testing.T) {
	tests := []struct {
		name   string
		claims claimsOf
		expect idp.Expect
		want   string
	}{
		{"nonce", claimsOf{"nonce": "n-1"}, idp.Expect{Nonce: "n-1"}, "ok"},
		{"another nonce", claimsOf{"nonce": "N-1"}, idp.Expect{Nonce: "n-1"}, "invalid_token"},
		{"no nonce", claimsOf{}, idp.Expect{Nonce: "n-1"}, "invalid_token"},
		{"nonce a list", claimsOf{"nonce": []any{"n-1"}}, idp.Expect{Nonce: "n-1"}, "invalid_token"},

		{"org id", claimsOf{"org_id": "org_1a"}, idp.Expect{Organization: "org_1a"}, "ok"},
		{"org id in other case", claimsOf{"org_id": "org_1A"}, idp.Expect{Organization: "org_1a"}, "organization_token_validation_error"},
		{"no org id", claimsOf{"org_name": "org_1a"}, idp.Expect{Organization: "org_1a"}, "organization_token_validation_error"},
		{"org id a number", claimsOf{"org_id": 1}, idp.Expect{Organization: "org_1"}, "organization_token_validation_error"},
		{"org name", claimsOf{"org_name": "acme"}, idp.Expect{Organization: "acme"}, "ok"},
		{"org name in other case", claimsOf{"org_name": "acme"}, idp.Expect{Organization: "ACME"}, "ok"},
		{"org name with an umlaut", claimsOf{"org_name": "müller"}, idp.Expect{Organization: "MÜLLER"}, "ok"},
		{"org name in pieces", claimsOf{"org_name": "cafe\u0301"}, idp.Expect{Organization: "CAF\u00c9"}, "ok"},
		{"org name in one piece", claimsOf{"org_name": "caf\u00e9"}, idp.Expect{Organization: "CAFE\u0301"}, "ok"},
		{"org name without its accent", claimsOf{"org_name": "cafe"}, idp.Expect{Organization: "caf\u00e9"}, "organization_token_validation_error"},
		{"org name in wide letters", claimsOf{"org_name": "\uff41cme"}, idp.Expect{Organization: "acme"}, "organization_token_validation_error"},
		{"org id in pieces", claimsOf{"org_id": "org_e\u0301"}, idp.Expect{Organization: "org_\u00e9"}, "organization_token_validation_error"},
		{"another org name", claimsOf{"org_name": "acme2"}, idp.Expect{Organization: "acme"}, "organization_token_validation_error"},
		{"no org name", claimsOf{"org_id": "acme"}, idp.Expect{Organization: "acme"}, "organization_token_validation_error"},
		{"org before sub", claimsOf{"sub": ""}, idp.Expect{Organization: "acme"}, "organization_token_validation_error"},
	}
	r := newRig(t)
	for _, tt := range tests {
		tok := sign(rs256(), idClaims(tt.claims), rsaKey())
		_, err := r.client.VerifyIDToken(t.Context(), issuer, tok, tt.expect)
		if got := verdict(err); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestVerifyIDToken_keepsClaimsVerbatim(t *testing.T) {
	r := newRig(t)
	tok := sign(rs256(), idClaims(claimsOf{
		"session_expiry": raw("1.90e9"), "big": raw("12345678901234567890"), "https://x/roles": []any{"a"},
	}), rsaKey())

	user, err := r.client.VerifyIDToken(t.Context(), issuer, tok, idp.Expect{})
	if err != nil {
		t.Fatal(err)
	}
	if user["session_expiry"] != json.Number("1.90e9") || user["big"] != json.Number("12345678901234567890") {
		t.Errorf("numbers = %#v, %#v, want them as they came", user["session_expiry"], user["big"])
	}
	if roles, _ := user["https://x/roles"].([]any); len(roles) != 1 || roles[0] != "a" {
		t.Errorf("roles = %v, want [a]", user["https://x/roles"])
	}
}

func TestVerifyIDToken_leewayIsTakenAsItIs(t *testing.T) {
	r := newRig(t, func(cfg *idp.Config) { cfg.Leeway = 0 })
	r.clock.Advance(900 * time.Millisecond) // the present counts in whole seconds
	for _, tt := range []struct {
		claims claimsOf
		want   string
	}{
		{claimsOf{"exp": t0.Unix()}, "token_expired"},
		{claimsOf{"exp": t0.Unix() + 1}, "ok"},
		{claimsOf{"iat": t0.Unix()}, "ok"},
		{claimsOf{"iat": t0.Unix() + 1}, "invalid_token"},
	} {
		_, err := r.client.VerifyIDToken(t.Context(), issuer, sign(rs256(), idClaims(tt.claims), rsaKey()), idp.Expect{})
		if got := verdict(err); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.claims, got, tt.want)
		}
	}
}
