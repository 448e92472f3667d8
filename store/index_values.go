package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"io"

	"github.com/tokenward/tokenward/session"
)

// What an index value is made of besides the issuer.
const (
	bySID = "sid"
	bySub = "sub"
)

// IndexValues returns the values under which a session is to be found: one for
// issuer and sid, one for issuer and sub, under the first secret. An empty sid or sub
// gives none, an empty issuer none at all. An issuer and its domain are the same.
func (s *Sealer) IndexValues(issuer, sid, sub string) []IndexValue {
	return append(s.indexed(s.keys[:1], bySID, issuer, sid), s.indexed(s.keys[:1], bySub, issuer, sub)...)
}

// LookupSID returns the values under which sessions of issuer with this sid may
// be found: one for each secret, for a record keeps the values of the secret that
// was first when it was written.
func (s *Sealer) LookupSID(issuer, sid string) []IndexValue {
	return s.indexed(s.keys, bySID, issuer, sid)
}

// LookupSub is LookupSID for a sub.
func (s *Sealer) LookupSub(issuer, sub string) []IndexValue {
	return s.indexed(s.keys, bySub, issuer, sub)
}

func (s *Sealer) indexed(keys []*sealerKey, by, issuer, value string) []IndexValue {
	if issuer == "" || value == "" {
		return nil
	}
	values := make([]IndexValue, len(keys))
	for i, k := range keys {
		h := hmac.New(sha256.New, k.index)
		for _, part := range []string{by, session.NormalIssuer(issuer), value} {
			var size [8]byte // so that no two questions write the same bytes
			binary.BigEndian.PutUint64(size[:], uint64(len(part)))
			h.Write(size[:])
			_, _ = io.WriteString(h, part)
		}
		h.Sum(values[i][:0])
	}
	return values
}
