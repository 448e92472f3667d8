package idp

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RFC 7515 section 4.1.7
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionLife = 60 // seconds
)

// signer makes client assertions (RFC 7523 section 3).
type signer struct {
	clientID string
	alg      jwt.SigningMethod
	key      crypto.PrivateKey
	keyID    string // kid; empty when there is none
	clock    clock.Clock
	rand     io.Reader

	toTokenEndpoint bool              // aud is the token endpoint, not the issuer
	certificate     *x509.Certificate // of key; nil when the header names none
}

// assertion returns an assertion for one request to a provider. RFC 7523 section 3 lets aud
// be either the issuer or the token endpoint.
func (s *signer) assertion(m *Metadata) (string, error) {
	audience := m.Issuer
	if s.toTokenEndpoint || m.tenants != nil { // a template is no audience
		audience = m.TokenEndpoint
	}
	jti := make([]byte, 16)
	if _, err := io.ReadFull(s.rand, jti); err != nil {
		return "", errors.New("no randomness for the client assertion")
	}
	now := s.clock.Now().Unix()
	t := jwt.NewWithClaims(s.alg, jwt.MapClaims{
		"iss": s.clientID, "sub": s.clientID, "aud": audience,
		"iat": now, "nbf": now, "exp": now + assertionLife,
		"jti": base64.RawURLEncoding.EncodeToString(jti),
	})
	if s.keyID != "" {
		t.Header["kid"] = s.keyID
	}
	if s.certificate != nil { // RFC 7515 sections 4.1.7 and 4.1.8
		sum1, sum256 := sha1.Sum(s.certificate.Raw), sha256.Sum256(s.certificate.Raw) //nolint:gosec // x5t is SHA-1 by definition
		t.Header["x5t"] = base64.RawURLEncoding.EncodeToString(sum1[:])
		t.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(sum256[:])
	}
	return t.SignedString(s.key)
}

// use makes alg the algorithm, or that of the key where it is empty, and checks that it is one
// of the key's.
func (s *signer) use(alg string) error {
	if alg == "" {
		if alg = defaultAlgorithm(s.key); alg == "" {
			return &session.ConfigurationError{Message: fmt.Sprintf("SigningKey: no algorithm is known for a %T", s.key)}
		}
	}
	if err := checkAlgorithms([]string{alg}); err != nil {
		return &session.ConfigurationError{Message: "SigningAlg: " + strconv.Quote(alg) + " cannot be used"}
	}
	s.alg = jwt.GetSigningMethod(alg)
	return s.usable(s.check)
}

// try signs something by the key.
func (s *signer) try() error { return s.usable(s.sign) }

// usable returns what test finds wrong with the key, as a *session.ConfigurationError.
func (s *signer) usable(test func() error) (err error) {
	defer func() {
		if recover() != nil { // a nil key of some type
			err = errors.New("the key cannot be used")
		}
		if err != nil {
			err = &session.ConfigurationError{Message: "SigningKey: it cannot sign by " + s.alg.Alg(), Err: err}
		}
	}()
	return test()
}

// check returns an error for a key that cannot be used. It does not sign.
func (s *signer) check() error {
	if key, ok := s.key.(*rsa.PrivateKey); ok && key.N.BitLen() < minRSABits {
		return fmt.Errorf("an RSA key must have at least %d bits", minRSABits)
	}
	key, ok := s.key.(crypto.Signer)
	switch {
	case !ok:
		return errors.New("the key is not a private key")
	case !jwk{key: key.Public()}.fits(s.alg.Alg()):
		return fmt.Errorf("a %T has no such signatures", s.key)
	case s.certificate == nil:
		return nil
	}
	if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(s.certificate.PublicKey) {
		return errors.New("SigningCertificate is of another key")
	}
	return nil
}

// sign signs something, and reports why that cannot be done or be verified.
func (s *signer) sign() error {
	signature, err := s.alg.Sign("", s.key)
	if err != nil {
		return err
	}
	if key, ok := s.key.(crypto.Signer); !ok || s.alg.Verify("", signature, key.Public()) != nil {
		return errors.New("its public half does not verify what its private half signs")
	}
	return nil
}
