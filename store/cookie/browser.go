package cookie

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Incoming is the session that a browser brought.
type Incoming struct {
	ID    string    // empty when it brought none, or none that can be read
	Seen  time.Time // when the cookies were written, to the second
	Newer bool      // this process knew an older state of it

	incarnation session.Incarnation
	counter     uint64
}

// Format prints b without the session's id.
func (b Incoming) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "cookie.Incoming{Newer: %t}", b.Newer) }

// MarshalJSON writes b without the session's id.
func (b Incoming) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(b)) }

// ReadRequest reads the sessions that the browser has once it has received w, which may be
// nil: one, or at most MaxValues where it has cookies of several, which happens after a change of their Domain. What
// is newer than what this process knows it takes in: an older state, and one of a
// session that ended here, it does not.
func (s *States) ReadRequest(w http.ResponseWriter, r *http.Request) (all []Incoming) {
	to, unlock := answerTo(w)
	values := s.attributes.join(to, r, s.name)
	unlock()
	for _, value := range values {
		p, ok := s.open(value)
		if !ok {
			continue
		}
		b := s.takeIn(p)
		if i := slices.IndexFunc(all, func(o Incoming) bool { return o.ID == b.ID }); i < 0 {
			all = append(all, b)
		} else if b.counter > all[i].counter {
			all[i] = b
		}
		if len(all) == MaxValues {
			break
		}
	}
	return all
}

// MaxValues is how many sessions are looked at whose cookies come under one name.
const MaxValues = 4

func (s *States) takeIn(p payload) Incoming {
	b := Incoming{ID: p.id, Seen: time.Unix(p.seen, 0), incarnation: p.record.Incarnation, counter: p.counter}
	key := session.KeyOf(s.identifier, p.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	h := s.peek(key, now)
	switch {
	case h == nil && now >= p.expires:
		return b
	case h == nil:
		h = s.add(key, now)
		h.expires = p.expires
	case h.gone != nil || h.record.Incarnation != b.incarnation:
		return b
	}
	s.uses.MoveToBack(h.use)
	h.carried = max(h.carried, p.counter)
	if p.counter > h.counter {
		b.Newer = h.counter > 0
		h.record, h.counter = p.record, p.counter
		h.expires = max(h.expires, p.expires)
	}
	return b
}

// WriteResponse puts the newest state of the session on w, for the browser to keep for life, where
// it is newer than what the browser brought, or always when told so. A session that
// has ended it does not carry; while, which may be nil, is asked as Attributes.Set does. It fails when the state is too
// large for cookies: then this process alone has it.
func (s *States) WriteResponse(w http.ResponseWriter, r *http.Request, id string, b Incoming, life time.Duration, always bool, while func() bool) error {
	to, unlock := answerTo(w)
	defer unlock()
	p, ok := s.newest(id, b, life, always)
	if !ok {
		return nil
	}
	return s.attributes.split(to, r, s.name, Seal(s.sealer, s.name, p.encode()), life, &condition{while: while, written: func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if h := s.held[session.KeyOf(s.identifier, id)]; h != nil {
			h.carried = max(h.carried, p.counter)
		}
	}})
}

// StateCapacity is how many bytes a state may have, as session.AppendState writes it, for WriteResponse to find room for it.
func (s *States) StateCapacity() int {
	const sealing = 256 + 64 // of the state and of the payload, and what stands in both besides
	return s.attributes.capacity()*3/4 - sealing
}

// newest returns what the browser that brought b lacks.
func (s *States) newest(id string, b Incoming, life time.Duration, always bool) (p payload, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	h, err := s.living(session.KeyOf(s.identifier, id), now)
	if err != nil || !always && h.counter == b.counter && h.record.Incarnation == b.incarnation {
		return p, false
	}
	if h.expires != forever { // as long as the browser has it, and no less than now
		h.expires = max(h.expires, now+(life+time.Hour).Microseconds())
	}
	p = payload{seen: now / 1e6, expires: h.expires, counter: h.counter, id: id, record: clone(h.record)}
	p.record.Index = nil // no logout finds it
	return p, true
}

// Drop takes the browser's cookies away; while is as for WriteResponse.
func (s *States) Drop(w http.ResponseWriter, r *http.Request, while func() bool) {
	to, unlock := answerTo(w)
	defer unlock()
	s.attributes.trim(to, r, s.name, 0, &condition{while: while})
}
