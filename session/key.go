package session

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
)

// Key names a session's record in a store: the SHA-256 of the session
// identifier (by default `_a0_session`) and the session id. The id itself never
// reaches a store, so a copied database opens no session. A Key may be logged.
type Key [sha256.Size]byte

// KeyOf returns the Key of the session id under the given identifier.
func KeyOf(identifier, id string) Key {
	h := sha256.New()
	h.Write([]byte(identifier))
	h.Write([]byte{0})
	h.Write([]byte(id))
	var k Key
	h.Sum(k[:0])
	return k
}

// String returns k as 64 lower-case hexadecimal digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// IsZero reports whether k names no session.
func (k Key) IsZero() bool { return k == Key{} }

// Version names one written state of a record. The writer draws it at random. It
// never repeats, and so lets a writer whose call has failed recognise its own write.
type Version [16]byte

// NewVersion draws a Version. Like every draw in this package it panics if random
// fails, which crypto/rand.Reader never does: a session must not go on with an
// identity that another may have.
func NewVersion(random io.Reader) (v Version) {
	draw(random, v[:])
	return v
}

// IsZero reports whether v is no version.
func (v Version) IsZero() bool { return v == Version{} }

// String returns v in hexadecimal.
func (v Version) String() string { return hex.EncodeToString(v[:]) }

// Incarnation names one login: drawn at random when a session begins and kept
// by every refresh. It is the generation of a session across processes. The
// zero Incarnation stands for "any".
type Incarnation [16]byte

// NewIncarnation draws an Incarnation. It panics if random fails.
func NewIncarnation(random io.Reader) (i Incarnation) {
	draw(random, i[:])
	return i
}

// IsZero reports whether i stands for "any".
func (i Incarnation) IsZero() bool { return i == Incarnation{} }

// String returns i in hexadecimal.
func (i Incarnation) String() string { return hex.EncodeToString(i[:]) }

// Generation counts the logins and deletions of a session inside one process.
// Work that was started for one generation means nothing to the next.
type Generation uint64

// Reason says why a session ended.
type Reason string

// The reasons for which a session ends.
const (
	ReasonLogout            Reason = "logout"             // the user signed out
	ReasonBackchannelLogout Reason = "backchannel_logout" // the provider said so
	ReasonAdministration    Reason = "administration"     // the application or a security event said so (EndSessions)
	ReasonCeiling           Reason = "ceiling"            // session_expiry was reached
	ReasonRevoked           Reason = "revoked"            // the provider refuses the refresh token for good
	ReasonReplaced          Reason = "replaced"           // a new login took its place
	ReasonLifetime          Reason = "lifetime"           // its own absolute lifetime was over
)

const alphanumerics = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// RandomString draws n characters of A-Z, a-z and 0-9, each equally likely: 5.95
// bits a character. It panics if random fails.
func RandomString(random io.Reader, n int) string {
	// Bytes from the last, incomplete multiple of 62 on are thrown away, else
	// the first characters of the alphabet would come more often.
	const limit = 256 / len(alphanumerics) * len(alphanumerics)

	s := make([]byte, 0, n)
	buf := make([]byte, n+n/16+1)
	for len(s) < n {
		draw(random, buf)
		for _, b := range buf {
			if int(b) < limit && len(s) < n {
				s = append(s, alphanumerics[int(b)%len(alphanumerics)])
			}
		}
	}
	return string(s)
}

func draw(random io.Reader, b []byte) {
	if _, err := io.ReadFull(random, b); err != nil {
		panic("session: the source of randomness failed: " + err.Error())
	}
}
