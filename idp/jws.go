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

// knownAlgorithms can be accepted (RFC 7518 section 3.1, RFC 8037 section 3.1, RFC 9864 section
// 2.2). A symmetric algorithm would turn the provider's public key into a secret.
var knownAlgorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
}

// ed25519Method is EdDSA over Ed25519 by the name that RFC 9864 gives it.
type ed25519Method struct{ *jwt.SigningMethodEd25519 }

// Alg implements jwt.SigningMethod.
func (ed25519Method) Alg() string { return "Ed25519" }

func init() {
	jwt.RegisterSigningMethod("Ed25519", func() jwt.SigningMethod { return ed25519Method{jwt.SigningMethodEdDSA} })
}

func checkAlgorithms(algorithms []string) error {
	for _, alg := range algorithms {
		if !slices.Contains(knownAlgorithms, alg) {
			return &session.ConfigurationError{Message: fmt.Sprintf("Algorithms: %q cannot be used", alg)}
		}
	}
	return nil
}

// header holds the members of a token's header that are used. The others, such as those
// that say where to find a key (jku, jwk, x5u), are ignored.
type header struct {
	alg    string
	kid    string
	hasKID bool
	typ    string
}

// SigningAlgorithms returns the signature algorithms that are accepted of a provider: what the
// host says, else with ReadMetadata the asymmetric ones that the provider lists, else RS256,
// which every provider has (OpenID Connect Discovery section 3).
func (c *Client) SigningAlgorithms(m *Metadata) []string {
	switch {
	case len(c.algorithms) > 0:
		return c.algorithms
	case c.readMetadata && m != nil && len(m.algorithms) > 0:
		return m.algorithms
	}
	return []string{"RS256"}
}

// acceptedAlgorithms returns SigningAlgorithms of an issuer.
func (c *Client) acceptedAlgorithms(ctx context.Context, issuer string) ([]string, error) {
	if len(c.algorithms) > 0 || !c.readMetadata {
		return c.SigningAlgorithms(nil), nil
	}
	m, err := c.metadata(ctx, issuer, strangers)
	if err != nil {
		return nil, err
	}
	return c.SigningAlgorithms(m), nil
}

// readHeader reads the header of a compact JWS. It refuses algorithms that are never
// accepted before anything is looked for, so that no nonsense causes a request.
func readHeader(raw string) (header, error) {
	first, _, _ := strings.Cut(raw, ".")
	b, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil {
		return header{}, errNotJWT()
	}
	m := make(map[string]json.RawMessage)
	err = members(b, func(name string, value json.RawMessage) error {
		if _, ok := m[name]; ok {
			return errDuplicateMember // RFC 7515 section 4
		}
		m[name] = value
		return nil
	})
	switch {
	case errors.Is(err, errDuplicateMember):
		return header{}, invalidToken("its header says something twice")
	case err != nil:
		return header{}, errNotJWT()
	}
	var h header
	h.alg, _ = text(m["alg"])
	switch {
	case strings.EqualFold(h.alg, "none"):
		return header{}, invalidToken("it is unsigned, by its own account")
	case strings.HasPrefix(strings.ToUpper(h.alg), "HS"):
		return header{}, invalidToken("its algorithm is symmetric (" + h.alg + "), so that everyone who can check it could have made it; " +
			"choose an asymmetric signing key for this application at the provider, such as RS256")
	case !slices.Contains(knownAlgorithms, h.alg):
		return header{}, invalidToken("its algorithm is not accepted")
	}
	if _, ok := m["crit"]; ok {
		return header{}, invalidToken("it has critical headers") // RFC 7515 section 4.1.11: none is understood here
	}
	if !optionalText(m["typ"], &h.typ) {
		return header{}, invalidToken("its typ is not a string")
	}
	if !optionalText(m["kid"], &h.kid) {
		return header{}, invalidToken("its kid is not a string")
	}
	h.hasKID = !absent(m["kid"])
	if len(h.kid) > maxKID {
		return header{}, errKeyNotFound()
	}
	return h, nil
}

// verify checks the signature of a token, and nothing else. Where the keys at hand
// do not fit, newer ones are tried, if they may be fetched (see keys).
func (c *Client) verify(ctx context.Context, issuer, raw string, from source) (header, claims, error) {
	if len(raw) > maxToken {
		return header{}, nil, invalidToken("it is too long")
	}
	h, err := readHeader(raw)
	if err != nil {
		return header{}, nil, err
	}
	algorithms, err := c.acceptedAlgorithms(ctx, issuer)
	switch {
	case err != nil:
		return header{}, nil, err
	case !slices.Contains(algorithms, h.alg):
		return header{}, nil, invalidToken("its algorithm " + h.alg + " is not accepted, only " + strings.Join(algorithms, ", "))
	}
	if strings.HasSuffix(raw, ".") && strings.Count(raw, ".") == 2 {
		return header{}, nil, invalidSignature("the token has no signature")
	}
	var keys *keySet
	choose := func() (_ any, err error) {
		if keys == nil {
			if keys, err = c.keys(ctx, issuer, nil, from, strangers); err != nil {
				return nil, err
			}
		}
		return keys.choose(h)
	}
	set, err := parse(raw, h.alg, choose)
	if !mayBeOfNewerKey(err) {
		return h, set, err
	}
	newer, fetchErr := c.keys(ctx, issuer, keys, from, strangers)
	switch {
	case fetchErr != nil && (ctx.Err() != nil || errors.Is(err, errKeyNotFound())):
		return header{}, nil, fetchErr
	case fetchErr != nil:
		return header{}, nil, err
	case newer == keys:
		return header{}, nil, untilAsked(err, from)
	}
	keys = newer
	set, err = parse(raw, h.alg, choose)
	return h, set, keys.judged(err, from)
}

