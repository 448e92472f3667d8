package idp

import (
	"context"
	_ "crypto/sha256" // the hashes of the algorithms below
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/session"
)

// maxToken is the longest token that is looked into, in bytes.
const maxToken = 256 << 10

// knownAlgorithms can be configured (RFC 7518 section 3.1, RFC 8037 section 3.1).
// A symmetric algorithm would turn the provider's public key into a secret.
var knownAlgorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

func checkAlgorithms(algorithms []string) error {
	for _, alg := range algorithms {
		if !slices.Contains(knownAlgorithms, alg) {
			return &session.ConfigurationError{Message: fmt.Sprintf("Algorithms: %q cannot be used", alg)}
		}
	}
	return nil
}

// header is what is believed of a token's header. Whatever else it says, such as
// where to find a key (jku, jwk, x5u), is not looked at.
type header struct {
	alg    string
	kid    string
	hasKID bool
	typ    string
}

func readHeader(h map[string]any) (header, error) {
	var is header
	is.alg, _ = h["alg"].(string)
	is.typ, _ = h["typ"].(string)
	if _, ok := h["crit"]; ok {
		return header{}, invalidToken("it has critical headers") // RFC 7515 section 4.1.11: none is understood here
	}
	if v := h["kid"]; v != nil {
		if is.kid, is.hasKID = v.(string); !is.hasKID {
			return header{}, invalidToken("its kid is not a string")
		}
	}
	return is, nil
}

// verify checks the signature of a token, and nothing else. The algorithm is
// checked before a key is looked for, so that no nonsense causes a request.
func (c *Client) verify(ctx context.Context, issuer, raw string) (header, claims, error) {
	if len(raw) > maxToken {
		return header{}, nil, invalidToken("it is too long")
	}
	var (
		h    header
		set  claimSet
		keys []any
	)
	parser := jwt.NewParser(jwt.WithValidMethods(c.algorithms), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(raw, &set, func(t *jwt.Token) (_ any, err error) {
		if h, err = readHeader(t.Header); err != nil {
			return nil, err
		}
		if keys, err = c.verificationKeys(ctx, issuer, h); err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			return nil, invalidToken("its algorithm is not the key's")
		}
		var all jwt.VerificationKeySet
		for _, k := range keys {
			all.Keys = append(all.Keys, k)
		}
		return all, nil
	})
	var api *session.APIError
	switch {
	case err == nil:
		return h, set.claims, nil
	case errors.As(err, &api):
		return header{}, nil, api
	case errors.Is(err, jwt.ErrTokenSignatureInvalid) && len(keys) > 0:
		return header{}, nil, &session.APIError{Code: session.CodeInvalidSignature, Description: "the token was not signed by the provider"}
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return header{}, nil, invalidToken("its algorithm is not accepted")
	}
	return header{}, nil, invalidToken("it is not a signed JWT") // err may quote it
}

func invalidToken(why string) error {
	return &session.APIError{Code: session.CodeInvalidToken, Description: "the token cannot be used: " + why}
}

// claims are the claims of a token, numbers as json.Number.
type claims map[string]any

// claimSet lets golang-jwt decode claims. Numbers stay text, for one that no
// float can hold must not fail the others. Names that occur twice are refused
// (RFC 7519 section 4): no two readers agree on what such a token says.
type claimSet struct {
	jwt.MapClaims // satisfies jwt.Claims; not used
	claims        claims
}

var errDuplicateClaim = errors.New("a claim occurs twice")

// UnmarshalJSON implements json.Unmarshaler.
func (s *claimSet) UnmarshalJSON(b []byte) error {
	s.claims = make(claims)
	return members(b, func(name string, value json.RawMessage) error {
		if _, ok := s.claims[name]; ok {
			return errDuplicateClaim
		}
		v, err := decode(value)
		s.claims[name] = v
		return err
	})
}

// text returns a claim that is a non-empty string.
func (c claims) text(name string) (string, bool) {
	s, _ := c[name].(string)
	return s, s != ""
}

// maxDate is the end of the year 9999, in seconds since the Unix epoch.
const maxDate = 253402300799

// date returns a NumericDate (RFC 7519 section 2). It is not ok when it is not a
// number, or beyond the year 9999.
func (c claims) date(name string) (t time.Time, ok bool) {
	n, ok := c[name].(json.Number)
	if !ok {
		return time.Time{}, false
	}
	f, err := n.Float64()
	if err != nil || math.Abs(f) > maxDate {
		return time.Time{}, false
	}
	whole := math.Floor(f)
	return time.Unix(int64(whole), int64((f-whole)*1e9)), true
}

// checkAudience checks that the token is for clientID (OpenID Connect Core section
// 3.1.3.7, steps 3 and 4).
func (c claims) checkAudience(clientID string) error {
	if c["aud"] == nil {
		return invalidToken("it has no aud")
	}
	aud, ok := texts(c["aud"])
	switch {
	case !ok:
		return invalidToken("its aud is neither a string nor a list of strings")
	case !slices.Contains(aud, clientID):
		return &session.APIError{Code: session.CodeInvalidAudience, Description: "the token is for another client"}
	}
	if azp, _ := c.text("azp"); len(aud) > 1 && azp != clientID {
		return invalidToken("it has several audiences, and azp is not this client")
	}
	return nil
}

// checkExpiry checks exp, which must be there. A token is expired at the very
// instant (RFC 7519 section 4.1.4).
func (c claims) checkExpiry(now time.Time, leeway time.Duration) error {
	if c["exp"] == nil {
		return &session.APIError{Code: session.CodeTokenExpired, Description: "the token has no exp"}
	}
	exp, ok := c.date("exp")
	switch {
	case !ok:
		return invalidToken("its exp is not a date")
	case !now.Before(exp.Add(leeway)):
		return &session.APIError{Code: session.CodeTokenExpired, Description: "the token has expired"}
	}
	return nil
}

// checkPast checks that a date, where there is one, is not in the future.
func (c claims) checkPast(name string, now time.Time, leeway time.Duration) error {
	if c[name] == nil {
		return nil
	}
	t, ok := c.date(name)
	switch {
	case !ok:
		return invalidToken("its " + name + " is not a date")
	case t.After(now.Add(leeway)):
		return invalidToken("its " + name + " is in the future; do the clocks agree?")
	}
	return nil
}

// checkIssuer returns a *session.IssuerValidationError unless iss is issuer.
func (c claims) checkIssuer(issuer string) error {
	if iss, _ := c["iss"].(string); !session.SameIssuer(iss, issuer) {
		return &session.IssuerValidationError{Message: "the token is from another issuer"}
	}
	return nil
}

// now returns the present in whole seconds, as tokens count.
func (c *Client) now() time.Time { return time.Unix(c.clock.Now().Unix(), 0) }

// peek returns the claims of a compact JWS without verifying it, nil when it
// cannot be read.
func peek(raw string) claims {
	if len(raw) > maxToken {
		return nil
	}
	_, rest, _ := strings.Cut(raw, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(signature, ".") {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return nil
	}
	var set claimSet
	if set.UnmarshalJSON(b) != nil {
		return nil
	}
	return set.claims
}
