package browser

import (
	"testing"

	"github.com/tokenward/tokenward/session"
)

// The latest 16,384 ends are remembered, and a session that a login has replaced stays replaced.
func TestEnded(t *testing.T) {
	key := func(n int) session.Key { return session.Key{byte(n >> 16), byte(n >> 8), byte(n)} }
	want := func(e *Ended, n int, known, replaced bool) {
		t.Helper()
		if k, r := e.Has(key(n)); k != known || r != replaced {
			t.Errorf("session %d: known %v, replaced %v; want %v, %v", n, k, r, known, replaced)
		}
	}
	var e Ended
	want(&e, 0, false, false)
	e.Add(key(0), session.ReasonReplaced)
	e.Add(key(0), session.ReasonLogout) // the answer to a logout is late
	want(&e, 0, true, true)
	e.Add(key(1), session.ReasonLogout)
	want(&e, 1, true, false)
	e.Add(key(1), session.ReasonReplaced)
	want(&e, 1, true, true)
	for n := 2; n < 16_384; n++ {
		e.Add(key(n), session.ReasonCeiling)
	}
	want(&e, 0, true, true)
	e.Add(key(16_384), session.ReasonCeiling)
	want(&e, 0, false, false)
	want(&e, 1, true, true)
	want(&e, 16_384, true, false)
	if len(e.replaced) != 16_384 {
		t.Errorf("%d ends are remembered", len(e.replaced))
	}
}
