package supervisor

import (
	"encoding/binary"
	"iter"

	"github.com/tokenward/tokenward/session"
)

// residents finds the resident of a key. A key is a hash (SHA-256), so its first eight bytes nearly always tell one from another: they
// are what the map holds for each session, instead of all 32. Two keys that begin alike are no fault: one has the place by the head, the
// others stand in a map by the whole key. No key is in both maps, so len and all count each resident once.
type residents struct {
	byHead map[uint64]*resident
	others map[session.Key]*resident // those whose first bytes are taken
}

func newResidents() residents {
	return residents{byHead: make(map[uint64]*resident), others: make(map[session.Key]*resident)}
}

func head(key session.Key) uint64 { return binary.NativeEndian.Uint64(key[:]) }

// get returns the resident of key, nil where there is none.
func (s *residents) get(key session.Key) *resident {
	if sl := s.byHead[head(key)]; sl != nil && sl.entry.Key == key {
		return sl
	}
	return s.others[key]
}

// put puts sl in the place of its key, instead of the one that was there.
func (s *residents) put(sl *resident) {
	key := sl.entry.Key
	if first := s.byHead[head(key)]; first != nil && first.entry.Key != key {
		s.others[key] = sl
		return
	}
	delete(s.others, key) // where the key stood while another one had the place by the head
	s.byHead[head(key)] = sl
}

// remove takes sl out, if it is in.
func (s *residents) remove(sl *resident) {
	key := sl.entry.Key
	switch sl {
	case s.byHead[head(key)]:
		delete(s.byHead, head(key))
	case s.others[key]:
		delete(s.others, key)
	}
}

func (s *residents) len() int { return len(s.byHead) + len(s.others) }

// all returns every resident, in no order. A resident may be removed during the loop.
func (s *residents) all() iter.Seq[*resident] {
	return func(yield func(*resident) bool) {
		for _, sl := range s.byHead {
			if !yield(sl) {
				return
			}
		}
		for _, sl := range s.others {
			if !yield(sl) {
				return
			}
		}
	}
}
