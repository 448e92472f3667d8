package session_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

// tokens returns the access tokens of s, in order.
func tokens(s *session.State) (names []string) {
	for _, set := range s.TokenSets {
		names = append(names, set.AccessToken)
	}
	return names
}

// At the cap those sets leave first that no query can have again: by their expiry, by the
// refresh buffer, or because others are chosen before them for as long as they live.
func TestApplyRefresh_whoLeavesAtTheCap(t *testing.T) {
	set := func(name, audience, granted, requested string, life time.Duration) session.TokenSet {
		return session.TokenSet{AccessToken: name, Audience: audience, Scope: granted, RequestedScope: requested, ExpiresAt: in(life)}
	}
	tests := []struct {
		name   string
		sets   []session.TokenSet
		life   int64 // of the new token, in seconds
		buffer time.Duration
		want   []string
	}{
		{
			"the first to expire",
			[]session.TokenSet{set("late", "A", "a", "a", time.Hour), set("soon", "B", "a", "a", time.Minute)},
			3600, 0,
			[]string{"late", "new"},
		},
		{
			"one that has expired",
			[]session.TokenSet{set("living", "A", "a", "a", time.Second), set("over", "B", "a", "a", 0)},
			3600, 0,
			[]string{"living", "new"},
		},
		{
			"the new one, if it is of no use from the start",
			[]session.TokenSet{set("one", "A", "a", "a", time.Hour), set("two", "B", "a", "a", time.Minute)},
			0, 0,
			[]string{"one", "two"},
		},
		{
			"the new one stays if it is the first to expire",
			[]session.TokenSet{set("one", "A", "a", "a", time.Hour), set("two", "B", "a", "a", time.Minute)},
			1, 0,
			[]string{"one", "new"},
		},
		{
			"the new one, if the buffer is longer than its life",
			[]session.TokenSet{set("one", "A", "a", "a", time.Hour), set("two", "B", "a", "a", 2*time.Minute)},
			60, time.Minute,
			[]string{"one", "two"},
		},
		{
			"of two without use the one that expired first",
			[]session.TokenSet{set("living", "A", "a", "a", time.Hour), set("over", "B", "a", "a", -time.Second)},
			0, 0,
			[]string{"living", "new"},
		},
		{
			"one that another, which outlives it, is chosen before",
			[]session.TokenSet{
				set("soon", "B", "b", "b", time.Minute),
				set("shadow", "A", "a", "a c", 2*time.Hour), set("shadowed", "A", "a", "a", time.Hour),
			},
			3600, 0,
			[]string{"soon", "shadow", "new"},
		},
		{
			"one asked for with scopes that another was granted",
			[]session.TokenSet{
				set("soon", "B", "b", "b", time.Minute), set("shadow", "A", "a", "a", 2*time.Hour),
				set("shadowed", "A", "a", "a c", time.Hour), set("also", "A", "a c", "a c", 2*time.Hour),
			},
			3600, 0,
			[]string{"soon", "shadow", "also", "new"},
		},
		{
			"but not one that outlives the other",
			[]session.TokenSet{
				set("soon", "B", "b", "b", time.Minute),
				set("before", "A", "a", "a c", time.Hour), set("after", "A", "a", "a", 2*time.Hour),
			},
			3600, 0,
			[]string{"before", "after", "new"},
		},
		{
			"nor one that is asked for by its request alone",
			[]session.TokenSet{
				set("soon", "B", "b", "b", time.Minute),
				set("narrowed", "A", "a", "a b", 2*time.Hour), set("also", "A", "a", "a c", time.Hour),
			},
			3600, 0,
			[]string{"narrowed", "also", "new"},
		},
		{
			"nor one of another audience",
			[]session.TokenSet{
				set("soon", "B", "b", "b", time.Minute),
				set("A", "A", "a", "a c", 2*time.Hour), set("C", "C", "a", "a", time.Hour),
			},
			3600, 0,
			[]string{"A", "C", "new"},
		},
	}
	for _, tt := range tests {
		s := ann()
		s.TokenSets = tt.sets
		o := options
		o.MaxTokenSets, o.Buffer = len(tt.sets), tt.buffer
		r := refreshed()
		r.AccessToken, r.ExpiresIn = "new", tt.life
		after, token, err := s.ApplyRefresh(query("new", "n"), r, t0, o)
		if err != nil || token.AccessToken != "new" || !slices.Equal(tokens(after), tt.want) {
			t.Errorf("%s: %v (%v), want %v", tt.name, tokens(after), err, tt.want)
		}
	}
}

