package store

import (
	"crypto/aes"
	"crypto/cipher"
	"sync/atomic"
)

// xaes is XAES-256-GCM (C2SP, https://c2sp.org/XAES-256-GCM): AES-256-GCM with a
// nonce of 24 bytes. The first half of the nonce and the key give a message key
// (AES-CMAC as in NIST SP 800-108r1), the other half is its GCM nonce.
type xaes struct {
	block cipher.Block
	k1    [aes.BlockSize]byte // the CMAC subkey
	last  atomic.Pointer[messageKey]
}

// messageKey is the key that belongs to the first half of a nonce. It is used for up to
// perMessageKey messages, each with another half of its own: to derive it costs more than
// to seal a session.
type messageKey struct {
	half [xaesNonceSize / 2]byte
	gcm  cipher.AEAD
	used atomic.Int32
}

const (
	xaesKeySize   = 32
	xaesNonceSize = 24
	xaesOverhead  = 16
	perMessageKey = 1024
)

func newXAES(key []byte) (*xaes, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	x := &xaes{block: block}
	block.Encrypt(x.k1[:], x.k1[:])
	var carry byte
	for i := len(x.k1) - 1; i >= 0; i-- {
		x.k1[i], carry = x.k1[i]<<1|carry, x.k1[i]>>7
	}
	x.k1[len(x.k1)-1] ^= carry * 0b10000111
	return x, nil
}

// aead returns the AES-256-GCM of the message key that belongs to nonce.
func (x *xaes) aead(nonce []byte) (cipher.AEAD, error) {
	var key [xaesKeySize]byte
	for i := range 2 {
		half := key[i*aes.BlockSize : (i+1)*aes.BlockSize]
		copy(half, []byte{0, byte(i + 1), 'X', 0})
		copy(half[4:], nonce[:12])
		for j := range half {
			half[j] ^= x.k1[j]
		}
		x.block.Encrypt(half, half)
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal draws a nonce and appends it and the sealed plaintext to dst.
func (x *xaes) seal(dst, plaintext, additional []byte, draw func([]byte)) ([]byte, error) {
	k := x.last.Load()
	if k == nil || k.used.Add(1) > perMessageKey {
		var nonce [xaesNonceSize]byte
		draw(nonce[:len(nonce)/2])
		gcm, err := x.aead(nonce[:])
		if err != nil {
			return nil, err
		}
		k = &messageKey{half: [12]byte(nonce[:]), gcm: gcm}
		k.used.Store(1)
		x.last.Store(k)
	}
	dst = append(dst, k.half[:]...)
	n := len(dst)
	dst = append(dst, k.half[:]...) // room for the other half
	draw(dst[n:])
	return k.gcm.Seal(dst, dst[n:], plaintext, additional), nil
}

func (x *xaes) open(nonce, ciphertext, additional []byte) ([]byte, error) {
	gcm, err := x.aead(nonce)
	if err != nil {
		return nil, err
	}
	return gcm.Open(nil, nonce[12:], ciphertext, additional)
}
