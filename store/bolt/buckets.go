package bolt

import (
	"encoding/binary"

	"go.etcd.io/bbolt"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// The buckets of the file. The keys of an index say everything, its values are empty.
var (
	metaBucket         = []byte("meta")                 // the format of the file
	sessionBucket      = []byte("sessions")             // key: value
	intentBucket       = []byte("intents")              // key: value
	transactionBucket  = []byte("transactions")         // SHA-256 of the key: value; its sequence is their number
	valueIndex         = []byte("index values")         // index value, key; of records and of remainders
	ceilingIndex       = []byte("ceilings")             // ceiling, key; of records that have one
	sessionExpiries    = []byte("session expiries")     // slot, key; of records and tombstones that expire
	transactionExpires = []byte("transaction expiries") // slot, key

	allBuckets = [][]byte{
		metaBucket, sessionBucket, intentBucket, transactionBucket,
		valueIndex, ceilingIndex, sessionExpiries, transactionExpires,
	}
)

// placeLen is the length of a key of an index that is ordered by a number.
const placeLen = 8 + len(session.Key{})

// placeKey returns the key of an ordered index, for a ceiling or a slot. The order of
// the bytes is that of the numbers, negative ones included.
func placeKey(n int64, key session.Key) []byte {
	b := make([]byte, 0, placeLen)
	b = binary.BigEndian.AppendUint64(b, uint64(n)^1<<63)
	return append(b, key[:]...)
}

// place takes a key of an ordered index apart. It is not ok if it is none.
func place(b []byte) (n int64, key session.Key, ok bool) {
	if len(b) != placeLen {
		return 0, key, false
	}
	return int64(binary.BigEndian.Uint64(b) ^ 1<<63), session.Key(b[8:]), true
}

func valueKey(v store.IndexValue, key session.Key) []byte {
	b := make([]byte, 0, len(v)+len(key))
	b = append(b, v[:]...)
	return append(b, key[:]...)
}

// view is the file at one moment.
type view struct {
	tx  *bbolt.Tx
	now int64
}

// stored is what stands under a key.
type stored struct {
	value
	there bool
	err   error // why it cannot be read
}

// read returns what b has under key. Whatever is wrong with it is wrong with that key
// alone, also when touching it fails because the file was cut off.
func (v view) read(bucket []byte, key session.Key) (s stored) {
	b := v.tx.Bucket(bucket).Get(key[:])
	if b == nil {
		return stored{}
	}
	defer func() {
		if recover() != nil {
			s = stored{there: true, err: &store.UnreadableError{Why: store.Corrupt}}
		}
	}()
	s.there = true
	s.value, s.err = decode(key, b)
	return s
}

// lapsed reports whether nothing is there, or nothing that still counts.
func (s stored) lapsed(now int64) bool {
	return !s.there || s.err == nil && now >= s.expires
}

// found is what stands under the key of a session.
type found struct {
	stored
	record store.Record // of kindRecord
	gone   tombstone    // of kindTombstone and kindEnded
}

func (v view) session(key session.Key) found { return v.read(sessionBucket, key).session() }

func (s stored) session() found {
	f := found{stored: s}
	switch {
	case !s.there || s.err != nil:
	case s.kind == kindRecord:
		f.record, f.err = store.UnmarshalRecord(s.body)
	case s.kind == kindTombstone:
		f.gone.reason = session.Reason(s.body)
	case s.kind == kindEnded:
		f.gone, f.err = unmarshalTombstone(s.body)
	default:
		f.err = &store.UnreadableError{Why: store.Corrupt}
	}
	return f
}

// living returns the record, or the error that says there is none.
func (f found) living(now int64) (store.Record, error) {
	switch {
	case f.err != nil:
		return store.Record{}, f.err
	case f.lapsed(now):
		return store.Record{}, store.ErrNotFound
	case f.kind != kindRecord:
		return store.Record{}, f.tombstone(now)
	}
	return f.record, nil
}

// values returns under what it is found.
func (f found) values() []store.IndexValue {
	if f.kind == kindEnded {
		return f.gone.index
	}
	return f.record.Index
}

// ref returns what points to a living record, or to what a ceiling left.
func (f found) ref(key session.Key, now int64) (r store.Ref, ok bool) {
	switch {
	case f.err != nil || f.lapsed(now):
		return r, false
	case f.kind == kindRecord:
		return store.Ref{
			Key: key, Incarnation: f.record.Incarnation, Ceiling: f.record.Ceiling, Connections: f.record.Connections,
		}, true
	}
	return store.Ref{Key: key, Incarnation: f.gone.of, Connections: true, Ended: true}, now < f.gone.remains
}
