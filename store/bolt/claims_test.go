package bolt

import (
	"testing"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A claim is on one login: another under the same key is not claimed. What has lapsed is forgotten.
func TestClaims(t *testing.T) {
	var c claims
	c.init()
	ref := func(n int) store.Ref {
		return store.Ref{Key: session.Key{byte(n >> 8), byte(n)}, Incarnation: session.Incarnation{1}}
	}
	c.add([]store.Ref{ref(1)}, 0, 10)
	other := ref(1)
	other.Incarnation = session.Incarnation{2}
	if !c.stands(ref(1), 9) || c.stands(ref(1), 10) || c.stands(other, 9) || c.stands(ref(2), 9) {
		t.Error("a claim stands for its login and its time, and for nothing else")
	}
	for n := range 5000 { // each lapses at once
		c.add([]store.Ref{ref(n)}, int64(n), int64(n))
	}
	if n := len(c.byKey); n > 1024 {
		t.Errorf("%d claims are kept that have lapsed", n)
	}
}
