package store

import (
	"testing"

	"github.com/tokenward/tokenward/session"
)

func TestTombstones_areBounded(t *testing.T) {
	life := DefaultTombstoneLife.Microseconds()
	key := func(i int) session.Key { return session.Key{byte(i), byte(i >> 8), byte(i >> 16)} }
	var s tombstones
	wantKept := func(doing string, tombs, queued int) {
		t.Helper()
		if len(s.byKey) != tombs || len(s.order) > queued {
			t.Errorf("%s: %d tombstones kept and %d queued, want %d and at most %d", doing, len(s.byKey), len(s.order), tombs, queued)
		}
	}
	for i := range MaxTombstones + 10 {
		s.add(key(i), tomb{until: life + int64(i)})
	}
	wantKept("beyond the bound", MaxTombstones, MaxTombstones)
	if _, gone := s.get(key(9), 0); gone {
		t.Error("one of the oldest is still there")
	}
	if _, gone := s.get(key(10), 0); !gone {
		t.Error("one that fits is not there")
	}
	for i := range MaxTombstones { // one key ends again and again, once a microsecond
		s.add(session.Key{}, tomb{until: 3*life + int64(i/2)})
	}
	wantKept("when all but one have lapsed", 1, 4)
	if _, gone := s.get(session.Key{}, 2*life); !gone {
		t.Error("the last one is not there")
	}
	s.remove(session.Key{})
	s.restate(session.Key{}, session.ReasonLogout)
	wantKept("after its removal", 0, 4)
}
