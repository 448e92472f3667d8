package idp_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(key any) []byte { return must(x509.MarshalPKCS8PrivateKey(key)) }

func TestParseSigningKey(t *testing.T) {
	sec1 := must(x509.MarshalECPrivateKey(ecKey()))
	rsaPEM := pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey()))
	tests := []struct {
		name, pem string
		want      interface{ Equal(crypto.PrivateKey) bool }
	}{
		{"PKCS #1", rsaPEM, rsaKey()},
		{"PKCS #8 RSA", pemOf("PRIVATE KEY", pkcs8(rsaKey())), rsaKey()},
		{"PKCS #8 EC", pemOf("PRIVATE KEY", pkcs8(p384Key())), p384Key()},
		{"PKCS #8 Ed25519", pemOf("PRIVATE KEY", pkcs8(edKey())), edKey()},
		{"SEC 1", pemOf("EC PRIVATE KEY", sec1), ecKey()},
		{"SEC 1 after its parameters", pemOf("EC PARAMETERS", []byte{6, 0}) + pemOf("EC PRIVATE KEY", sec1), ecKey()},
		{"PKCS #8 under another name", pemOf("RSA PRIVATE KEY", pkcs8(rsaKey())), rsaKey()},
		{"with a certificate and words around it", "key:\n" + rsaPEM + pemOf("CERTIFICATE", []byte{1}) + "end\n", rsaKey()},
		{"line breaks of Windows", strings.ReplaceAll(rsaPEM, "\n", "\r\n"), rsaKey()},
	}
	for _, tt := range tests {
		key, err := idp.ParseSigningKey([]byte(tt.pem))
		if err != nil || !tt.want.Equal(key) {
			t.Errorf("%s: %T, %v", tt.name, key, err)
			continue
		}
		if _, err := idp.New(idp.Config{ClientID: "c", SigningKey: key}); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestParseSigningKey_refuses(t *testing.T) {
	rsaDER := x509.MarshalPKCS1PrivateKey(rsaKey())
	rsaPEM := pemOf("RSA PRIVATE KEY", rsaDER)
	encrypted := string(pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: rsaDER, Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"},
	}))
	tests := []struct{ name, pem, want string }{
		{"nothing", "", "not PEM"},
		{"a path", "/etc/keys/client.pem", "not PEM"},
		{"DER", string(rsaDER), "not PEM"},
		{"line breaks written out", strings.ReplaceAll(rsaPEM, "\n", `\n`), `as \n`},
		{"cut short", rsaPEM[:len(rsaPEM)/2], "not PEM"},
		{"public key", pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&rsaKey().PublicKey))), `no private key, only "PUBLIC KEY"`},
		{"certificates", strings.Repeat(pemOf("CERTIFICATE", []byte{1}), 9), `only "CERTIFICATE", "CERTIFICATE", "CERTIFICATE"`},
		{"encrypted PKCS #8", pemOf("ENCRYPTED PRIVATE KEY", rsaDER), "encrypted"},
		{"encrypted PKCS #1", encrypted, "encrypted"},
		{"two keys", rsaPEM + rsaPEM, "several"},
		{"half of the key", pemOf("RSA PRIVATE KEY", rsaDER[:len(rsaDER)/2]), "neither"},
		{"an SSH key", pemOf("OPENSSH PRIVATE KEY", rsaDER[4:]), "neither"},
		{"X25519", pemOf("PRIVATE KEY", pkcs8(must(ecdh.X25519().GenerateKey(rand.Reader)))), "no signature algorithm"},
		{"P-224", pemOf("PRIVATE KEY", pkcs8(must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)))), "no signature algorithm"},
	}
	for _, tt := range tests {
		key, err := idp.ParseSigningKey([]byte(tt.pem))
		var conf *session.ConfigurationError
		if key != nil || !errors.As(err, &conf) || !strings.HasPrefix(conf.Message, "SigningKey: ") || !strings.Contains(conf.Message, tt.want) {
			t.Errorf("%s: %T, %v, want %q", tt.name, key, err, tt.want)
			continue
		}
		wantNoSecret(t, tt.name, err, keyWords(rsaPEM, rsaDER)...)
	}
}

// keyWords are pieces of a key, in the forms in which an error could show them.
func keyWords(text string, der []byte) (words []string) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "-----") {
			words = append(words, strings.TrimSpace(line))
		}
	}
	for piece := range bytes.SplitSeq(der, []byte{0}) {
		if len(piece) > 3 {
			words = append(words, string(piece))
		}
	}
	return words
}
