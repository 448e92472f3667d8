package cookie

import (
	"container/list"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// DefaultMaxStates is how many sessions States keeps in memory.
const DefaultMaxStates = 400_000

// States is a store.StateStore that keeps sessions in the browser, sealed, so that the
// server needs no store. It remembers the newest state of each session in memory, as
// long as there is room: browsers bring their cookies, ReadRequest takes in what is newer, and
// WriteResponse puts what a browser lacks on an answer. "Saved" means: it was put on an
// answer whose header was not yet sent, and until then that it is in this process's
// memory, where it stays until the session may no longer be used.
//
// Inside one process that lives on it keeps what a StateStore promises. What it cannot
// keep is this:
//
//   - Two processes that serve one session at once may spend one refresh token. With
//     a provider that rotates them that ends the session.
//   - A refresh token that no answer has carried is lost when the process ends. So is
//     one whose answer did not reach the browser.
//   - After a restart, and in other processes, whoever kept a copy of the cookies of a
//     session that was logged out has that session again, until they lapse.
//   - A ceiling is reached when the session is next used. There is no index, so
//     back-channel logout is a configuration error.
//   - Cookies travel with every request: some 5 KiB for a session with two tokens, and up to
//     Attributes.Chunks of 3 KiB. Servers and proxies refuse headers beyond a size, often 8 KiB.
//   - Two clients that share a secret accept each other's sessions, unless each has a Sealer
//     with an identifier of its own.
//
// Where refresh tokens rotate, or there are several processes, keep sessions on the
// server.
type States struct {
	sealer     *store.Sealer
	clock      clock.Clock
	identifier string // of session ids
	name       string // of the cookies
	attributes Attributes
	max        int

	mu   sync.Mutex
	held map[session.Key]*held
	uses list.List // of *held, least recently used first
}

// held is the newest that this process knows of a session.
type held struct {
	key     session.Key
	record  store.Record
	counter uint64         // of the record; each write adds one
	carried uint64         // the highest that a browser has, as far as is known
	gone    bool           // it has ended
	why     session.Reason // then
	expires int64          // microseconds since the Unix epoch; forever: it does not
	use     *list.Element
}

const forever = math.MaxInt64

var _ store.StateStore = (*States)(nil)

// NewStates returns a States whose cookies are sealed by s and named after name, which is
// also the identifier of the sessions, by default `_a0_session`; a nil clock is the
// system's.
func NewStates(s *store.Sealer, c clock.Clock, name string, a Attributes) *States {
	if c == nil {
		c = clock.System()
	}
	return &States{
		sealer: s, clock: c, identifier: name, name: a.Name(name), attributes: a,
		max: DefaultMaxStates, held: make(map[session.Key]*held),
	}
}

// Load implements store.StateStore.
func (s *States) Load(ctx context.Context, key session.Key, _ store.Options) (r store.Record, err error) {
	err = s.do(ctx, func(now int64) error {
		h, err := s.living(key, now)
		if err != nil {
			return err
		}
		r = clone(h.record)
		r.TTL = 0
		return nil
	})
	return r, err
}

// Replace implements store.StateStore.
func (s *States) Replace(ctx context.Context, key session.Key, r store.Record, _ store.Options) error {
	return s.do(ctx, func(now int64) error {
		h := s.peek(key, now)
		if h == nil {
			h = s.add(key, now)
		}
		h.gone = false
		h.write(r, now)
		return nil
	})
}

// Update implements store.StateStore.
func (s *States) Update(ctx context.Context, key session.Key, prev session.Version, r store.Record, _ store.Options) error {
	return s.do(ctx, func(now int64) error {
		h, err := s.living(key, now)
		if err != nil {
			return err
		}
		if h.record.Version != prev || h.record.Incarnation != r.Incarnation {
			return store.ErrConflict
		}
		h.write(r, now)
		return nil
	})
}

// Delete implements store.StateStore. That a session has ended is remembered for as
// long as its cookies may live.
func (s *States) Delete(ctx context.Context, key session.Key, only session.Incarnation, why session.Reason, _ store.Options) error {
	return s.do(ctx, func(now int64) error {
		h := s.peek(key, now)
		switch {
		case h == nil, !only.IsZero() && (h.gone || h.record.Incarnation != only):
			return nil
		case h.gone:
			h.why = why
			return nil
		}
		until := now + store.DefaultTombstoneLife.Microseconds()
		if h.expires != forever || h.carried > 0 {
			until = max(until, h.expires)
		}
		h.gone, h.why, h.expires, h.record = true, why, until, store.Record{Incarnation: h.record.Incarnation}
		return nil
	})
}

// Len returns how many sessions live in this process's memory.
func (s *States) Len() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for _, h := range s.held {
		if !h.gone && now < h.expires {
			n++
		}
	}
	return n
}

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
	case h.gone || h.record.Incarnation != b.incarnation:
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
	p.record.Index = nil // nobody looks for it
	return p, true
}

