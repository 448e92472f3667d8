package store

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"testing"
)

// The vectors of https://c2sp.org/XAES-256-GCM.
func TestXAES(t *testing.T) {
	tests := []struct {
		key        byte
		additional string
		want       string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	}
	nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
	for _, tt := range tests {
		x, err := newXAES(bytes.Repeat([]byte{tt.key}, xaesKeySize))
		if err != nil {
			t.Fatal(err)
		}
		rest := nonce
		sealed, err := x.seal(nil, []byte("XAES-256-GCM"), []byte(tt.additional), func(b []byte) { rest = rest[copy(b, rest):] })
		if got, want := hex.EncodeToString(sealed), hex.EncodeToString(nonce)+tt.want; err != nil || got != want {
			t.Errorf("key %d: seal = %s, %v, want %s", tt.key, got, err, want)
		}
		plain, err := x.open(nonce, sealed[len(nonce):], []byte(tt.additional))
		if err != nil || string(plain) != "XAES-256-GCM" {
			t.Errorf("key %d: open = %q, %v", tt.key, plain, err)
		}
	}
}

// A message key is used for so many messages and no more, and no nonce comes twice.
func TestXAES_messageKeys(t *testing.T) {
	x, err := newXAES(make([]byte, xaesKeySize))
	if err != nil {
		t.Fatal(err)
	}
	const keys = 5
	var (
		mu     sync.Mutex
		done   sync.WaitGroup
		nonces = make(map[[xaesNonceSize]byte]bool)
		uses   = make(map[[xaesNonceSize / 2]byte]int)
	)
	for range 4 {
		done.Go(func() {
			for range keys * perMessageKey / 4 {
				sealed, err := x.seal(nil, []byte("a state"), nil, func(b []byte) { _, _ = rand.Read(b) })
				if err != nil {
					t.Error(err)
				}
				if plain, err := x.open(sealed[:xaesNonceSize], sealed[xaesNonceSize:], nil); err != nil || string(plain) != "a state" {
					t.Errorf("open = %q, %v", plain, err)
				}
				mu.Lock()
				nonces[[xaesNonceSize]byte(sealed)] = true
				uses[[xaesNonceSize / 2]byte(sealed)]++
				mu.Unlock()
			}
		})
	}
	done.Wait()
	if len(nonces) != keys*perMessageKey {
		t.Errorf("nonces = %d, want %d", len(nonces), keys*perMessageKey)
	}
	if len(uses) < keys {
		t.Errorf("message keys = %d, want %d or more", len(uses), keys)
	}
	for half, n := range uses {
		if n > perMessageKey {
			t.Errorf("key %x was used for %d messages", half, n)
		}
	}
}
