package idp_test

import (
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

func logoutClaims(changes ...map[string]any) map[string]any {
	c := map[string]any{
		"iss": issuer, "aud": clientID, "iat": t0.Unix(), "jti": "jti-1", "sid": "sid-1", "sub": "auth0|ada",
		"events": claimsOf{logoutEvent: claimsOf{}},
	}
	for _, change := range changes {
		c = with(c, change)
	}
	return c
}

func TestVerifyLogoutToken(t *testing.T) {
	const (
		refused = "backchannel_logout_error"
		issuerX = "backchannel_logout_error issuer_validation_error"
	)
	now := t0.Unix()
	tests := []struct {
		name   string
		claims claimsOf
		want   string
	}{
		{"good", claimsOf{}, "ok"},
		{"aud: list", claimsOf{"aud": []any{clientID}}, "ok"},
		{"aud: several", claimsOf{"aud": []any{"other", clientID}}, "ok"},
		{"aud: several others", claimsOf{"aud": []any{"other", "api"}, "azp": clientID}, refused},
		{"aud: another", claimsOf{"aud": "other"}, refused},
		{"aud: missing", claimsOf{"aud": absent}, refused},
		{"iss: host in capitals, no slash", claimsOf{"iss": "https://TENANT.example"}, "ok"},
		{"iss: another", claimsOf{"iss": "https://evil.example/"}, issuerX},
		{"iss: missing", claimsOf{"iss": absent}, issuerX},
		{"iss: empty", claimsOf{"iss": ""}, issuerX},
		{"iat: missing", claimsOf{"iat": absent}, refused},
		{"iat: null", claimsOf{"iat": nil}, refused},
		{"iat: text", claimsOf{"iat": "1800000000"}, refused},
		{"iat: 1e400", claimsOf{"iat": raw("1e400")}, refused},
		{"iat: within the leeway", claimsOf{"iat": now + 30}, "ok"},
		{"iat: in the future", claimsOf{"iat": now + 31}, refused},
		{"iat: long ago", claimsOf{"iat": now - 1_000_000, "exp": now + 120}, "ok"},
		{"iat: 10 minutes ago, no exp", claimsOf{"iat": now - 600, "exp": absent}, "ok"},
		{"iat: more than 10 minutes ago, no exp", claimsOf{"iat": now - 601, "exp": absent}, refused},
		{"iat: more than 10 minutes ago, exp null", claimsOf{"iat": now - 601, "exp": nil}, refused},
		{"nbf: in the future", claimsOf{"nbf": now + 31}, refused},
		{"exp: to come", claimsOf{"exp": now + 120}, "ok"},
		{"exp: within the leeway", claimsOf{"exp": now - 29}, "ok"},
		{"exp: over", claimsOf{"exp": now - 30}, refused},
		{"exp: text", claimsOf{"exp": "x"}, refused},
		{"exp: the year 1", claimsOf{"exp": -62135596800}, refused},
		{"events: missing", claimsOf{"events": absent}, refused},
		{"events: null", claimsOf{"events": nil}, refused},
		{"events: text", claimsOf{"events": logoutEvent}, refused},
		{"events: list", claimsOf{"events": []any{logoutEvent}}, refused},
		{"events: empty", claimsOf{"events": claimsOf{}}, refused},
		{"events: another event", claimsOf{"events": claimsOf{"x": claimsOf{}}}, refused},
		{"events: event null", claimsOf{"events": claimsOf{logoutEvent: nil}}, refused},
		{"events: event true", claimsOf{"events": claimsOf{logoutEvent: true}}, refused},
		{"events: event with members", claimsOf{"events": claimsOf{logoutEvent: claimsOf{"a": 1}, "x": 1}}, "ok"},
		{"nonce", claimsOf{"nonce": "n"}, refused},
		{"nonce: empty", claimsOf{"nonce": ""}, refused},
		{"nonce: null", claimsOf{"nonce": nil}, "ok"},
		{"sid only", claimsOf{"sub": absent}, "ok"},
		{"sub only", claimsOf{"sid": absent}, "ok"},
		{"neither", claimsOf{"sid": absent, "sub": nil}, refused},
		{"sid: empty", claimsOf{"sid": ""}, refused},
		{"sid: number", claimsOf{"sid": 5}, refused},
		{"sub: empty", claimsOf{"sub": ""}, refused},
		{"sub: list", claimsOf{"sub": []any{"a"}}, refused},
		{"no jti", claimsOf{"jti": absent}, "ok"},
	}
	r := newRig(t)
	for _, tt := range tests {
		got, err := r.client.VerifyLogoutToken(t.Context(), issuer, sign(rs256(), logoutClaims(tt.claims), rsaKey()))
		if v := verdict(err); v != tt.want {
			t.Errorf("%s: %s (%v), want %s", tt.name, v, err, tt.want)
		}
		if err != nil && got != (idp.LogoutToken{}) {
			t.Errorf("%s: %+v with error %v", tt.name, got, err)
		}
	}
}

func TestVerifyLogoutToken_says(t *testing.T) {
	r := newRig(t)
	tok := sign(rs256(claimsOf{"typ": "logout+jwt"}), logoutClaims(claimsOf{"iat": raw("1800000000.9")}), rsaKey())
	got, err := r.client.VerifyLogoutToken(t.Context(), issuer, tok)
	want := idp.LogoutToken{Issuer: issuer, SID: "sid-1", Subject: "auth0|ada", JTI: "jti-1", IssuedAt: t0.Unix()}
	if got != want || err != nil {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// A token without jti is known by its signed part: an ECDSA signature has two forms.
func TestVerifyLogoutToken_sameTokenInAnotherForm(t *testing.T) {
	r := newRig(t, func(c *idp.Config) { c.Algorithms = []string{"ES256"} })
	r.publish(ecJWK("1", ecKey()))
	tok := sign(claimsOf{"alg": "ES256", "kid": "1"}, logoutClaims(claimsOf{"jti": absent}), ecKey())
	at := strings.LastIndexByte(tok, '.') + 1
	signature := must(base64.RawURLEncoding.DecodeString(tok[at:]))
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	one, err := r.client.VerifyLogoutToken(t.Context(), issuer, tok)
	if err != nil {
		t.Fatal(err)
	}
	two, err := r.client.VerifyLogoutToken(t.Context(), issuer, tok[:at]+base64.RawURLEncoding.EncodeToString(signature))
	if err != nil || two.JTI != one.JTI || one.JTI == "" {
		t.Errorf("one token has two names: %s, %s (%v)", one.JTI, two.JTI, err)
	}
}

func TestVerifyLogoutToken_signature(t *testing.T) {
	good := sign(rs256(), logoutClaims(), rsaKey())
	tests := []struct {
		name, token string
		code        session.Code
	}{
		{"empty", "", session.CodeInvalidToken},
		{"nonsense", "a.b.c", session.CodeInvalidToken},
		{"500,000 dots", strings.Repeat(".", 500_000), session.CodeInvalidToken},
		{"huge", strings.Repeat("a", 10<<20) + ".b.c", session.CodeInvalidToken},
		{"tampered", tampered(good), session.CodeInvalidSignature},
		{"another key", sign(rs256(), logoutClaims(), anotherKey()), session.CodeInvalidSignature},
		{"unknown kid", sign(rs256(claimsOf{"kid": "2"}), logoutClaims(), rsaKey()), session.CodeJWKSKeyNotFound},
		{"none", sign(rs256(claimsOf{"alg": "none"}), logoutClaims(), jwt.UnsafeAllowNoneSignatureType), session.CodeInvalidToken},
		{"HS256", sign(rs256(claimsOf{"alg": "HS256"}), logoutClaims(), []byte(clientSecret)), session.CodeInvalidToken},
		{"crit", sign(rs256(claimsOf{"crit": []any{"x"}}), logoutClaims(), rsaKey()), session.CodeInvalidToken},
		{"access token", sign(rs256(claimsOf{"typ": "at+jwt"}), logoutClaims(), rsaKey()), session.CodeInvalidToken},
		{"typ of something else", sign(rs256(claimsOf{"typ": "secevent+jwt"}), logoutClaims(), rsaKey()), session.CodeInvalidToken},
		{"typ a list", sign(rs256(claimsOf{"typ": []any{"JWT"}}), logoutClaims(), rsaKey()), session.CodeInvalidToken},
		{"ID token", sign(rs256(), idClaims(), rsaKey()), session.CodeInvalidToken},
		{"a claim twice", signText(`{"alg":"RS256","kid":"1"}`, `{"iss":"https://tenant.example/","sid":"a","sid":"b"}`, "RS256", rsaKey()), session.CodeInvalidToken},
	}
	r := newRig(t)
	for _, tt := range tests {
		_, err := r.client.VerifyLogoutToken(t.Context(), issuer, tt.token)
		if verdict(err) != "backchannel_logout_error" || !errors.Is(err, &session.APIError{Code: tt.code}) {
			t.Errorf("%s: %v, want backchannel_logout_error by %s", tt.name, err, tt.code)
		}
	}
}

func TestVerifyLogoutToken_types(t *testing.T) {
	r := newRig(t)
	for _, typ := range []any{"logout+jwt", "LOGOUT+JWT", "application/logout+jwt", "JWT", "jwt", "", nil, absent} {
		tok := sign(rs256(claimsOf{"typ": typ}), logoutClaims(), rsaKey())
		if _, err := r.client.VerifyLogoutToken(t.Context(), issuer, tok); err != nil {
			t.Errorf("typ %v: %v", typ, err)
		}
	}
}

func TestVerifyLogoutToken_anotherIssuerAsksNothing(t *testing.T) {
	r := newRig(t)
	tok := sign(rs256(), logoutClaims(claimsOf{"iss": "https://evil.example/"}), rsaKey())
	if _, err := r.client.VerifyLogoutToken(t.Context(), issuer, tok); err == nil {
		t.Error("accepted")
	}
	r.wantCount(metadata, 0)
	r.wantCount(jwks, 0)
}

func TestVerifyLogoutToken_isNotAnIDToken(t *testing.T) {
	// An ID token with all that a logout token needs, and the reverse.
	r := newRig(t)
	tok := sign(rs256(), idClaims(claimsOf{"events": claimsOf{logoutEvent: claimsOf{}}, "nonce": "n"}), rsaKey())
	if _, err := r.client.VerifyLogoutToken(t.Context(), issuer, tok); verdict(err) != "backchannel_logout_error" {
		t.Errorf("ID token as logout token: %v", err)
	}
	tok = sign(rs256(), logoutClaims(claimsOf{"exp": t0.Add(time.Minute).Unix()}), rsaKey())
	if _, err := r.client.VerifyIDToken(t.Context(), issuer, tok, idp.Expect{}); verdict(err) != "invalid_token" {
		t.Errorf("logout token as ID token: %v", err)
	}
}
