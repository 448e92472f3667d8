package actors

import "testing"

// Values that come while a save is under way are in the next one: their caller is told when that is done, and not before.
func TestUpdate_duringASave(t *testing.T) {
	s := in(t, live, 0)
	answered := func() (n int) {
		for _, e := range s.out {
			if e, ok := e.(endCall); ok && e.err == nil {
				n++
			}
		}
		return n
	}
	updating("", `{"n":1}`)(s)
	updating(`{"n":1}`, `{"n":2}`)(s)
	s.finish(nil)
	if n := answered(); n != 1 || !s.c.queued(isA[*saveOp]) {
		t.Fatalf("%d callers are told by the first save, and another one is queued: %v; want 1", n, s.c.queued(isA[*saveOp]))
	}
	s.finish(nil)
	if n := answered(); n != 1 {
		t.Errorf("%d callers are told by the second save, want 1", n)
	}
}
