package store

import (
	"encoding/binary"

	"github.com/tokenward/tokenward/session"
)

// A record of format 2 is: the format number, version, incarnation, epoch and
// ceiling (8 bytes each, the most significant first), the number of index values (4
// bytes), the values, a byte of flags, and up to the end the sealed state. Format 1 has no
// flags: such a record may hold connection tokens.
const (
	recordFormat    = 2
	recordMin       = 1 + 16 + 16 + 8 + 8 + 4
	flagConnections = 1
)

// MarshalRecord returns r, but for its TTL, Release and KeepIntent, as bytes, for stores that keep one
// value for each key. The bytes are stable: every release reads those of the releases before
// it.
func MarshalRecord(r Record) []byte {
	b := make([]byte, 0, recordMin+1+len(r.Index)*len(IndexValue{})+len(r.Sealed))
	b = append(b, recordFormat)
	b = append(b, r.Version[:]...)
	b = append(b, r.Incarnation[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Ceiling))
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Index)))
	for _, v := range r.Index {
		b = append(b, v[:]...)
	}
	var flags byte
	if r.Connections {
		flags |= flagConnections
	}
	b = append(b, flags)
	return append(b, r.Sealed...)
}

// UnmarshalRecord returns the record in b, of which it keeps nothing. It fails with
// an *UnreadableError.
func UnmarshalRecord(b []byte) (Record, error) {
	switch {
	case len(b) == 0 || b[0] == 0:
		return Record{}, &UnreadableError{Why: Corrupt}
	case b[0] > recordFormat:
		return Record{}, &UnreadableError{Why: NewerFormat, Format: b[0]}
	case len(b) < recordMin:
		return Record{}, &UnreadableError{Why: Corrupt, Format: b[0]}
	}
	format := b[0]
	corrupt := &UnreadableError{Why: Corrupt, Format: format}
	var r Record
	b = b[1:]
	b = b[copy(r.Version[:], b):]
	b = b[copy(r.Incarnation[:], b):]
	r.Epoch = int64(binary.BigEndian.Uint64(b))
	r.Ceiling = session.Ceiling(binary.BigEndian.Uint64(b[8:]))
	values := int(binary.BigEndian.Uint32(b[16:]))
	b = b[20:]
	if len(b)/len(IndexValue{}) < values {
		return Record{}, corrupt
	}
	for range values {
		r.Index = append(r.Index, IndexValue(b))
		b = b[len(IndexValue{}):]
	}
	r.Connections = true
	if format > 1 {
		if len(b) == 0 || b[0]&^flagConnections != 0 {
			return Record{}, corrupt
		}
		r.Connections = b[0]&flagConnections != 0
		b = b[1:]
	}
	r.Sealed = append(r.Sealed, b...)
	return r, nil
}
