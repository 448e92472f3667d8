package idp

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"strings"
	"testing"
)

func TestParseKey(t *testing.T) {
	b64 := base64.RawURLEncoding.EncodeToString
	modulus := new(big.Int).Lsh(big.NewInt(1), 2047)
	modulus.SetBit(modulus, 0, 1)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	rsaJWK := map[string]any{"kty": "RSA", "kid": "1", "n": b64(modulus.Bytes()), "e": "AQAB"}
	ecJWK := map[string]any{"kty": "EC", "kid": "1", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	okpJWK := map[string]any{"kty": "OKP", "kid": "1", "crv": "Ed25519", "x": b64(make([]byte, 32))}
	type change = map[string]any

	tests := []struct {
		name   string
		base   map[string]any
		change change
		want   bool
	}{
		{"RSA", rsaJWK, nil, true},
		{"use sig", rsaJWK, change{"use": "sig"}, true},
		{"use enc", rsaJWK, change{"use": "enc"}, false},
		{"use null", rsaJWK, change{"use": nil}, true},
		{"use a number", rsaJWK, change{"use": 1}, false},
		{"key_ops verify", rsaJWK, change{"key_ops": []string{"verify"}}, true},
		{"key_ops encrypt", rsaJWK, change{"key_ops": []string{"encrypt"}}, false},
		{"key_ops text", rsaJWK, change{"key_ops": "verify"}, false},
		{"no kid", rsaJWK, change{"kid": nil}, true},
		{"kid a number", rsaJWK, change{"kid": 1}, false},
		{"a long kid", rsaJWK, change{"kid": strings.Repeat("k", 1024)}, true},
		{"kid too long", rsaJWK, change{"kid": strings.Repeat("k", 1025)}, false},
		{"alg a number", rsaJWK, change{"alg": 1}, false},
		{"private", rsaJWK, change{"d": "AQAB"}, false},
		{"of 1024 bits", rsaJWK, change{"n": b64(modulus.Bytes()[:128])}, false},
		{"of 2047 bits", rsaJWK, change{"n": b64(append([]byte{0x7f}, modulus.Bytes()[1:]...))}, false},
		{"with zeros before", rsaJWK, change{"n": b64(append([]byte{0}, modulus.Bytes()...))}, true},
		{"even", rsaJWK, change{"n": b64(append(modulus.Bytes()[:255:255], 2))}, false},
		{"of 16385 bits", rsaJWK, change{"n": b64(append(append([]byte{1}, make([]byte, 2047)...), 1))}, false},
		{"of 500 kB", rsaJWK, change{"n": b64(append(append([]byte{1}, make([]byte, 500_000)...), 1))}, false},
		{"exponent 3", rsaJWK, change{"e": "Aw"}, true},
		{"exponent 1", rsaJWK, change{"e": "AQ"}, false},
		{"exponent even", rsaJWK, change{"e": "BA"}, false},
		{"exponent 2^31+1", rsaJWK, change{"e": b64([]byte{0x80, 0, 0, 1})}, false},
		{"exponent huge", rsaJWK, change{"e": b64([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1})}, false},
		{"exponent missing", rsaJWK, change{"e": nil}, false},
		{"modulus missing", rsaJWK, change{"n": nil}, false},
		{"modulus not base64", rsaJWK, change{"n": "!!"}, false},
		{"padded", rsaJWK, change{"e": "AQAB=="}, true},
		{"EC", ecJWK, nil, true},
		{"EC private", ecJWK, change{"d": "AQAB"}, false},
		{"EC not on the curve", ecJWK, change{"y": b64(point[1:33])}, false},
		{"EC at infinity", ecJWK, change{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}, false},
		{"EC short", ecJWK, change{"x": b64(point[1:32])}, false},
		{"EC unknown curve", ecJWK, change{"crv": "secp256k1"}, false},
		{"EC other curve", ecJWK, change{"crv": "P-384"}, false},
		{"Ed25519", okpJWK, nil, true},
		{"Ed25519 short", okpJWK, change{"x": b64(make([]byte, 31))}, false},
		{"X25519", okpJWK, change{"crv": "X25519"}, false},
		{"symmetric", change{"kty": "oct", "k": "AQAB", "kid": "1"}, nil, false},
		{"RSA with k", rsaJWK, change{"k": "AQAB"}, false},
		{"kty unknown", rsaJWK, change{"kty": "rsa"}, false},
		{"kty missing", rsaJWK, change{"kty": nil}, false},
	}
	for _, tt := range tests {
		m := maps.Clone(tt.base)
		maps.Copy(m, tt.change)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		k, ok := parseKey(text)
		if ok != tt.want {
			t.Errorf("%s: usable = %t, want %t", tt.name, ok, tt.want)
		}
		if ok {
			checkKey(t, k)
		}
	}
}

// checkKey checks what holds of every key that was let in.
func checkKey(t *testing.T, k jwk) {
	t.Helper()
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSABits || n > maxRSABits || key.E < 3 {
			t.Errorf("RSA key of %d bits, exponent %d", n, key.E)
		}
	case *ecdsa.PublicKey:
		if _, err := key.ECDH(); err != nil {
			t.Errorf("EC key: %v", err)
		}
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			t.Errorf("Ed25519 key of %d bytes", len(key))
		}
	default:
		t.Errorf("key of type %T", k.key)
	}
	if len(k.kid) > maxKID {
		t.Errorf("kid of %d bytes", len(k.kid))
	}
}
