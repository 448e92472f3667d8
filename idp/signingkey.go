package idp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strconv"
	"strings"

	"github.com/tokenward/tokenward/session"
)

// ParseSigningKey reads a private key from PEM text, for tokenward's Credentials.SigningKey and Config.SigningKey of this package: PKCS #1,
// PKCS #8 or SEC 1, with one private key in it and whatever else. Encrypted keys are
// refused.
//
// It fails with a *session.ConfigurationError, which says nothing of the key.
func ParseSigningKey(text []byte) (crypto.PrivateKey, error) {
	var (
		key  crypto.PrivateKey
		seen []string // kinds of blocks that are no private key
	)
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch {
		case !strings.HasSuffix(block.Type, "PRIVATE KEY"):
			seen = append(seen, strconv.Quote(block.Type))
			continue
		case key != nil:
			return nil, badKey("the PEM text holds several private keys")
		case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, badKey("it is encrypted; decrypt it first")
		}
		if key = parsePrivateKey(block.Bytes); key == nil {
			return nil, badKey("it is neither PKCS #1 nor PKCS #8 nor SEC 1")
		}
		if defaultAlgorithm(key) == "" {
			return nil, badKey("no signature algorithm is known for this kind of key or curve")
		}
	}
	switch {
	case key != nil:
		return key, nil
	case len(seen) > 0:
		return nil, badKey("the PEM text holds no private key, only " + strings.Join(seen[:min(len(seen), 3)], ", "))
	case bytes.Contains(text, []byte(`\n`)):
		return nil, badKey(`it is not PEM text: its line breaks are written as \n`)
	}
	return nil, badKey("it is not PEM text")
}

// badKey makes the error for a key that cannot be read. What a parser said is left
// out, for it may quote bytes of the key.
func badKey(why string) error { return &session.ConfigurationError{Message: "SigningKey: " + why} }

// parsePrivateKey reads a key in whichever form it is, for tools disagree on the
// names of the blocks. It returns nil when it cannot.
func parsePrivateKey(der []byte) crypto.PrivateKey {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key
	}
	return nil
}

// defaultAlgorithm returns the algorithm that a key signs by when none is
// configured, empty for a key that cannot sign here.
func defaultAlgorithm(key crypto.PrivateKey) string {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return "RS256"
	case *ecdsa.PrivateKey:
		if key != nil && key.Curve != nil {
			return curveAlgorithms[key.Curve.Params().Name]
		}
	case ed25519.PrivateKey:
		return "EdDSA"
	}
	return ""
}
