package idp

import (
	"crypto"
	"encoding/base64"
	"errors"
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
}

// assertion returns an assertion for one request to the provider audience.
func (s *signer) assertion(audience string) (string, error) {
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
	return t.SignedString(s.key)
}

// use makes alg the algorithm, and tries whether the key can sign by it.
func (s *signer) use(alg string) error {
	if alg == "" {
		alg = "RS256"
	}
	if err := checkAlgorithms([]string{alg}); err != nil {
		return &session.ConfigurationError{Message: "SigningAlg: " + strconv.Quote(alg) + " cannot be used"}
	}
	s.alg = jwt.GetSigningMethod(alg)
	if err := s.try(); err != nil {
		return &session.ConfigurationError{Message: "SigningKey: it cannot sign by " + alg, Err: err}
	}
	return nil
}

// try reports why the key cannot sign by the algorithm, if it cannot.
func (s *signer) try() (err error) {
	defer func() {
		if recover() != nil { // a nil key of some type
			err = errors.New("the key cannot be used")
		}
	}()
	_, err = s.alg.Sign("", s.key)
	return err
}
