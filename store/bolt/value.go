package bolt

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A value of format 2 is: the format number, what it is (one byte each), its body, when
// it was written or touched, when it expires, where it is listed in the expiry index (8 bytes each, the most
// significant first), and the CRC-32C of its key and all of that (4 bytes). What a
// Touch changes stands at the end, so that the caller can prepare the rest. A value of format 1 does not say when it was
// written.
const (
	valueFormat = 2
	headLen     = 2
	tailLen     = 8 + 8 + 4
	usedLen     = 8 // before the tail
)

// What a value is.
const (
	kindRecord      = 'r' // body: store.MarshalRecord
	kindTombstone   = 't' // body: the reason; of file format 1
	kindEnded       = 'e' // body: a tombstone, see there
	kindIntent      = 'i' // body: the token's hash, epoch and time
	kindTransaction = 'x' // body: the data
)

// forever is the instant that never comes, in both units: instants are microseconds
// since the Unix epoch, slots are minutes.
const forever = math.MaxInt64

// slotLen is how long a slot of the expiry index is, in microseconds.
const slotLen = int64(time.Minute / time.Microsecond)

// slotOf returns the first slot whose beginning is after the instant: all that is listed there
// has lapsed when the slot begins.
func slotOf(instant int64) int64 {
	if instant == forever {
		return forever
	}
	slot := instant / slotLen
	if instant%slotLen < 0 {
		slot--
	}
	return slot + 1
}

// after returns the instant that is d, rounded up, after now.
func after(now int64, d time.Duration) int64 {
	us := d.Microseconds()
	if d%time.Microsecond > 0 {
		us++
	}
	return now + us
}

// expiry is when what has this TTL lapses: never when it is 0.
func expiry(now int64, ttl time.Duration) int64 {
	if ttl <= 0 {
		return forever
	}
	return after(now, ttl)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(key session.Key, b []byte) uint32 {
	return crc32.Update(crc32.Checksum(key[:], castagnoli), castagnoli, b)
}

// draft is a value that lacks its end.
type draft struct {
	b   []byte
	sum uint32
}

func newDraft(key session.Key, kind byte, body []byte) draft {
	b := make([]byte, 0, headLen+len(body)+usedLen+tailLen)
	b = append(b, valueFormat, kind)
	b = append(b, body...)
	return draft{b, checksum(key, b)}
}

// finish returns the value. It is called once.
func (d draft) finish(used, expires, listed int64) []byte {
	b := binary.BigEndian.AppendUint64(d.b, uint64(used))
	b = binary.BigEndian.AppendUint64(b, uint64(expires))
	b = binary.BigEndian.AppendUint64(b, uint64(listed))
	return binary.BigEndian.AppendUint32(b, crc32.Update(d.sum, castagnoli, b[len(d.b):]))
}

// value is a stored value.
type value struct {
	kind    byte
	body    []byte // not a copy
	used    int64  // the instant at which it was written or touched; 0: format 1
	expires int64  // an instant
	listed  int64  // a slot; forever: it is not listed
}

// decode returns the value in b, which was stored under key. It fails with a
// *store.UnreadableError.
func decode(key session.Key, b []byte) (value, error) {
	switch {
	case len(b) == 0 || b[0] == 0:
		return value{}, &store.UnreadableError{Why: store.Corrupt}
	case b[0] > valueFormat:
		return value{}, &store.UnreadableError{Why: store.NewerFormat, Format: b[0]}
	case len(b) < headLen+tailLen:
		return value{}, &store.UnreadableError{Why: store.Corrupt, Format: b[0]}
	}
	tail := b[len(b)-tailLen:]
	if checksum(key, b[:len(b)-4]) != binary.BigEndian.Uint32(tail[16:]) {
		return value{}, &store.UnreadableError{Why: store.Corrupt, Format: b[0]}
	}
	v := value{
		kind:    b[1],
		body:    b[headLen : len(b)-tailLen],
		expires: int64(binary.BigEndian.Uint64(tail)),
		listed:  int64(binary.BigEndian.Uint64(tail[8:])),
	}
	if b[0] > 1 {
		if len(v.body) < usedLen {
			return value{}, &store.UnreadableError{Why: store.Corrupt, Format: b[0]}
		}
		v.used = int64(binary.BigEndian.Uint64(v.body[len(v.body)-usedLen:]))
		v.body = v.body[:len(v.body)-usedLen]
	}
	return v, nil
}
