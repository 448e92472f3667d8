package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/tokenward/tokenward/session"
)

// What an index value is made of besides the issuer.
const (
	bySID    = "sid"
	bySub    = "sub"
	byIssuer = "issuer"
	byEmail  = "email"
)

// IndexValues returns the values under which a session is to be found, under the first secret: for issuer and
// sid, for issuer and sub, for the issuer alone, and for issuer and email. An empty sid, sub or email
// gives none, an empty issuer none at all: so there are at most four. An issuer and its domain are the same. The email is
// one that the provider has verified; letter case makes no difference.
func (s *Sealer) IndexValues(issuer, sid, sub, email string) []IndexValue {
	if issuer == "" {
		return nil
	}
	issuer = session.NormalIssuer(issuer)
	var values []IndexValue
	for _, v := range [...]struct{ by, value string }{{bySID, sid}, {bySub, sub}, {byIssuer, issuer}, {byEmail, session.NormalEmail(email)}} {
		if v.value == "" {
			continue
		}
		if values == nil {
			values = make([]IndexValue, 0, 4)
		}
		values = append(values, s.keys[0].indexed(v.by, issuer, v.value))
	}
	return values
}

// LookupSID returns the values under which sessions of issuer with this sid may
// be found: one for each secret, for a record keeps the values of the secret that
// was first when it was written.
func (s *Sealer) LookupSID(issuer, sid string) []IndexValue {
	return s.indexed(bySID, issuer, sid)
}

// LookupSub is LookupSID for a sub.
func (s *Sealer) LookupSub(issuer, sub string) []IndexValue {
	return s.indexed(bySub, issuer, sub)
}

// LookupIssuer is LookupSID for all sessions of an issuer.
func (s *Sealer) LookupIssuer(issuer string) []IndexValue {
	return s.indexed(byIssuer, issuer, session.NormalIssuer(issuer))
}

// LookupEmail is LookupSID for an email that the provider has verified, in any letter case.
func (s *Sealer) LookupEmail(issuer, email string) []IndexValue {
	return s.indexed(byEmail, issuer, session.NormalEmail(email))
}

func (s *Sealer) indexed(by, issuer, value string) []IndexValue {
	if issuer == "" || value == "" {
		return nil
	}
	values := make([]IndexValue, len(s.keys))
	for i, k := range s.keys {
		values[i] = k.indexed(by, session.NormalIssuer(issuer), value)
	}
	return values
}

// indexHash is the HMAC of one key, and what it reads and writes.
type indexHash struct {
	hash.Hash
	text []byte
}

func (k *sealerKey) indexed(by, issuer, value string) (v IndexValue) {
	h, ok := k.hashes.Get().(*indexHash)
	if !ok {
		h = &indexHash{Hash: hmac.New(sha256.New, k.index)}
	}
	h.text = h.text[:0]
	for _, part := range []string{by, issuer, value} {
		h.text = binary.BigEndian.AppendUint64(h.text, uint64(len(part))) // so that no two questions write the same bytes
		h.text = append(h.text, part...)
	}
	h.Reset()
	_, _ = h.Write(h.text)
	h.text = h.Sum(h.text[:0])
	copy(v[:], h.text)
	k.hashes.Put(h)
	return v
}
