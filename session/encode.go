package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
)

// The stored form of a State is a JSON object. Names are matched exactly, and
// members with other names, which others wrote, are carried along wherever they are.

// EncodeState returns the stored form of s, tokens included. It fails only where the
// host put something into User that JSON cannot say.
func EncodeState(s *State) ([]byte, error) { return AppendState(nil, s) }

// AppendState appends the stored form of s to a buffer, as EncodeState returns it. When
// it fails it returns the buffer as it was.
func AppendState(to []byte, s *State) ([]byte, error) {
	if s == nil {
		return to, errors.New("encode session: there is none")
	}
	w := &writer{text: to}
	w.state(s)
	if w.err != nil {
		return to, fmt.Errorf("encode session: %w", w.err)
	}
	return w.text, nil
}

func (w *writer) state(s *State) {
	o := w.object(s.extra)
	o.member("connection_token_sets")
	w.text = append(w.text, '[')
	for i := range s.ConnectionTokenSets {
		if i > 0 {
			w.text = append(w.text, ',')
		}
		w.connectionTokenSet(&s.ConnectionTokenSets[i])
	}
	w.text = append(w.text, ']')
	o.setSome("domain", s.Domain)
	o.setSome("id_token", s.IDToken)
	o.member("internal")
	w.internal(&s.Internal)
	o.setSome("refresh_token", s.RefreshToken)
	o.member("token_sets")
	w.text = append(w.text, '[')
	for i := range s.TokenSets {
		if i > 0 {
			w.text = append(w.text, ',')
		}
		w.tokenSet(&s.TokenSets[i])
	}
	w.text = append(w.text, ']')
	o.member("user")
	w.value(map[string]any(s.User), 0)
	o.end()
}

func (w *writer) tokenSet(t *TokenSet) {
	o := w.object(t.extra)
	o.setText("access_token", t.AccessToken)
	o.setSome("actual_audience", t.ActualAudience)
	o.setText("audience", t.Audience)
	o.setInt("expires_at", t.ExpiresAt)
	o.setSome("requested_scope", t.RequestedScope)
	o.setText("scope", t.Scope)
	o.end()
}

func (w *writer) connectionTokenSet(t *ConnectionTokenSet) {
	o := w.object(t.extra)
	o.setText("access_token", t.AccessToken)
	o.setText("connection", t.Connection)
	o.setInt("expires_at", t.ExpiresAt)
	o.setText("login_hint", t.LoginHint)
	o.setText("scope", t.Scope)
	o.end()
}

func (w *writer) internal(i *Internal) {
	o := w.object(i.extra)
	o.setInt("created_at", i.CreatedAt)
	if i.EndsAt != 0 {
		o.setInt("ends_at", i.EndsAt)
	}
	o.setSome("granted_audience", i.GrantedAudience)
	o.setSome("granted_scope", i.GrantedScope)
	if i.Ceiling.Legal() {
		o.setInt("session_expires_at", int64(i.Ceiling))
	}
	o.setText("sid", i.SID)
	o.end()
}

// DecodeState reads the stored form of a State. It is lenient towards others who
// write it: a member of the wrong type counts as absent, and a token set without
// an access token is dropped. It fails where the whole, user or internal is something
// else than an object: then it cannot be known whose session this is, or until when.
func DecodeState(data []byte) (*State, error) {
	var o members
	if err := json.Unmarshal(data, &o); err != nil || o == nil {
		return nil, errors.New("decode session: not a JSON object")
	}
	s := &State{}
	if err := o.take("user", &s.User); err != nil {
		return nil, errors.New("decode session: user is not an object")
	}
	if claim, ok := s.User[claimSessionExpiry]; ok && ParseCeiling(claim) == 0 {
		delete(s.User, claimSessionExpiry)
	}
	s.IDToken = o.text("id_token")
	s.RefreshToken = o.text("refresh_token")
	s.Domain = o.text("domain")

	var internal members
	if err := o.take("internal", &internal); err != nil {
		return nil, errors.New("decode session: internal is not an object")
	}
	s.Internal = Internal{
		SID:       internal.text("sid"),
		CreatedAt: internal.seconds("created_at"),
		Ceiling:   ParseCeiling(internal.number("session_expires_at")),
		EndsAt:    max(0, internal.seconds("ends_at")),

		GrantedAudience: internal.text("granted_audience"),
		GrantedScope:    internal.text("granted_scope"),

		extra: internal.rest(),
	}
	for _, m := range o.list("token_sets") {
		set := TokenSet{
			Audience:       m.text("audience"),
			AccessToken:    m.text("access_token"),
			Scope:          m.text("scope"),
			RequestedScope: m.text("requested_scope"),
			ExpiresAt:      m.seconds("expires_at"),
			ActualAudience: m.text("actual_audience"),
			extra:          m.rest(),
		}
		if set.Audience == "" {
			set.Audience = DefaultAudience // older state has null
		}
		if set.AccessToken != "" {
			s.TokenSets = append(s.TokenSets, set)
		}
	}
	for _, m := range o.list("connection_token_sets") {
		set := ConnectionTokenSet{
			Connection:  m.text("connection"),
			LoginHint:   m.text("login_hint"),
			AccessToken: m.text("access_token"),
			Scope:       m.text("scope"),
			ExpiresAt:   m.seconds("expires_at"),
			extra:       m.rest(),
		}
		if set.AccessToken != "" && set.Connection != "" {
			s.ConnectionTokenSets = append(s.ConnectionTokenSets, set)
		}
	}
	s.extra = o.rest()
	return s, nil
}

// members are those of a JSON object that have not been taken out yet.
type members map[string]json.RawMessage

// take decodes the member into v, which stays as it is when the member is absent.
func (m members) take(name string, v any) error {
	raw, ok := m[name]
	if !ok {
		return nil
	}
	delete(m, name)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(v)
}

// text takes a string, "" when there is none.
func (m members) text(name string) string {
	var s string
	if m.take(name, &s) != nil {
		return ""
	}
	return s
}

// number takes a json.Number, nil when there is none.
func (m members) number(name string) any {
	var v any
	if m.take(name, &v) != nil {
		return nil
	}
	if n, ok := v.(json.Number); ok {
		return n
	}
	return nil
}

// seconds takes a number of seconds, rounded down, 0 when there is none.
func (m members) seconds(name string) int64 {
	n, ok := m.number(name).(json.Number)
	if !ok {
		return 0
	}
	if i, err := n.Int64(); err == nil {
		return i
	}
	f, err := n.Float64()
	if f = math.Floor(f); err != nil || math.Abs(f) > 1<<53 {
		return 0
	}
	return int64(f)
}

// list takes an array of objects and leaves out what is none.
func (m members) list(name string) []members {
	var all []json.RawMessage
	if m.take(name, &all) != nil {
		return nil
	}
	list := make([]members, 0, len(all))
	for _, raw := range all {
		var o members
		if json.Unmarshal(raw, &o) == nil && o != nil {
			list = append(list, o)
		}
	}
	return list
}

// rest returns what has not been taken, nil when that is nothing.
func (m members) rest() map[string]json.RawMessage {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}
