package session_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

func TestApplyConnection(t *testing.T) {
	tests := []struct {
		name  string
		key   session.FlightKey
		place int // of the new token
	}{
		{"replaces its pair", session.ConnectionKey("google-oauth2", ""), 1},
		{"replaces its hint", session.ConnectionKey("google-oauth2", "ann@work.example"), 0},
		{"replaces what has expired", session.ConnectionKey("github", ""), 2},
		{"another hint is another set", session.ConnectionKey("google-oauth2", "ann@home.example"), 3},
		{"another connection is another set", session.ConnectionKey("facebook", ""), 3},
	}
	for _, tt := range tests {
		before := ann()
		after, token, err := before.ApplyConnection(tt.key, session.TokenResponse{AccessToken: "connection-token-2"}, t0, options)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		want := ann()
		if tt.place == len(want.ConnectionTokenSets) {
			want.ConnectionTokenSets = append(want.ConnectionTokenSets, session.ConnectionTokenSet{})
		}
		want.ConnectionTokenSets[tt.place] = session.ConnectionTokenSet{
			Connection: tt.key.Connection, LoginHint: tt.key.LoginHint, AccessToken: "connection-token-2", ExpiresAt: in(time.Hour),
		}
		if !reflect.DeepEqual(after, want) {
			t.Errorf("%s: after\n%+v, want\n%+v", tt.name, after, want)
		}
		if found, ok := after.FindConnection(tt.key, t0); !ok || found != token {
			t.Errorf("%s: found %+v, want %+v", tt.name, found, token)
		}
		if !reflect.DeepEqual(before, ann()) {
			t.Errorf("%s: the state before was changed", tt.name)
		}
	}
}

func TestApplyConnection_takesWhatTheAnswerSays(t *testing.T) {
	s, token, err := ann().ApplyConnection(session.ConnectionKey("c", "h"), session.TokenResponse{
		AccessToken: "t", RefreshToken: "refresh-token-2", ExpiresIn: 60, HasExpiresIn: true, Scope: "calendar", HasScope: true, IDToken: "ignored",
	}, t0, options)
	want := session.ConnectionToken{AccessToken: "t", Connection: "c", LoginHint: "h", Scope: "calendar", ExpiresAt: t0.Add(time.Minute).UTC()}
	if err != nil || token != want || s.RefreshToken != "refresh-token-2" || s.IDToken != "id-token-1" {
		t.Errorf("token %+v, refresh token %q, ID token %q, %v", token, s.RefreshToken, s.IDToken, err)
	}
}

func TestApplyConnection_withoutAToken(t *testing.T) {
	s, _, err := ann().ApplyConnection(session.ConnectionKey("c", ""), session.TokenResponse{RefreshToken: "refresh-token-2"}, t0, options)
	want := ann()
	want.RefreshToken = "refresh-token-2"
	var failed *session.ConnectionTokenError
	if !errors.As(err, &failed) || failed.Code != session.CodeRetrievalError || !reflect.DeepEqual(s, want) {
		t.Errorf("%v, after %+v; want retrieval_error and the new refresh token alone", err, s)
	}
}
