package session_test

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/session"
)

// A State that was packed is the same State, whatever is in it.
func TestPacked_isTheState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, number := rapid.String(), rapid.Int64()
		s := &session.State{
			User: session.RawUser(text.Draw(t, "user")), IDToken: text.Draw(t, "id token"), RefreshToken: text.Draw(t, "refresh token"),
			Domain: text.Draw(t, "domain"), Data: session.RawData(text.Draw(t, "data")),
			Internal: session.Internal{
				SID: text.Draw(t, "sid"), CreatedAt: number.Draw(t, "created"), Ceiling: session.Ceiling(number.Draw(t, "ceiling")),
				EndsAt: number.Draw(t, "ends"), GrantedScope: text.Draw(t, "granted"), GrantedAudience: text.Draw(t, "for"), AskedScope: text.Draw(t, "asked"),
				ClientID: text.Draw(t, "client"), StepUpAfter: number.Draw(t, "step up"),
			},
		}
		for range rapid.IntRange(0, 3).Draw(t, "token sets") {
			s.TokenSets = append(s.TokenSets, session.TokenSet{
				Audience: text.Draw(t, "audience"), AccessToken: text.Draw(t, "token"), Scope: text.Draw(t, "scope"),
				RequestedScope: text.Draw(t, "requested"), ExpiresAt: number.Draw(t, "expires"), ActualAudience: text.Draw(t, "actual"),
				IssuedAt: rapid.OneOf(rapid.Just(int64(0)), number).Draw(t, "issued"),
			})
		}
		for range rapid.IntRange(0, 3).Draw(t, "connections") {
			s.ConnectionTokenSets = append(s.ConnectionTokenSets, session.ConnectionTokenSet{
				Connection: text.Draw(t, "connection"), LoginHint: text.Draw(t, "hint"), AccessToken: text.Draw(t, "token"),
				Scope: text.Draw(t, "scope"), ExpiresAt: number.Draw(t, "expires"),
			})
		}
		packed, ok := s.Pack()
		if !ok {
			t.Fatal("it has no fields of other writers, and could not be packed")
		}
		if got := packed.State(); !reflect.DeepEqual(got, s) {
			t.Errorf("it came back as %+v, want %+v", got, s)
		}
	})
}

// A State with fields of other writers, anywhere, is left as it is.
func TestPack_keepsWhatOthersWrote(t *testing.T) {
	for _, text := range []string{
		`{"user":{"sub":"ann"},"more":1}`,
		`{"internal":{"sid":"a","more":1}}`,
		`{"token_sets":[{"access_token":"a","more":1}]}`,
		`{"connection_token_sets":[{"connection":"c","access_token":"a","more":1}]}`,
	} {
		s, err := session.DecodeState([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Pack(); ok {
			t.Errorf("%s was packed, and loses a field", text)
		}
	}
}
