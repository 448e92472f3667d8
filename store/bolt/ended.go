package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// End implements store.StateStore. What cannot be read is of no known incarnation: only an End of
// any removes it.
func (s *Store) End(ctx context.Context, key session.Key, only session.Incarnation, e store.Ending, _ store.Options) error {
	if e.Remainder != nil {
		e.Remainder = e.Remainder.Clone() // for the caller may be gone before it is written
	}
	return s.change(ctx, key, func(c *change) error { return c.end(key, only, e, s.tombstones) })
}

// EndAll implements store.BatchEnder. All of them are written together, as calls that wait together are.
func (s *Store) EndAll(ctx context.Context, refs []store.Ref, e store.Ending, _ store.Options) (left []store.Ref, err error) {
	requests := make([]*request, 0, len(refs))
	for _, r := range refs {
		request, refused := s.ask(ctx, r.Key, func(c *change) error { return c.end(r.Key, r.Incarnation, e, s.tombstones) })
		if refused != nil {
			err = refused
			break
		}
		requests = append(requests, request)
	}
	for i, r := range requests {
		switch one := s.await(ctx, r); {
		case errors.Is(one, store.ErrConflict):
			left = append(left, refs[i])
		case one != nil:
			err = one
		}
	}
	if err != nil {
		return nil, err
	}
	return left, ctx.Err()
}

// end ends a session, as store.Ending.Over decides.
func (c *change) end(key session.Key, only session.Incarnation, e store.Ending, least time.Duration) error {
	old := c.session(key)
	var living *store.Record
	var gone *store.GoneError
	switch {
	case old.lapsed(c.now):
		return nil
	case old.err != nil && !only.IsZero():
		return nil
	case old.err != nil || old.kind == kindRecord:
		living = &old.record
	default:
		gone = old.tombstone(c.now)
	}
	next, err := e.Over(only, living, gone)
	if next != nil {
		next.Stands = max(next.Stands, least)
		c.bury(key, old, next)
	}
	return err
}

// bury puts a tombstone where something was.
func (c *change) bury(key session.Key, old found, gone *store.GoneError) {
	until := after(c.now, gone.Stands)
	var values []store.IndexValue
	if gone.Remainder != nil {
		values = gone.Remainder.Index
	}
	c.index(key, old, values, 0)
	c.clearIntent(key)
	if until <= c.now {
		c.sessions().drop(key, old.stored)
		return
	}
	c.sessions().keep(key, old.stored, newDraft(key, kindEnded, marshalTombstone(gone, c.now)), until)
}

// tombstone is what stands in the place of a session that has ended. Until when it stands the
// value says.
type tombstone struct {
	reason  session.Reason
	of      session.Incarnation // zero in file format 1
	remains int64               // until when there is a remainder; 0: there is none
	version session.Version     // of the remainder, as what follows
	index   []store.IndexValue
	sealed  []byte // not a copy
}

// A tombstone is kept as: the incarnation; until when there is a remainder (8 bytes, the most
// significant first), its version; the number of its index values (4 bytes), the values; the length of the
// reason (1 byte), the reason; and up to the end the sealed state.
const tombstoneMin = 16 + 8 + 16 + 4 + 1

func marshalTombstone(gone *store.GoneError, now int64) []byte {
	r, remains := gone.Remainder, int64(0)
	if r != nil {
		remains = after(now, r.TTL)
	} else {
		r = &store.Remainder{}
	}
	why := gone.Reason[:min(len(gone.Reason), math.MaxUint8)]
	b := make([]byte, 0, tombstoneMin+len(r.Index)*len(store.IndexValue{})+len(why)+len(r.Sealed))
	b = append(b, gone.Incarnation[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(remains))
	b = append(b, r.Version[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Index)))
	for _, v := range r.Index {
		b = append(b, v[:]...)
	}
	b = append(b, byte(len(why)))
	b = append(b, why...)
	return append(b, r.Sealed...)
}

func unmarshalTombstone(b []byte) (t tombstone, err error) {
	corrupt := &store.UnreadableError{Why: store.Corrupt, Format: valueFormat}
	if len(b) < tombstoneMin {
		return t, corrupt
	}
	b = b[copy(t.of[:], b):]
	t.remains = int64(binary.BigEndian.Uint64(b))
	b = b[8:]
	b = b[copy(t.version[:], b):]
	values := int(binary.BigEndian.Uint32(b))
	b = b[4:]
	if len(b)/len(store.IndexValue{}) < values {
		return t, corrupt
	}
	for range values {
		t.index = append(t.index, store.IndexValue(b))
		b = b[len(store.IndexValue{}):]
	}
	if len(b) == 0 || len(b) <= int(b[0]) {
		return t, corrupt
	}
	t.reason = session.Reason(b[1 : 1+b[0]])
	t.sealed = b[1+int(b[0]):]
	return t, nil
}

// tombstone returns a copy of the tombstone as it stands now.
func (f found) tombstone(now int64) *store.GoneError {
	gone := &store.GoneError{Reason: f.gone.reason, Incarnation: f.gone.of, Stands: between(now, f.expires)}
	if now < f.gone.remains {
		gone.Remainder = &store.Remainder{
			Version: f.gone.version, Index: f.gone.index, Sealed: bytes.Clone(f.gone.sealed), TTL: between(now, f.gone.remains),
		}
	}
	return gone
}

// between returns how long it is from now to an instant; not more than a Duration holds.
func between(now, then int64) time.Duration {
	return time.Duration(min(then-now, math.MaxInt64/1000)) * time.Microsecond
}
