package idp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/session"
)

const (
	maxKID     = 1024 // bytes; a longer kid names no key
	maxTried   = 8    // keys for one token: its sender may be anyone
	minRSABits = 2048 // RFC 7518 section 3.3
	maxRSABits = 16384
)

// keySet is a provider's public keys (RFC 7517 section 5). It is not changed.
type keySet struct{ keys []jwk }

// jwk is one key that can verify signatures.
type jwk struct {
	kid string
	alg string // the one algorithm it is for; empty when it does not say
	key any    // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// find returns the keys for a header, and whether the token's key may be among them. These are
// the keys of its kid, else those without one, for kid is optional (RFC 7517 section 4.5). A
// token without a kid may be of a key that has one where that is the only key that fits.
func (s *keySet) find(h header) (fit []any, known bool) {
	named, unnamed, others := s.fitting(h)
	switch {
	case named.known:
		return named.fit, true
	case len(unnamed.fit) > 0:
		return unnamed.fit, true
	case !h.hasKID && len(others.fit) == 1:
		return others.fit, true
	}
	return nil, false
}

// candidates are the keys of a set that fit a header.
type candidates struct {
	fit   []any
	known bool // there are keys, whether they fit or not
}

// fitting divides the keys by their kid: that of the header, none, another.
func (s *keySet) fitting(h header) (named, unnamed, others candidates) {
	for _, k := range s.keys {
		to := &others
		switch {
		case h.hasKID && k.kid == h.kid:
			to = &named
		case k.kid == "":
			to = &unnamed
		}
		to.known = true
		if k.fits(h.alg) {
			to.fit = append(to.fit, k.key)
		}
	}
	return named, unnamed, others
}

// errOtherAlgorithm says that the key a token names is for another algorithm.
var errOtherAlgorithm = errors.New("its algorithm is not the key's")

// choose returns the keys that may verify a token with this header.
func (s *keySet) choose(h header) (any, error) {
	fit, known := s.find(h)
	switch {
	case !known:
		return nil, errKeyNotFound()
	case len(fit) == 0:
		return nil, &session.APIError{Code: session.CodeInvalidToken, Description: "the token cannot be used", Err: errOtherAlgorithm}
	}
	var all jwt.VerificationKeySet
	for _, k := range fit[:min(len(fit), maxTried)] {
		all.Keys = append(all.Keys, k)
	}
	return all, nil
}

// fits reports whether k may verify signatures of alg (RFC 7518 section 3.1). An
// elliptic curve key is good for one algorithm only.
func (k jwk) fits(alg string) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		return alg == curveAlgorithms[key.Curve.Params().Name]
	case ed25519.PublicKey:
		return alg == "EdDSA" || alg == "Ed25519"
	}
	return false
}

var curveAlgorithms = map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}

// parseKeySet reads a JWK Set. Keys that cannot verify signatures are passed over,
// as RFC 7517 section 5 asks.
func parseKeySet(body []byte) (*keySet, error) {
	doc, err := object(body)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(doc["keys"], &list); err != nil || list == nil {
		return nil, errors.New("not a JWK Set")
	}
	set := &keySet{}
	for _, raw := range list {
		if k, ok := parseKey(raw); ok {
			set.keys = append(set.keys, k)
		}
	}
	return set, nil
}

// parseKey reads one key. It refuses private and symmetric keys, keys that are for
// something else than signatures, and weak ones.
func parseKey(raw json.RawMessage) (jwk, bool) {
	m, err := object(raw)
	if err != nil || m["d"] != nil || m["k"] != nil {
		return jwk{}, false
	}
	if !absent(m["use"]) {
		if use, _ := text(m["use"]); use != "sig" {
			return jwk{}, false
		}
	}
	if !absent(m["key_ops"]) {
		var ops []string
		if json.Unmarshal(m["key_ops"], &ops) != nil || !slices.Contains(ops, "verify") {
			return jwk{}, false
		}
	}
	var k jwk
	if !optionalText(m["kid"], &k.kid) || !optionalText(m["alg"], &k.alg) || len(k.kid) > maxKID {
		return jwk{}, false
	}
	switch kty, _ := text(m["kty"]); kty {
	case "RSA":
		k.key = rsaKey(m)
	case "EC":
		k.key = ecKey(m)
	case "OKP":
		k.key = ed25519Key(m)
	}
	return k, k.key != nil
}

// absent reports whether a member is missing or null.
func absent(value json.RawMessage) bool { return value == nil || string(value) == "null" }

// optionalText sets s, and reports whether value is a string or absent.
func optionalText(value json.RawMessage, s *string) (ok bool) {
	if absent(value) {
		return true
	}
	*s, ok = text(value)
	return ok
}

func rsaKey(m map[string]json.RawMessage) any {
	n, e := octets(m["n"]), octets(m["e"])
	if len(n) > maxRSABits/8+1 || len(e) == 0 || len(e) > 4 {
		return nil
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e).Int64()
	if modulus.BitLen() < minRSABits || modulus.BitLen() > maxRSABits || modulus.Bit(0) == 0 ||
		exponent < 3 || exponent&1 == 0 || exponent > 1<<31-1 {
		return nil
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent)}
}

func ecKey(m map[string]json.RawMessage) any {
	name, _ := text(m["crv"])
	curve, ok := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[name]
	if !ok {
		return nil
	}
	size := (curve.Params().BitSize + 7) / 8
	x, y := coordinate(m["x"], size), coordinate(m["y"], size)
	if x == nil || y == nil {
		return nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil { // not on the curve
		return nil
	}
	return key
}

// coordinate decodes a coordinate of size octets, nil where it is none. RFC 7518 section 6.2.1.2
// wants its leading zero octets; some providers leave them out, or add one.
func coordinate(value json.RawMessage, size int) []byte {
	digits := bytes.TrimLeft(octets(value), "\x00")
	if len(digits) == 0 || len(digits) > size {
		return nil
	}
	return append(make([]byte, size-len(digits)), digits...)
}

func ed25519Key(m map[string]json.RawMessage) any {
	x := octets(m["x"])
	if crv, _ := text(m["crv"]); crv != "Ed25519" || len(x) != ed25519.PublicKeySize {
		return nil
	}
	return ed25519.PublicKey(x)
}

// octets decodes a base64url value, nil where it is none.
func octets(value json.RawMessage) []byte {
	s, _ := text(value)
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return nil
	}
	return b
}
