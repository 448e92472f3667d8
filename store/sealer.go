package store

import (
	"crypto/hkdf"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"sync"

	"github.com/tokenward/tokenward/session"
)

// minSecret is the length in bytes below which a secret is refused.
const minSecret = 32

// An envelope of format 1 is: the format number, the id of the key, a random
// nonce, and the XAES-256-GCM ciphertext with its tag. The additional data is what
// stands before the nonce, then the binding.
const (
	envelopeFormat = 1
	keyIDSize      = 8
	headerSize     = 1 + keyIDSize
	envelopeMin    = headerSize + xaesNonceSize + xaesOverhead
)

// Labels of the keys that are derived from a secret. A label names one use for ever.
const (
	sealLabel  = "tokenward seal 1"
	keyIDLabel = "tokenward key id"
	indexLabel = "tokenward index"
)

// Sealer encrypts all that is kept outside this process, so that it can be neither
// read nor changed nor moved there. It is safe for concurrent use.
//
// It uses XAES-256-GCM, with keys derived from the secrets by HKDF-SHA-256. The half of
// its random nonce that makes a message key is drawn anew for every 1,024th message,
// the other half for each: of 2^48 messages under one secret two have the same nonce
// with a probability of 2^-39, where AES-GCM would call for a new secret after 2^32. It needs
// nothing beyond the standard library, and keeps the hardware's AES.
//
// To change a secret: add the new one second, everywhere; then move it first; then
// drop the old one when the longest session under it has ended.
type Sealer struct {
	keys []*sealerKey // the first seals, all open

	mu   sync.Mutex // guards rand
	rand io.Reader  // nil: crypto/rand
}

type sealerKey struct {
	id     [keyIDSize]byte
	aead   *xaes
	index  []byte
	hashes sync.Pool // of *indexHash, under index
}

// NewSealer returns a Sealer over the secrets, of which the first seals and all
// open. The identifier (by default `_a0_session`) goes into every key: an
// envelope sealed under one identifier opens under no other.
//
// The nonces come from rand, or from crypto/rand when it is nil, as outside of tests
// it must be: two sealers that read the same numbers betray what they seal. Where
// rand fails, crypto/rand takes its place.
//
// Without a secret it fails with a *session.MissingRequiredArgumentError, with one
// shorter than minSecret with a *session.ConfigurationError.
func NewSealer(identifier string, rand io.Reader, secrets ...string) (*Sealer, error) {
	if len(secrets) == 0 || len(secrets) == 1 && secrets[0] == "" {
		return nil, &session.MissingRequiredArgumentError{Argument: "secret"}
	}
	s := &Sealer{rand: rand}
	for i, secret := range secrets {
		if len(secret) < minSecret {
			return nil, &session.ConfigurationError{Message: fmt.Sprintf(
				"secret %d of %d has %d bytes; it must have %d or more, drawn at random", i+1, len(secrets), len(secret), minSecret)}
		}
		key, err := newSealerKey(secret, identifier)
		if err != nil {
			return nil, &session.ConfigurationError{Message: fmt.Sprintf("secret %d of %d cannot be used", i+1, len(secrets)), Err: err}
		}
		if s.key(key.id[:]) == nil {
			s.keys = append(s.keys, key)
		}
	}
	return s, nil
}

func newSealerKey(secret, identifier string) (*sealerKey, error) {
	derive := func(label string, size int) ([]byte, error) {
		return hkdf.Key(sha256.New, []byte(secret), []byte(identifier), label, size)
	}
	seal, err := derive(sealLabel, xaesKeySize)
	if err != nil {
		return nil, err
	}
	id, err := derive(keyIDLabel, keyIDSize)
	if err != nil {
		return nil, err
	}
	index, err := derive(indexLabel, sha256.Size)
	if err != nil {
		return nil, err
	}
	aead, err := newXAES(seal)
	if err != nil {
		return nil, err
	}
	k := &sealerKey{aead: aead, index: index}
	copy(k.id[:], id)
	return k, nil
}

// key returns the key with the given id, or nil.
func (s *Sealer) key(id []byte) *sealerKey {
	for _, k := range s.keys {
		if string(k.id[:]) == string(id) {
			return k
		}
	}
	return nil
}

// Seal encrypts plaintext so that it opens under the same binding only. A binding
// says what the value is and where it stands, such as "session:" and the record's
// key; it is not secret and not part of the result.
func (s *Sealer) Seal(binding string, plaintext []byte) []byte {
	k := s.keys[0]
	out := make([]byte, headerSize, envelopeMin+len(plaintext))
	out[0] = envelopeFormat
	copy(out[1:], k.id[:])
	sealed, err := k.aead.seal(out, plaintext, additional(out, binding), s.fill)
	if err != nil {
		panic("store: sealing: " + err.Error()) // the key's size was checked when it was made
	}
	return sealed
}

// Open decrypts what Seal returned for the same binding, under any of the secrets. It
// fails with an *UnreadableError, which says why and matches ErrUnreadable.
func (s *Sealer) Open(binding string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] == 0 {
		return nil, &UnreadableError{Why: Corrupt}
	}
	format := sealed[0]
	if format > envelopeFormat {
		return nil, &UnreadableError{Why: NewerFormat, Format: format}
	}
	if len(sealed) < envelopeMin {
		return nil, &UnreadableError{Why: Corrupt, Format: format}
	}
	header, rest := sealed[:headerSize], sealed[headerSize:]
	k := s.key(header[1:])
	if k == nil {
		return nil, &UnreadableError{Why: UnknownKey, Format: format}
	}
	plaintext, err := k.aead.open(rest[:xaesNonceSize], rest[xaesNonceSize:], additional(header, binding))
	if err != nil {
		return nil, &UnreadableError{Why: Corrupt, Format: format, Err: err}
	}
	return plaintext, nil
}

// Format prints the id of the key that seals, whatever the verb.
func (s *Sealer) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "store.Sealer(key "+hex.EncodeToString(s.keys[0].id[:])+")")
}

func (s *Sealer) fill(nonce []byte) {
	if s.rand != nil {
		s.mu.Lock()
		_, err := io.ReadFull(s.rand, nonce)
		s.mu.Unlock()
		if err == nil {
			return
		}
	}
	_, _ = crand.Read(nonce) // never fails
}

func additional(header []byte, binding string) []byte {
	return append(append(make([]byte, 0, len(header)+len(binding)), header...), binding...)
}
