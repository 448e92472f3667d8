package cookie

import (
	"container/list"
	"math"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// held is the newest that this process knows of a session.
type held struct {
	key     session.Key
	record  store.Record
	counter uint64     // of the record; each write adds one
	carried uint64     // the highest that a browser has, as far as is known
	gone    *tombstone // it has ended, and the record is empty
	expires int64      // microseconds since the Unix epoch; forever: it does not
	use     *list.Element
}

// tombstone says how a session ended. Until when it stands is held.expires.
type tombstone struct {
	why     session.Reason
	of      session.Incarnation
	left    *store.Remainder // in this process's memory alone
	remains int64            // until when left does
}

const forever = math.MaxInt64

func (s *States) now() int64 { return s.clock.Now().UnixMicro() }

// peek returns the held state of key, nil when there is none.
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
	case h.gone != nil:
		return nil, h.tombstone(now)
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

// makeRoom drops what has lapsed and, where there is too much, sessions that a browser has, the
// least recently used first. What no browser has stays, up to twice the number.
func (s *States) makeRoom(now int64) {
	e := s.uses.Front()
	for range 8 {
		if e == nil {
			return
		}
		h := e.Value.(*held)
		e = e.Next()
		if now >= h.expires || len(s.held) >= s.max && (h.gone != nil || h.carried >= h.counter) || len(s.held) >= 2*s.max {
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
		h.expires = after(now, r.TTL)
	}
}

// end puts a tombstone in the place of the held state.
func (h *held) end(gone *store.GoneError, now int64) {
	until := after(now, max(gone.Stands, store.DefaultTombstoneLife))
	if h.expires != forever || h.carried > 0 || h.gone != nil {
		until = max(until, h.expires)
	}
	h.expires, h.record = until, store.Record{}
	h.gone = &tombstone{why: gone.Reason, of: gone.Incarnation}
	if gone.Remainder != nil {
		h.gone.left, h.gone.remains = gone.Remainder.Clone(), after(now, gone.Remainder.TTL)
	}
}

// tombstone returns how the session ended, nil when it has not.
func (h *held) tombstone(now int64) *store.GoneError {
	if h.gone == nil {
		return nil
	}
	gone := &store.GoneError{Reason: h.gone.why, Incarnation: h.gone.of, Stands: between(now, h.expires)}
	if h.gone.left != nil && now < h.gone.remains {
		gone.Remainder = h.gone.left.Clone()
		gone.Remainder.TTL = between(now, h.gone.remains)
	}
	return gone
}

// after returns the instant that is d, rounded up, after now; forever beyond the last one.
func after(now int64, d time.Duration) int64 {
	us := d.Microseconds()
	if d%time.Microsecond > 0 {
		us++
	}
	if us >= forever-now {
		return forever
	}
	return now + us
}

// between returns how long it is from now to an instant; not more than a Duration holds.
func between(now, then int64) time.Duration {
	return time.Duration(min(then-now, math.MaxInt64/1000)) * time.Microsecond
}

func clone(r store.Record) store.Record {
	r.Index, r.Sealed, r.Release = slices.Clone(r.Index), slices.Clone(r.Sealed), ""
	return r
}
