package store

import (
	"bytes"
	"encoding/hex"
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
		sealed, err := x.seal(nil, nonce, []byte("XAES-256-GCM"), []byte(tt.additional))
		if got := hex.EncodeToString(sealed); err != nil || got != tt.want {
			t.Errorf("key %d: seal = %s, %v, want %s", tt.key, got, err, tt.want)
		}
		plain, err := x.open(nonce, sealed, []byte(tt.additional))
		if err != nil || string(plain) != "XAES-256-GCM" {
			t.Errorf("key %d: open = %q, %v", tt.key, plain, err)
		}
	}
}
