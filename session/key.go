package session

import (
	"crypto/sha256"
	"encoding/hex"
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

// Version names one written state of a record. It is drawn at random by whoever
// writes, never repeats, and so lets a writer in doubt recognise its own write.
type Version [16]byte

// Incarnation names one login: drawn at random when a session begins and kept
// by every refresh. It is the generation of a session across processes. The
// zero Incarnation stands for "any".
type Incarnation [16]byte

// Generation counts the logins and deletions of a session inside one process.
// What was started for one generation means nothing to the next.
type Generation uint64

// Reason says why a session ended.
type Reason string

// The reasons for which a session ends.
const (
	ReasonLogout            Reason = "logout"             // the user signed out
	ReasonBackchannelLogout Reason = "backchannel_logout" // the provider said so
	ReasonCeiling           Reason = "ceiling"            // session_expiry was reached
	ReasonReplaced          Reason = "replaced"           // a new login took its place
)