// judged returns err, the failure of a token by the keys that were fetched for it. A provider that has no keys now may have them later.
func (s *keySet) judged(err error, from source) error {
	if len(s.keys) == 0 {
		return untilAsked(err, from)
	}
	return err
}

// untilAsked returns err, the failure of a token for whose key the provider may not be asked yet. Where strangers have brought the token, it
// says when to come again: they may be the reason.
func untilAsked(err error, from source) error {
	if from != fromStrangers || !errors.Is(err, errKeyNotFound()) {
		return err
	}
	return &session.APIError{
		Code: session.CodeJWKSKeyNotFound, Description: "there is no key for this token in those that were fetched last", RetryAfter: keyCooldown,
	}
}

// parse reads a token signed by alg and verifies it with the keys that choose returns, which it
// calls when the rest of the token can be read. What goes wrong is an APIError.
func parse(raw, alg string, choose func() (any, error)) (claims, error) {
	var (
		set  claimSet
		keys any
	)
	parser := jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(raw, &set, func(*jwt.Token) (_ any, err error) {
		keys, err = choose()
		return keys, err
	})
	var api *session.APIError
	switch {
	case err == nil:
		return set.claims, nil
	case errors.As(err, &api):
		return nil, api
	case errors.Is(err, jwt.ErrTokenSignatureInvalid) && keys != nil:
		return nil, invalidSignature("the token was not signed by the provider")
	case errors.Is(err, errDuplicateMember):
		return nil, errDuplicateClaim()
	}
	return nil, errNotJWT() // err may quote it
}

// mayBeOfNewerKey reports whether a token was refused for want of its key: its kid is
// unknown, or the key that was found is not the one that signed it, as happens when
// a provider replaces a key under the same kid or has tokens without any.
func mayBeOfNewerKey(err error) bool {
	return errors.Is(err, errKeyNotFound()) || errors.Is(err, errOtherAlgorithm) ||
		errors.Is(err, &session.APIError{Code: session.CodeInvalidSignature})
}

func errNotJWT() error         { return invalidToken("it is not a signed JWT") }
func errDuplicateClaim() error { return invalidToken("it has a claim twice") }

func invalidSignature(why string) error {
	return &session.APIError{Code: session.CodeInvalidSignature, Description: why}
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

var errDuplicateMember = errors.New("a name occurs twice")

// UnmarshalJSON implements json.Unmarshaler.
func (s *claimSet) UnmarshalJSON(b []byte) error {
	s.claims = make(claims)
	return members(b, func(name string, value json.RawMessage) error {
		if _, ok := s.claims[name]; ok {
			return errDuplicateMember
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
// 3.1.3.7, step 3).
func (c claims) checkAudience(clientID string) error {
	aud, err := c.audiences()
	if err == nil && !slices.Contains(aud, clientID) {
		err = &session.APIError{Code: session.CodeInvalidAudience, Description: "the token is for another client"}
	}
	return err
}

// audiences returns aud, which must be there.
func (c claims) audiences() ([]string, error) {
	if c["aud"] == nil {
		return nil, invalidToken("it has no aud")
	}
	aud, ok := texts(c["aud"])
	if !ok {
		return nil, invalidToken("its aud is neither a string nor a list of strings")
	}
	return aud, nil
}

// checkParty checks that a token for several was issued to clientID (OpenID Connect Core
// section 3.1.3.7, step 4). A logout token has no azp (Back-Channel Logout section 2.4).
func (c claims) checkParty(clientID string) error {
	aud, _ := texts(c["aud"])
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

// checkIssuer returns a *session.IssuerValidationError unless iss is issuer. Google's tokens may
// leave https:// out (OpenID Connect Core section 15.6.2).
func (c claims) checkIssuer(issuer string) error {
	iss, _ := c["iss"].(string)
	if iss == "accounts.google.com" {
		iss = "https://" + iss
	}
	if !saysIssuer(iss, issuer) {
		return &session.IssuerValidationError{Message: "the token is from another issuer"}
	}
	return nil
}

// now returns the present in whole seconds, as tokens count.
func (c *Client) now() time.Time { return time.Unix(c.clock.Now().Unix(), 0) }

// peek returns the claims of a compact JWS without verifying it. It fails with an
// APIError of the code invalid_token.
func peek(raw string) (claims, error) {
	if len(raw) > maxToken {
		return nil, invalidToken("it is too long")
	}
	_, rest, _ := strings.Cut(raw, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(signature, ".") {
		return nil, errNotJWT()
	}
	b, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return nil, errNotJWT()
	}
	var set claimSet
	switch err := set.UnmarshalJSON(b); {
	case errors.Is(err, errDuplicateMember):
		return nil, errDuplicateClaim()
	case err != nil:
		return nil, errNotJWT()
	}
	return set.claims, nil
}
