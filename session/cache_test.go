package session_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/session"
)

// query wants scope for audience; nothing is configured.
func query(audience, scope string) *session.TokenQuery {
	return session.Policy{}.Query(audience, scope)
}

func TestTokenCache_Lookup(t *testing.T) {
	set := func(name, audience, granted, requested string, life time.Duration) session.TokenSet {
		return session.TokenSet{Audience: audience, AccessToken: name, Scope: granted, RequestedScope: requested, ExpiresAt: in(life)}
	}
	const live, dead = time.Hour, -time.Hour
	tests := []struct {
		name            string
		sets            []session.TokenSet
		audience, scope string
		want            string // access token, "" for a miss
	}{
		{"nothing cached", nil, "", "", ""},
		{"default", []session.TokenSet{set("t", "default", "a", "", live)}, "", "a", "t"},
		{"another audience", []session.TokenSet{set("t", "A", "a", "", live)}, "B", "a", ""},
		{"order and white space", []session.TokenSet{set("t", "A", "b  a\tc", "", live)}, "A", " c a b a", "t"},
		{"expired", []session.TokenSet{set("t", "A", "a", "", dead)}, "A", "a", ""},
		{"expired best match, valid larger one", []session.TokenSet{set("best", "A", "a", "a", dead), set("larger", "A", "a b", "a b", live)}, "A", "a", "larger"},
		{"narrowed grant, asked again", []session.TokenSet{set("t", "A", "a", "a b", live)}, "A", "b a", "t"},
		{"narrowed grant, asked for less than was requested", []session.TokenSet{set("t", "A", "a", "a b c", live)}, "A", "a b", ""},
		{"null scope is empty", []session.TokenSet{set("t", "A", "", "", live)}, "A", "a", ""},
		{"null scope answers an empty want", []session.TokenSet{set("t", "A", "", "", live)}, "A", "", "t"},
		{"every set answers an empty want", []session.TokenSet{set("t", "A", "a b", "a b", live)}, "A", "", "t"},
		{"empty want takes the fewest", []session.TokenSet{set("three", "A", "a b c", "", live), set("one", "A", "z", "", live)}, "A", "", "one"},
		{"empty want, asked again", []session.TokenSet{set("narrow", "A", "z", "z", live), set("mine", "A", "a b", "", live)}, "A", "", "mine"},
		{"empty want, of those asked for without scopes the fewest", []session.TokenSet{set("three", "A", "a b c", "", live), set("narrow", "A", "z", "z", live), set("two", "A", "a b", "", live)}, "A", "", "two"},
		{"equal before smaller superset", []session.TokenSet{set("superset", "A", "a b", "", live), set("equal", "A", "a", "", live)}, "A", "a", "equal"},
		{"granted equal before requested equal", []session.TokenSet{set("narrowed", "A", "a", "a b", live), set("full", "A", "a b", "a b", live)}, "A", "a b", "full"},
		{"requested equal before superset", []session.TokenSet{set("superset", "A", "a b c", "a b c", live), set("requested", "A", "a", "a b", live)}, "A", "a b", "requested"},
		{"requested equal stays before later supersets", []session.TokenSet{set("requested", "A", "a", "a b", live), set("superset", "A", "a b c", "a b c", live)}, "A", "a b", "requested"},
		{"smallest superset", []session.TokenSet{set("four", "A", "a b c d", "", live), set("three", "A", "a b x", "", live), set("also three", "A", "a b y", "", live)}, "A", "a b", "three"},
		{"ties by order", []session.TokenSet{set("first", "A", "a", "a", live), set("second", "A", "a", "a b", live)}, "A", "a", "first"},
		{"requested equal, ties by order", []session.TokenSet{set("first", "A", "a", "a b", live), set("second", "A", "b", "a b", live)}, "A", "a b", "first"},
		{"nobody has it", []session.TokenSet{set("x", "A", "a", "", live), set("y", "A", "b", "", live)}, "A", "a b", ""},
		{"part of a name is not the name", []session.TokenSet{set("t", "A", "read:xy", "", live)}, "A", "read:x", ""},
	}
	for _, tt := range tests {
		c := session.NewTokenCache(&session.State{TokenSets: tt.sets})
		got := ""
		if token := c.Find(query(tt.audience, tt.scope), t0, 0); token != nil {
			got = token.AccessToken
		}
		if got != tt.want {
			t.Errorf("%s: Lookup = %q; want %q", tt.name, got, tt.want)
		}
	}
}

