package supervisor

import (
	"encoding/binary"
	"iter"

	"github.com/tokenward/tokenward/session"
)

// slots finds the slot of a key. A key is a hash (SHA-256), so its first eight bytes nearly always tell one from another: they
// are what the map holds for each session, instead of all 32.
type slots struct {
	byHead map[uint64]*slot
	others map[session.Key]*slot // those whose first bytes are taken
}

func newSlots() slots {
	return slots{byHead: make(map[uint64]*slot), others: make(map[session.Key]*slot)}
}

func head(key session.Key) uint64 { return binary.NativeEndian.Uint64(key[:]) }

// get returns the slot of key, nil where there is none.
func (s *slots) get(key session.Key) *slot {
	if sl := s.byHead[head(key)]; sl != nil && sl.entry.Key == key {
		return sl
	}
	return s.others[key]
}

// put puts sl in the place of its key.
func (s *slots) put(sl *slot) {
	key := sl.entry.Key
	if first := s.byHead[head(key)]; first != nil && first.entry.Key != key {
		s.others[key] = sl
		return
	}
	delete(s.others, key)
	s.byHead[head(key)] = sl
}

// remove takes the slot of key out.
func (s *slots) remove(key session.Key) {
	if sl := s.byHead[head(key)]; sl != nil && sl.entry.Key == key {
		delete(s.byHead, head(key))
		return
	}
	delete(s.others, key)
}

func (s *slots) len() int { return len(s.byHead) + len(s.others) }

// all returns every slot, in no order. A slot may be removed during the loop.
func (s *slots) all() iter.Seq[*slot] {
	return func(yield func(*slot) bool) {
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
