package idptest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"sync"
)

// signingKey is one key that the tenant publishes. The last one signs.
type signingKey struct {
	id string
	n  int // of the pool
}

// pool holds the keys of this process. Making an RSA key takes long, so every tenant
// uses the same ones, each under an id of its own.
var pool struct {
	sync.Mutex
	rsa  []*rsa.PrivateKey
	rest map[string]crypto.Signer // of other kinds, by kind and number
}

// pooledKey returns RSA key i of the process. It makes it when it is first asked for.
func pooledKey(i int) *rsa.PrivateKey {
	pool.Lock()
	defer pool.Unlock()
	for len(pool.rsa) <= i {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(fmt.Sprintf("idptest: %v", err))
		}
		pool.rsa = append(pool.rsa, k)
	}
	return pool.rsa[i]
}

// curves are those of the ES algorithms (RFC 7518 section 3.4).
var curves = map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}

// isRSA reports whether alg takes an RSA key, as all do that are not known here.
func isRSA(alg string) bool { return curves[alg] == nil && alg != "EdDSA" && alg != "Ed25519" }

// pooledFor returns key i of the kind that alg needs: RSA unless alg names another.
func pooledFor(alg string, i int) crypto.Signer {
	if isRSA(alg) {
		return pooledKey(i)
	}
	name := fmt.Sprint(strings.Replace(alg, "Ed25519", "EdDSA", 1), i)
	pool.Lock()
	defer pool.Unlock()
	if k := pool.rest[name]; k != nil {
		return k
	}
	var k crypto.Signer
	var err error
	if curve := curves[alg]; curve != nil {
		k, err = ecdsa.GenerateKey(curve, rand.Reader)
	} else {
		_, k, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		panic(fmt.Sprintf("idptest: %v", err))
	}
	if pool.rest == nil {
		pool.rest = map[string]crypto.Signer{}
	}
	pool.rest[name] = k
	return k
}

// RotateKeys makes the tenant sign with a new key. The old ones stay published, so
// tokens signed with them still verify; RetireKeys withdraws them.
func (t *Tenant) RotateKeys() {
	t.mu.Lock()
	n, alg := t.newKeys, t.cfg.profile.Keys.alg()
	t.mu.Unlock()
	pooledFor(alg, n) // takes long, so not under the lock
	t.addKey()
}

// RetireKeys withdraws every key but the one that signs.
func (t *Tenant) RetireKeys() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys = t.keys[len(t.keys)-1:]
}

func (t *Tenant) addKey() {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.newKeys
	t.newKeys++
	t.keys = append(t.keys, signingKey{id: secret(fmt.Sprintf("key%d-", t.newKeys)), n: n})
}

// signer returns the key that signs.
func (t *Tenant) signer() signingKey {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keys[len(t.keys)-1]
}

// private returns the key that signs with alg; with strange, one that this tenant does
// not publish.
func (t *Tenant) private(alg string, strange bool) crypto.Signer {
	t.mu.Lock()
	n := t.keys[len(t.keys)-1].n
	if strange {
		n = t.newKeys
	}
	t.mu.Unlock()
	return pooledFor(alg, n)
}