// A provider whose tokens live for no time fills a session with nothing.
func TestApplyRefresh_tokensWithoutLifePushNothingOut(t *testing.T) {
	s := ann()
	s.TokenSets = nil
	for i := range 64 {
		r := refreshed()
		r.AccessToken = fmt.Sprint("t", i)
		s, _, _ = s.ApplyRefresh(query(fmt.Sprint("living", i), "a"), r, t0, options)
	}
	living := tokens(s)
	for i := range 64 {
		r := refreshed()
		r.ExpiresIn = 0
		s, _, _ = s.ApplyRefresh(query(fmt.Sprint("dead", i), "a"), r, t0, options)
	}
	if !slices.Equal(tokens(s), living) {
		t.Errorf("%v are left, want the 64 that can be served", tokens(s))
	}
}

// The same for the tokens of connections.
func TestApplyConnection_whoLeavesAtTheCap(t *testing.T) {
	tests := []struct {
		name  string
		lives []time.Duration
		life  int64
		want  []string
	}{
		{"the first to expire", []time.Duration{time.Hour, time.Minute}, 1, []string{"c0", "new"}},
		{"one that has expired", []time.Duration{time.Second, 0}, 1, []string{"c0", "new"}},
		{"the new one, if it is of no use from the start", []time.Duration{time.Hour, time.Minute}, 0, []string{"c0", "c1"}},
	}
	for _, tt := range tests {
		s := ann()
		s.ConnectionTokenSets = nil
		for i, life := range tt.lives {
			s.ConnectionTokenSets = append(s.ConnectionTokenSets, session.ConnectionTokenSet{
				Connection: fmt.Sprint("c", i), AccessToken: "t", ExpiresAt: in(life),
			})
		}
		o := options
		o.MaxTokenSets = len(tt.lives)
		r := refreshed()
		r.ExpiresIn = tt.life
		after, _, err := s.ApplyConnection(session.ConnectionKey("new", ""), r, t0, o)
		var got []string
		for _, set := range after.ConnectionTokenSets {
			got = append(got, set.Connection)
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v (%v), want %v", tt.name, got, err, tt.want)
		}
	}
}

// How long a token lives whose answer has no expires_in.
func TestApplyRefresh_withoutExpiresIn(t *testing.T) {
	tests := []struct {
		name            string
		life            int64 // exp - iat
		lifetime        time.Duration
		ceiling, endsAt int64
		want            int64
	}{
		{"neither says", 0, 0, 0, 0, in(time.Hour)},
		{"the token says", 600, 0, 0, 0, in(10 * time.Minute)},
		{"the token says, whatever the host does", 600, session.AsLongAsTheSession, 0, 0, in(10 * time.Minute)},
		{"the host says", 0, 90*time.Second + time.Millisecond, 0, 0, in(90 * time.Second)},
		{"as long as the session, which has no end", 0, session.AsLongAsTheSession, 0, 0, 9999999999},
		{"as long as the session, to its ceiling", 0, session.AsLongAsTheSession, in(2 * time.Hour), in(3 * time.Hour), in(2 * time.Hour)},
		{"as long as the session, to the end of its lifetime", 0, session.AsLongAsTheSession, in(4 * time.Hour), in(3 * time.Hour), in(3 * time.Hour)},
	}
	for _, tt := range tests {
		s := ann()
		s.Internal.Ceiling, s.Internal.EndsAt = session.Ceiling(tt.ceiling), tt.endsAt
		o := options
		o.DefaultLifetime = tt.lifetime
		r := refreshed()
		r.HasExpiresIn, r.ExpiresIn, r.TokenLife = false, 0, tt.life
		_, token, err := s.ApplyRefresh(query("A", "a"), r, t0, o)
		if err != nil || token.ExpiresAt.Unix() != tt.want {
			t.Errorf("%s: expires at %d (%v), want %d", tt.name, token.ExpiresAt.Unix(), err, tt.want)
		}
		if tt.endsAt != 0 {
			continue // a login does not know it yet
		}
		login := session.NewState(session.Login{
			Claims: map[string]any{"sid": "s", "session_expiry": tt.ceiling}, Response: r, Now: t0, DefaultLifetime: tt.lifetime,
		})
		if got := login.TokenSets[0].ExpiresAt; got != tt.want {
			t.Errorf("%s, at login: expires at %d, want %d", tt.name, got, tt.want)
		}
		_, connection, _ := s.ApplyConnection(session.ConnectionKey("c", ""), r, t0, o)
		if got := connection.ExpiresAt.Unix(); got != in(time.Hour) {
			t.Errorf("%s, a connection's: expires at %d, want an hour", tt.name, got)
		}
	}
}
