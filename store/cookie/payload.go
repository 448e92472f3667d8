package cookie

import (
	"encoding/binary"

	"github.com/tokenward/tokenward/store"
)

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
