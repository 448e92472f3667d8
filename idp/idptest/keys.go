package idptest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"sync"
)

// signingKey is one key that the tenant publishes. The last one signs.
type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

// pool holds the RSA keys of this process. Making one takes long, so every tenant
// uses the same ones, each under an id of its own.
var pool struct {
	sync.Mutex
	keys []*rsa.PrivateKey
}

// pooledKey returns key i of the process. It makes it when it is first asked for.
func pooledKey(i int) *rsa.PrivateKey {
	pool.Lock()
	defer pool.Unlock()
	for len(pool.keys) <= i {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(fmt.Sprintf("idptest: %v", err))
		}
		pool.keys = append(pool.keys, k)
	}
	return pool.keys[i]
}

// RotateKeys makes the tenant sign with a new key. The old ones stay published, so
// tokens signed with them still verify; RetireKeys withdraws them.
func (t *Tenant) RotateKeys() {
	t.mu.Lock()
	n := t.newKeys
	t.mu.Unlock()
	pooledKey(n) // takes long, so not under the lock
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
	k := pooledKey(t.newKeys)
	t.newKeys++
	t.keys = append(t.keys, signingKey{id: secret(fmt.Sprintf("key%d-", t.newKeys)), key: k})
}

// signer returns the key that signs.
func (t *Tenant) signer() signingKey {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keys[len(t.keys)-1]
}

// strange returns a key that this tenant does not publish.
func (t *Tenant) strange() *rsa.PrivateKey {
	t.mu.Lock()
	n := t.newKeys
	t.mu.Unlock()
	return pooledKey(n)
}

// jwks answers the key set (RFC 7517 section 5), the newest key first.
func (t *Tenant) jwks(*call) *reply {
	t.mu.Lock()
	keys := append([]signingKey(nil), t.keys...)
	t.mu.Unlock()
	set := []any{}
	for i := len(keys) - 1; i >= 0; i-- {
		pub := keys[i].key.PublicKey
		set = append(set, map[string]any{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": keys[i].id,
			"n": base64.RawURLEncoding.EncodeToString(pub.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(pub.E)).Bytes()),
		})
	}
	return jsonReply(200, map[string]any{"keys": set})
}
