package session_test

import (
	"strings"
	"testing"

	"github.com/tokenward/tokenward/session"
)

func TestRegistrationID_Same(t *testing.T) {
	a := session.RegistrationID{Issuer: "https://tenant.example/", ClientID: "app"}
	for _, tt := range []struct {
		b    session.RegistrationID
		want bool
	}{
		{session.RegistrationID{Issuer: "Tenant.Example", ClientID: "app"}, true},
		{session.RegistrationID{Issuer: "https://tenant.example", ClientID: "App"}, false},
		{session.RegistrationID{Issuer: "https://other.example/", ClientID: "app"}, false},
		{session.RegistrationID{Issuer: "https://tenant.example/"}, false},
	} {
		if got := a.Same(tt.b); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.b, got, tt.want)
		}
	}
	if (session.RegistrationID{}).Same(session.RegistrationID{}) {
		t.Error("none is the same as none")
	}
}

// The client id stays with the session: in its stored form, through refreshes and in what its end leaves.
func TestClientID_staysWithTheSession(t *testing.T) {
	s := ann()
	if got := s.SessionClient("configured"); got != "configured" {
		t.Errorf("of a session without one: %q, want the configured one", got)
	}
	if doc := encode(t, s); strings.Contains(doc, "client_id") {
		t.Errorf("a session without client id is stored with one: %s", doc)
	}
	s.Internal.ClientID = "client-2"
	again := decode(t, encode(t, s))
	if again.Internal.ClientID != "client-2" || again.SessionClient("configured") != "client-2" {
		t.Errorf("decoded: %+v", again.Internal)
	}
	r := refreshed()
	kept, _, err := again.ApplyRefresh(query("", "openid"), r, t0, options)
	if code := session.CodeOf(err); code != "refresh_token_error" || kept.RefreshToken != "refresh-token-2" {
		t.Errorf("an ID token for the configured client: %v, refresh token %s", err, kept.RefreshToken)
	}
	r.IDClaims.Audience = []string{"client-2"}
	next, _, err := again.ApplyRefresh(query("", "openid"), r, t0, options)
	if err != nil || next.Internal.ClientID != "client-2" {
		t.Errorf("an ID token for the session's client: %v, %+v", err, next)
	}
	if left := next.Remainder(t0); left == nil || left.Internal.ClientID != "client-2" {
		t.Errorf("the remainder: %+v", left)
	}
	if begun := session.NewState(session.Login{Claims: map[string]any{"sid": "s"}, ClientID: "client-2", Now: t0}); begun.Internal.ClientID != "client-2" {
		t.Errorf("a login: %+v", begun.Internal)
	}
}