// Drop takes the browser's cookies away; while is as for WriteResponse.
func (s *States) Drop(w http.ResponseWriter, r *http.Request, while func() bool) {
	to, unlock := answerTo(w)
	defer unlock()
	s.attributes.trim(to, r, s.name, 0, &condition{while: while})
}

// do runs f with what is held.
func (s *States) do(ctx context.Context, f func(now int64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return f(s.now())
}

func (s *States) now() int64 { return s.clock.Now().UnixMicro() }

// peek returns what is held of key, nil when that is nothing.
func (s *States) peek(key session.Key, now int64) *held {
	h := s.held[key]
	if h != nil && now >= h.expires {
		s.drop(h)
		return nil
	}
	return h
}

func (s *States) living(key session.Key, now int64) (*held, error) {
	h := s.peek(key, now)
	switch {
	case h == nil:
		return nil, store.ErrNotFound
	case h.gone:
		return nil, &store.GoneError{Reason: h.why}
	}
	s.uses.MoveToBack(h.use)
	return h, nil
}

// add makes room for a session, and holds it.
func (s *States) add(key session.Key, now int64) *held {
	s.makeRoom(now)
	h := &held{key: key, expires: forever}
	h.use = s.uses.PushBack(h)
	s.held[key] = h
	return h
}

// makeRoom drops what has lapsed and, where there is too much, what was not used for
// longest and a browser has. What no browser has stays, up to twice the number.
func (s *States) makeRoom(now int64) {
	e := s.uses.Front()
	for range 8 {
		if e == nil {
			return
		}
		h := e.Value.(*held)
		e = e.Next()
		if now >= h.expires || len(s.held) >= s.max && (h.gone || h.carried >= h.counter) || len(s.held) >= 2*s.max {
			s.drop(h)
		}
	}
}

func (s *States) drop(h *held) {
	s.uses.Remove(h.use)
	delete(s.held, h.key)
}

func (h *held) write(r store.Record, now int64) {
	h.record = clone(r)
	h.counter++
	h.expires = forever
	if r.TTL > 0 {
		if us := r.TTL.Microseconds() + 1; us < forever-now {
			h.expires = now + us
		}
	}
}

func clone(r store.Record) store.Record {
	r.Index, r.Sealed = slices.Clone(r.Index), slices.Clone(r.Sealed)
	return r
}

// payload is what the cookies hold: when they were written (in seconds), when the
// session can no longer be used (in microseconds) and the counter, 8 bytes each; the length of
// the id, 2 bytes; the id; and the record.
type payload struct {
	seen    int64
	expires int64
	counter uint64
	id      string
	record  store.Record
}

func (p payload) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.seen))
	b = binary.BigEndian.AppendUint64(b, uint64(p.expires))
	b = binary.BigEndian.AppendUint64(b, p.counter)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.id)))
	b = append(b, p.id...)
	return append(b, store.MarshalRecord(p.record)...)
}

// open reads what WriteResponse wrote.
func (s *States) open(value string) (p payload, ok bool) {
	b, err := Open(s.sealer, s.name, value)
	if err != nil || len(b) < 26 {
		return p, false
	}
	p.seen = int64(binary.BigEndian.Uint64(b))
	p.expires = int64(binary.BigEndian.Uint64(b[8:]))
	p.counter = binary.BigEndian.Uint64(b[16:])
	n := int(binary.BigEndian.Uint16(b[24:]))
	if b = b[26:]; n == 0 || len(b) < n {
		return p, false
	}
	p.id = string(b[:n])
	p.record, err = store.UnmarshalRecord(b[n:])
	return p, err == nil
}
