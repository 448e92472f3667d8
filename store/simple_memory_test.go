package store

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

func TestTombstones_areBounded(t *testing.T) {
	key := func(i int) session.Key { return session.Key{byte(i), byte(i >> 8), byte(i >> 16)} }
	standing := func(d time.Duration) *GoneError { return &GoneError{Reason: session.ReasonCeiling, Stands: d} }
	var s tombstones
	wantKept := func(doing string, n int) {
		t.Helper()
		if len(s.byKey) != n {
			t.Errorf("%s: %d tombstones kept, want %d", doing, len(s.byKey), n)
		}
	}
	for i := range MaxTombstones + 10 { // the later they come, the shorter they stand
		s.add(key(i), standing(2*time.Hour-time.Duration(i)), 0)
	}
	wantKept("beyond the bound", MaxTombstones)
	if s.get(key(9), 0) != nil {
		t.Error("one of the oldest is still there")
	}
	if s.get(key(10), 0) == nil {
		t.Error("one that fits is not there")
	}
	lapsed := (2 * time.Hour).Microseconds()
	for range MaxTombstones { // one key ends again and again
		s.add(session.Key{}, standing(time.Hour), lapsed)
	}
	wantKept("when all but one have lapsed", 1)
	if s.get(session.Key{}, lapsed) == nil {
		t.Error("the last one is not there")
	}
	s.remove(session.Key{})
	wantKept("after its removal", 0)
}
