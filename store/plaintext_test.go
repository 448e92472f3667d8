package store

import (
	"bytes"
	"testing"
)

// The room in which a state is written before it is sealed keeps nothing of it, and room for more than 64 KiB is
// given back to the garbage collector.
func TestPlaintext_keepsNothing(t *testing.T) {
	for size, kept := range map[int]bool{100: true, 64 << 10: true, 64<<10 + 1: false} {
		p := &plaintext{buffer: bytes.Repeat([]byte("s"), size)}
		p.buffer = p.buffer[:size:size]
		whole := p.buffer
		p.buffer = p.buffer[:10] // what was written last may be shorter than what was before
		p.done()
		if bytes.ContainsRune(whole, 's') {
			t.Errorf("%d bytes: a secret is still there", size)
		}
		if found := pooled(p); found && !kept {
			t.Errorf("%d bytes are kept", size)
		}
	}
}

// pooled reports whether p is among the rooms that were given back. The pool may lose any of them.
func pooled(p *plaintext) bool {
	for range 100 {
		if plaintexts.Get() == p {
			return true
		}
	}
	return false
}