func TestTokenCache_Lookup_atTheExpiry(t *testing.T) {
	c := session.NewTokenCache(&session.State{TokenSets: []session.TokenSet{{Audience: "default", AccessToken: "t", ExpiresAt: in(time.Hour)}}})
	expiry := t0.Add(time.Hour)
	tests := []struct {
		name   string
		now    time.Time
		buffer time.Duration
		want   bool
	}{
		{"a nanosecond before", expiry.Add(-1), 0, true},
		{"exactly", expiry, 0, false},
		{"a nanosecond after", expiry.Add(1), 0, false},
		{"buffer, a nanosecond before", expiry.Add(-time.Minute - 1), time.Minute, true},
		{"buffer, exactly", expiry.Add(-time.Minute), time.Minute, false},
		{"buffer of a part of a second", expiry.Add(-time.Millisecond), time.Millisecond, false},
		{"a negative buffer serves nothing expired", expiry, -time.Minute, false},
	}
	for _, tt := range tests {
		if got := c.Find(query("", ""), tt.now, tt.buffer) != nil; got != tt.want {
			t.Errorf("%s: hit = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestTokenCache_Lookup_tellsAllOfTheToken(t *testing.T) {
	c := session.NewTokenCache(&session.State{TokenSets: []session.TokenSet{
		{Audience: "A", AccessToken: "t", Scope: "b a", RequestedScope: "a b c", ExpiresAt: in(time.Hour), ActualAudience: "B"},
	}})
	want := session.Token{AccessToken: "t", Audience: "A", Scope: "b a", ExpiresAt: t0.Add(time.Hour).UTC(), ActualAudience: "B"}
	if got := c.Find(query("A", "a b"), t0, 0); got == nil || *got != want {
		t.Errorf("Lookup = %+v; want %+v", got, want)
	}
}

func TestTokenCache_ofNothing(t *testing.T) {
	for _, c := range []*session.TokenCache{nil, session.NewTokenCache(nil), session.NewTokenCache(&session.State{})} {
		if c.Find(query("", ""), t0, 0) != nil {
			t.Error("a hit in an empty cache")
		}
	}
}

func TestState_FindConnection(t *testing.T) {
	s := ann()
	tests := []struct {
		name             string
		connection, hint string
		after            time.Duration
		want             string
	}{
		{"this hint", "google-oauth2", "ann@work.example", 0, "google-token-work"},
		{"another account's token is not for this hint", "google-oauth2", "ann@home.example", 0, ""},
		{"no hint: the set without one", "google-oauth2", "", 0, "google-token"},
		{"another connection", "facebook", "", 0, ""},
		{"expired", "github", "", 0, ""},
		{"a nanosecond before the expiry", "google-oauth2", "ann@work.example", time.Hour - 1, "google-token-work"},
		{"at the expiry", "google-oauth2", "ann@work.example", time.Hour, ""},
	}
	for _, tt := range tests {
		got, ok := s.FindConnection(session.ConnectionKey(tt.connection, tt.hint), t0.Add(tt.after))
		if got.AccessToken != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: FindConnection = %q, want %q", tt.name, got.AccessToken, tt.want)
		}
	}

	s.ConnectionTokenSets[1].ExpiresAt = in(0) // the one without a hint is over
	want := session.ConnectionToken{AccessToken: "google-token-work", Connection: "google-oauth2", LoginHint: "ann@work.example", Scope: "calendar", ExpiresAt: t0.Add(time.Hour).UTC()}
	if got, _ := s.FindConnection(session.ConnectionKey("google-oauth2", ""), t0); got != want {
		t.Errorf("no hint: FindConnection = %+v, want the first that has not expired, %+v", got, want)
	}
	if _, ok := (*session.State)(nil).FindConnection(session.ConnectionKey("c", ""), t0); ok {
		t.Error("a hit without a session")
	}
}

func TestLookup_allocatesNothing(t *testing.T) {
	s := ann()
	for i := range 8 {
		s.TokenSets = append(s.TokenSets, session.TokenSet{Audience: "A", AccessToken: "t", Scope: fmt.Sprintf("a b c%d", i), ExpiresAt: in(time.Hour)})
	}
	c := session.NewTokenCache(s)
	equal, superset, miss := query("", "email openid"), query("A", "a c7"), query("A", "a z")
	key := session.ConnectionKey("google-oauth2", "")
	n := testing.AllocsPerRun(100, func() {
		hit1 := c.Find(equal, t0, time.Minute) != nil
		hit2 := c.Find(superset, t0, 0) != nil
		hit3 := c.Find(miss, t0, 0) != nil
		_, hit4 := s.FindConnection(key, t0)
		if !hit1 || !hit2 || hit3 || !hit4 {
			t.Fatal("a wrong answer")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// find is rule 4.3 of the contract, written out.
func find(sets []session.TokenSet, q *session.TokenQuery, now time.Time) string {
	want := session.ParseScope(q.Scope)
	var candidates []session.TokenSet
	for _, s := range sets {
		if s.Audience == q.Key.Audience && now.Before(time.Unix(s.ExpiresAt, 0)) {
			candidates = append(candidates, s)
		}
	}
	for _, s := range candidates {
		if session.ParseScope(s.Scope).Equal(want) {
			return s.AccessToken
		}
	}
	asked := func(s session.TokenSet) bool { return session.ParseScope(s.RequestedScope).Equal(want) }
	for _, s := range candidates {
		if s.RequestedScope != "" && asked(s) {
			return s.AccessToken
		}
	}
	if slices.ContainsFunc(candidates, asked) { // without scopes: the fewest of these
		candidates = slices.DeleteFunc(candidates, func(s session.TokenSet) bool { return !asked(s) })
	}
	best, fewest := "", 0
	for _, s := range candidates {
		granted := session.ParseScope(s.Scope)
		if granted.Covers(want) && (best == "" || len(granted) < fewest) {
			best, fewest = s.AccessToken, len(granted)
		}
	}
	return best
}

func TestTokenCache_Lookup_agreesWithThePlainRule(t *testing.T) {
	audience := rapid.SampledFrom([]string{"default", "A"})
	rapid.Check(t, func(t *rapid.T) {
		var s session.State
		for i := range rapid.IntRange(0, 6).Draw(t, "sets") {
			s.TokenSets = append(s.TokenSets, session.TokenSet{
				Audience:       audience.Draw(t, "audience"),
				AccessToken:    fmt.Sprint("token-", i),
				Scope:          scopes().Draw(t, "granted"),
				RequestedScope: rapid.OneOf(rapid.Just(""), scopes().Filter(func(s string) bool { return session.MergeScopes(s) != "" })).Draw(t, "requested"),
				ExpiresAt:      t0.Unix() + rapid.Int64Range(-1, 2).Draw(t, "life"),
			})
		}
		q := query(audience.Draw(t, "wanted audience"), scopes().Draw(t, "wanted"))
		now := t0.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "now")))
		got := ""
		if token := session.NewTokenCache(&s).Find(q, now, 0); token != nil {
			got = token.AccessToken
		}
		if want := find(s.TokenSets, q, now); got != want {
			t.Errorf("Lookup(%+v) in %+v = %q, want %q", q, s.TokenSets, got, want)
		}
	})
}

func BenchmarkTokenCache_Lookup(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("sets=%d", n), func(b *testing.B) {
			var s session.State
			for i := range n {
				s.TokenSets = append(s.TokenSets, session.TokenSet{
					Audience: fmt.Sprintf("https://api-%d.example", i), AccessToken: "t", Scope: "openid profile email read:x", ExpiresAt: in(time.Hour),
				})
			}
			c, q := session.NewTokenCache(&s), query(s.TokenSets[n-1].Audience, "openid profile email read:x")
			b.ReportAllocs()
			for b.Loop() {
				if c.Find(q, t0, 0) == nil {
					b.Fatal("a miss")
				}
			}
		})
	}
}

func BenchmarkNewTokenCache(b *testing.B) {
	s := ann()
	b.ReportAllocs()
	for b.Loop() {
		session.NewTokenCache(s)
	}
}
