package store

import (
	"encoding/hex"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Codec turns states into records and back. It is safe for concurrent use.
type Codec struct {
	Sealer *Sealer

	// Domain is the configured domain or issuer, for states that name none; empty
	// where domains come from a resolver.
	Domain string
}

// Encode returns the record of s as it is kept under key, sealed, with the ceiling
// and the index values beside it in clear. Epoch and TTL are left to the
// caller.
func (c *Codec) Encode(key session.Key, s *session.State, v session.Version, in session.Incarnation) (Record, error) {
	return new(Encoder).Encode(c, key, s, v, in)
}

// Encoder encodes the states of one session as they follow each other, and derives nothing
// again that has stayed the same. The zero Encoder is ready to use, by one goroutine at a time.
type Encoder struct {
	domain, sid string           // that index was derived of
	user        *session.RawUser // not printed with an Encoder
	index       []IndexValue
}

// Encode is Codec.Encode.
func (e *Encoder) Encode(c *Codec, key session.Key, s *session.State, v session.Version, in session.Incarnation) (Record, error) {
	plain := plaintexts.Get().(*plaintext)
	defer plain.done()
	text, err := session.AppendState(plain.buffer[:0], s)
	if err != nil {
		return Record{}, err
	}
	plain.buffer = text
	var ceiling session.Ceiling
	if s.Internal.Ceiling.Legal() {
		ceiling = s.Internal.Ceiling
	}
	domain, sid := s.SessionDomain(c.Domain), s.Internal.SID
	if e.index == nil || domain != e.domain || sid != e.sid || *e.user != s.User {
		user := s.User
		e.domain, e.sid, e.user = domain, sid, &user
		e.index = c.Sealer.IndexValues(session.IssuerOf(domain), sid, s.User.Sub(), s.User.VerifiedEmail())
	}
	return Record{
		Version:     v,
		Incarnation: in,
		Ceiling:     ceiling,
		Index:       slices.Clone(e.index),
		Connections: len(s.ConnectionTokenSets) > 0,
		Sealed:      c.Sealer.Seal(binding(recordUse, key), text),
	}, nil
}

// plaintext is room for a state on its way to being sealed. It keeps nothing of that.
type plaintext struct{ buffer []byte }

var plaintexts = sync.Pool{New: func() any { return new(plaintext) }}

func (p *plaintext) done() {
	const kept = 64 << 10 // a longer one is not kept for the next
	if clear(p.buffer[:cap(p.buffer)]); cap(p.buffer) <= kept {
		plaintexts.Put(p)
	}
}

// Decode returns the state in r, which was kept under key. It fails with an
// *UnreadableError when r cannot be opened or holds no state: the session
// is left where it is.
func (c *Codec) Decode(key session.Key, r Record) (*session.State, error) {
	return c.open(binding(recordUse, key), r.Sealed)
}

func (c *Codec) open(binding string, sealed []byte) (*session.State, error) {
	plain, err := c.Sealer.Open(binding, sealed)
	if err != nil {
		return nil, err
	}
	s, err := session.DecodeState(plain)
	if err != nil {
		return nil, &UnreadableError{Why: Corrupt, Format: sealed[0], Err: err}
	}
	return s, nil
}

// EncodeRemainder returns what s leaves at its ceiling, sealed and indexed as a record of key
// is: the connection tokens that have not expired at now (State.Remainder), and the issuer, the sid and the sub that
// a logout names. Of the user it has no more, so no email finds it. It is nil, with a nil error, where there are none.
func (c *Codec) EncodeRemainder(key session.Key, s *session.State, v session.Version, now time.Time) (*Remainder, error) {
	left := s.Remainder(now)
	if left == nil {
		return nil, nil
	}
	domain, sid, sub := s.SessionDomain(c.Domain), s.Internal.SID, s.User.Sub()
	left.Internal.SID = sid
	if sub != "" {
		left.User = session.User{"sub": sub}.Raw()
	}
	text, err := session.EncodeState(left)
	if err != nil {
		return nil, err
	}
	var last int64
	for _, set := range left.ConnectionTokenSets {
		last = max(last, set.ExpiresAt)
	}
	seconds := min(last-now.Unix(), math.MaxInt64/int64(time.Second))
	return &Remainder{
		Version: v,
		Index:   c.Sealer.IndexValues(session.IssuerOf(domain), sid, sub, ""),
		Sealed:  c.Sealer.Seal(binding(remainderUse, key), text),
		TTL:     time.Duration(seconds) * time.Second,
	}, nil
}

// DecodeRemainder returns the state in r, which was kept under key: connection tokens, and by
// what a logout finds them. It fails with an *UnreadableError. Tokens that have expired
// since are still in it.
func (c *Codec) DecodeRemainder(key session.Key, r *Remainder) (*session.State, error) {
	return c.open(binding(remainderUse, key), r.Sealed)
}

// Uses of a key, so that neither envelope opens in the place of the other.
const (
	recordUse    = "session:"
	remainderUse = "remainder:"
)

func binding(use string, key session.Key) string {
	var room [len(remainderUse) + 2*len(key)]byte
	return string(hex.AppendEncode(append(room[:0], use...), key[:]))
}

// TTL returns the Record.TTL of a session that ends at its ceiling, or when life
// has passed from now, whichever is first: an hour more than that. After a ceiling its tombstone is to stand: the
// record is kept for as long, so that a process that comes late finds what to bury. A life of 0 is
// no limit; without any limit the TTL is 0.
func TTL(now time.Time, ceiling session.Ceiling, stands, life time.Duration) time.Duration {
	const spare = time.Hour
	if ceiling.Legal() {
		left := max(0, int64(ceiling)-now.Unix())
		if left < math.MaxInt64/int64(time.Second) { // else longer than a Duration holds
			d := time.Duration(left) * time.Second
			if d <= math.MaxInt64-stands {
				d += stands
			}
			if life <= 0 || d < life {
				life = max(d, 1) // 0 would be no limit
			}
		}
	}
	switch {
	case life <= 0:
		return 0
	case life > math.MaxInt64-spare:
		return math.MaxInt64
	}
	return life + spare
}
