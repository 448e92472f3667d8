package session

import (
	"cmp"
	"errors"
	"fmt"
)

// The stored form of a State is a JSON object. Names are matched exactly, and
// members with other names, which others wrote, are carried along wherever they are.

// EncodeState returns the stored form of s, tokens included. It fails for a nil State only.
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
	if s.Data != "" {
		o.member("app_data")
		w.text = append(w.text, s.Data...)
	}
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
	w.text = append(w.text, cmp.Or(s.User, "null")...)
	o.end()
}

func (w *writer) tokenSet(t *TokenSet) {
	o := w.object(t.extra)
	o.setText("access_token", t.AccessToken)
	o.setSome("actual_audience", t.ActualAudience)
	o.setText("audience", t.Audience)
	o.setInt("expires_at", t.ExpiresAt)
	if t.IssuedAt != 0 {
		o.setInt("issued_at", t.IssuedAt)
	}
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
	o.setSome("asked_scope", i.AskedScope)
	o.setSome("client_id", i.ClientID)
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
	if i.StepUpAfter != 0 {
		o.setInt("step_up_after", i.StepUpAfter)
	}
	o.end()
}
