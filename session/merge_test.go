package session_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

// What another process wrote stays, and the tokens that this one has got since come beside it.
func TestState_WithTokensSince(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	set := func(audience, token string, life int64) session.TokenSet {
		return session.TokenSet{Audience: audience, AccessToken: token, Scope: "read", ExpiresAt: now.Unix() + life}
	}
	connection := func(hint, token string) session.ConnectionTokenSet {
		return session.ConnectionTokenSet{Connection: "google", LoginHint: hint, AccessToken: token, ExpiresAt: now.Unix() + 60}
	}
	base := &session.State{TokenSets: []session.TokenSet{set("a", "old", 60)}}
	mine := &session.State{
		TokenSets:           []session.TokenSet{set("a", "old", 60), set("b", "mine", 60), set("c", "mine too", 60), set("d", "expired", 0)},
		ConnectionTokenSets: []session.ConnectionTokenSet{connection("ada", "ada's"), connection("bob", "bob's")},
	}
	written := &session.State{
		TokenSets:           []session.TokenSet{set("c", "another's", 60)},
		ConnectionTokenSets: []session.ConnectionTokenSet{connection("bob", "another's bob's")},
	}
	merged := written.WithTokensSince(base, mine, now, session.ApplyOptions{})
	var got []string
	for _, s := range merged.TokenSets {
		got = append(got, s.AccessToken)
	}
	for _, s := range merged.ConnectionTokenSets {
		got = append(got, s.AccessToken)
	}
	if want := []string{"another's", "mine", "another's bob's", "ada's"}; !slices.Equal(got, want) {
		t.Errorf("tokens %q, want %q", got, want)
	}
	if len(written.TokenSets) != 1 || written.WithTokensSince(mine, mine, now, session.ApplyOptions{}) != written {
		t.Error("a state that gets nothing is not the one that it was")
	}
}

// What another process has taken out or renewed does not come back: it may have read the token, and made room for its own.
func TestState_WithTokensSince_bringsNothingBack(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	set := func(audience, token, requested string) session.TokenSet {
		return session.TokenSet{Audience: audience, AccessToken: token, Scope: "read", RequestedScope: requested, ExpiresAt: now.Unix() + 60}
	}
	connection := func(hint string) session.ConnectionTokenSet {
		return session.ConnectionTokenSet{Connection: "google", LoginHint: hint, AccessToken: hint, ExpiresAt: now.Unix() + 60}
	}
	mine := &session.State{
		TokenSets:           []session.TokenSet{set("a", "mine", "")},
		ConnectionTokenSets: []session.ConnectionTokenSet{connection("ada")},
	}
	full := &session.State{
		TokenSets:           []session.TokenSet{set("b", "b's", "read"), set("c", "c's", "read")},
		ConnectionTokenSets: []session.ConnectionTokenSet{connection("bob"), connection("eve")},
	}
	large, err := session.AppendState(nil, full)
	if err != nil {
		t.Fatal(err)
	}
	renewed := &session.State{
		TokenSets:           []session.TokenSet{set("a", "renewed", "read")}, // for the same grant, see ApplyRefresh
		ConnectionTokenSets: []session.ConnectionTokenSet{connection("ada")},
	}
	for name, c := range map[string]struct {
		written *session.State
		o       session.ApplyOptions
	}{
		"as many as there may be":  {full, session.ApplyOptions{MaxTokenSets: 2}},
		"as large as it may be":    {full, session.ApplyOptions{MaxBytes: len(large)}},
		"renewed for other scopes": {renewed, session.ApplyOptions{}},
	} {
		if got := c.written.WithTokensSince(&session.State{}, mine, now, c.o); got != c.written {
			t.Errorf("%s: tokens %v and %v", name, got.TokenSets, got.ConnectionTokenSets)
		}
	}
}
