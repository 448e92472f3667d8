package idptest

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// alg is what ID tokens are signed with.
func (s *KeySet) alg() string { return cmp.Or(s.Alg, "RS256") }

// symmetric reports whether the client's secret signs, so that no key is published.
func (s *KeySet) symmetric() bool { return strings.HasPrefix(s.Alg, "HS") }

// jwks answers the key set (RFC 7517 section 5), the newest key first.
func (t *Tenant) jwks(*call) *reply {
	t.mu.Lock()
	keys := append([]signingKey(nil), t.keys...)
	s := t.cfg.profile.Keys
	t.mu.Unlock()
	set := []any{}
	for i := len(keys) - 1; i >= 0 && !s.symmetric(); i-- {
		k := pooledFor(s.alg(), keys[i].n)
		one := s.published(k, Key{Alg: s.alg(), NoAlg: s.NoAlg, NoKID: s.NoKID}, keys[i].id)
		set = append(set, one)
		if s.Twice {
			set = append(set, s.published(k, Key{Alg: s.alg()}, keys[i].id+"_"+s.alg()))
		}
	}
	for i, more := range s.More {
		id := fmt.Sprintf("%s-%d", strings.ToLower(more.Alg), i)
		if more.SameKID {
			id = keys[len(keys)-1].id
		}
		set = append(set, s.published(decoyKey(more.Alg), more, id))
	}
	return jsonReply(200, map[string]any{"keys": set})
}

// published returns the public half of k as a JWK.
func (s *KeySet) published(k crypto.Signer, as Key, id string) map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	jwk := map[string]any{"use": cmp.Or(as.Use, "sig"), "alg": as.Alg, "kid": id}
	switch pub := k.Public().(type) {
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", b64(pub.N.Bytes()), b64(big.NewInt(int64(pub.E)).Bytes())
	case *ecdsa.PublicKey:
		size := (pub.Curve.Params().BitSize + 7) / 8
		point, err := pub.Bytes() // 4, x, y
		if err != nil {
			panic(fmt.Sprintf("idptest: %v", err))
		}
		jwk["kty"], jwk["crv"] = "EC", pub.Curve.Params().Name
		jwk["x"], jwk["y"] = b64(point[1:1+size]), b64(point[1+size:])
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", b64(pub)
	}
	if as.NoAlg {
		delete(jwk, "alg")
	}
	if as.NoKID {
		delete(jwk, "kid")
	}
	if s.NoUse {
		delete(jwk, "use")
	}
	if s.X5C {
		jwk["x5c"] = []string{base64.StdEncoding.EncodeToString(selfSigned(k).Raw)}
	}
	return jwk
}

// selfSigned returns a certificate of k's public half, signed with k.
func selfSigned(k crypto.Signer) *x509.Certificate {
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "idptest"},
		NotBefore:    time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, k.Public(), k)
	if err != nil {
		panic(fmt.Sprintf("idptest: %v", err))
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(fmt.Sprintf("idptest: %v", err))
	}
	return cert
}
