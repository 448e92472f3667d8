package session

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Packed is a State in one piece of memory, for sessions that are idle: their State would be a dozen objects for the
// garbage collector, most of them strings that are read by a refresh only. It is made and read by one process and never
// stored. The zero value is no State.
type Packed struct{ text string }

// Pack returns s in one piece, and false where s has fields of other writers, which are kept as they are.
func (s *State) Pack() (Packed, bool) {
	if s.extra != nil || s.Internal.extra != nil {
		return Packed{}, false
	}
	p := packer{text: make([]byte, 0, s.packedSize())}
	i := &s.Internal
	p.strings(string(s.User), s.IDToken, s.RefreshToken, s.Domain, i.SID, i.GrantedScope, i.GrantedAudience, i.AskedScope, i.ClientID)
	p.numbers(i.CreatedAt, int64(i.Ceiling), i.EndsAt, int64(len(s.TokenSets)), int64(len(s.ConnectionTokenSets)))
	issued := false
	for k := range s.TokenSets {
		t := &s.TokenSets[k]
		if t.extra != nil {
			return Packed{}, false
		}
		issued = issued || t.IssuedAt != 0
		p.strings(t.Audience, t.AccessToken, t.Scope, t.RequestedScope, t.ActualAudience)
		p.numbers(t.ExpiresAt)
	}
	for k := range s.ConnectionTokenSets {
		t := &s.ConnectionTokenSets[k]
		if t.extra != nil {
			return Packed{}, false
		}
		p.strings(t.Connection, t.LoginHint, t.AccessToken, t.Scope)
		p.numbers(t.ExpiresAt)
	}
	if s.Data != "" || i.StepUpAfter != 0 || issued {
		p.strings(string(s.Data))
	}
	if i.StepUpAfter != 0 || issued {
		p.numbers(i.StepUpAfter)
	}
	for k := range s.TokenSets {
		if t := &s.TokenSets[k]; issued {
			p.numbers(t.ExpiresAt - t.IssuedAt) // a life is shorter than a time
		}
	}
	return Packed{string(p.text)}, true
}

// packedSize returns about how long s is when it is packed.
func (s *State) packedSize() int {
	n := 128 + len(s.User) + len(s.IDToken) + len(s.RefreshToken) + len(s.Data)
	for k := range s.TokenSets {
		t := &s.TokenSets[k]
		n += 32 + len(t.AccessToken) + len(t.Audience) + 2*len(t.Scope)
	}
	return n
}

// IsZero reports whether p is no State.
func (p Packed) IsZero() bool { return p.text == "" }

// Format prints nothing of the state.
func (Packed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "packed session") }

// MarshalJSON writes nothing of the state.
func (Packed) MarshalJSON() ([]byte, error) { return []byte(`"packed session"`), nil }

// State returns the State that was packed. Its strings are parts of p, which stays in memory as long as one of them does.
func (p Packed) State() *State {
	r := unpacker(p)
	s := &State{}
	i := &s.Internal
	s.User = RawUser(r.string())
	r.strings(&s.IDToken, &s.RefreshToken, &s.Domain, &i.SID, &i.GrantedScope, &i.GrantedAudience, &i.AskedScope, &i.ClientID)
	i.CreatedAt, i.Ceiling, i.EndsAt = r.number(), Ceiling(r.number()), r.number()
	sets, connections := r.number(), r.number()
	if sets > 0 {
		s.TokenSets = make([]TokenSet, sets)
	}
	if connections > 0 {
		s.ConnectionTokenSets = make([]ConnectionTokenSet, connections)
	}
	for k := range s.TokenSets {
		t := &s.TokenSets[k]
		r.strings(&t.Audience, &t.AccessToken, &t.Scope, &t.RequestedScope, &t.ActualAudience)
		t.ExpiresAt = r.number()
	}
	for k := range s.ConnectionTokenSets {
		t := &s.ConnectionTokenSets[k]
		r.strings(&t.Connection, &t.LoginHint, &t.AccessToken, &t.Scope)
		t.ExpiresAt = r.number()
	}
	if r.text != "" { // last, and absent in most sessions, as what follows
		s.Data = RawData(r.string())
	}
	if r.text != "" {
		i.StepUpAfter = r.number()
	}
	for k := range s.TokenSets {
		if t := &s.TokenSets[k]; r.text != "" {
			t.IssuedAt = t.ExpiresAt - r.number()
		}
	}
	return s
}

// packer appends to a text: of each string its length first, numbers as varints.
type packer struct{ text []byte }

func (p *packer) strings(list ...string) {
	for _, s := range list {
		p.text = binary.AppendUvarint(p.text, uint64(len(s)))
		p.text = append(p.text, s...)
	}
}

func (p *packer) numbers(list ...int64) {
	for _, n := range list {
		p.text = binary.AppendVarint(p.text, n)
	}
}

// unpacker reads what a packer has written.
type unpacker struct{ text string }

func (r *unpacker) strings(list ...*string) {
	for _, s := range list {
		*s = r.string()
	}
}

func (r *unpacker) string() string {
	n := int(r.unsigned())
	s := r.text[:n]
	r.text = r.text[n:]
	return s
}

func (r *unpacker) number() int64 {
	u := r.unsigned()
	return int64(u>>1) ^ -int64(u&1) // as binary.Varint
}

func (r *unpacker) unsigned() (n uint64) {
	for i, shift := 0, 0; ; i, shift = i+1, shift+7 {
		b := r.text[i]
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			r.text = r.text[i+1:]
			return n
		}
	}
}
