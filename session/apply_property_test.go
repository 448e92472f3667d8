package session_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/session"
)

// Whatever is answered, in whatever order: what a session promises stays true.
func TestApply_invariants(t *testing.T) {
	word := rapid.SampledFrom([]string{"", "A", "B", "C"})
	rapid.Check(t, func(t *rapid.T) {
		o := options
		o.MaxTokenSets = rapid.IntRange(1, 4).Draw(t, "cap")
		o.Buffer = time.Duration(rapid.SampledFrom([]int{0, 0, 10_000}).Draw(t, "buffer")) * time.Second
		o.DefaultLifetime = rapid.SampledFrom([]time.Duration{0, time.Minute, session.AsLongAsTheSession}).Draw(t, "default lifetime")
		s := &session.State{User: ann().User, Internal: ann().Internal, RefreshToken: "rt"}
		newest := s.RefreshToken
		now := t0
		for i := range rapid.IntRange(1, 12).Draw(t, "answers") {
			now = now.Add(time.Duration(rapid.IntRange(0, 50_000).Draw(t, "later")) * time.Second)
			r := session.TokenResponse{
				AccessToken:  rapid.SampledFrom([]string{"", fmt.Sprint("t", i), fmt.Sprint("t", i)}).Draw(t, "access token"),
				RefreshToken: rapid.SampledFrom([]string{"", fmt.Sprint("rt", i)}).Draw(t, "refresh token"),
				ExpiresIn:    rapid.Int64Range(0, 50_000).Draw(t, "expires in"),
				HasExpiresIn: rapid.IntRange(0, 4).Draw(t, "has expires in") > 0,
				TokenLife:    rapid.SampledFrom([]int64{0, 0, 600}).Draw(t, "the token's own life"),
				Scope:        scopes().Draw(t, "granted"),
				HasScope:     rapid.Bool().Draw(t, "has scope"),
				IDToken:      rapid.SampledFrom([]string{"", "it"}).Draw(t, "ID token"), // unreadable
			}
			if r.RefreshToken != "" {
				newest = r.RefreshToken
			}
			before := s.Clone()
			last := s
			var err error
			if rapid.Bool().Draw(t, "connection") {
				k := session.ConnectionKey(rapid.SampledFrom([]string{"c", "d"}).Draw(t, "connection"), word.Draw(t, "hint"))
				var token session.ConnectionToken
				if s, token, err = s.ApplyConnection(k, r, now, o); err == nil {
					if found, _ := s.FindConnection(k, now); (found == token) != token.ExpiresAt.After(now) {
						t.Fatalf("after the exchange for %+v: found %+v, want %+v", k, found, token)
					}
				}
			} else {
				q := query(word.Draw(t, "audience"), scopes().Draw(t, "scope"))
				var token session.Token
				if s, token, err = s.ApplyRefresh(q, r, now, o); err == nil {
					if session.NewTokenCache(s).Find(q, now, o.Buffer) == nil && token.ExpiresAt.After(now.Add(o.Buffer)) {
						t.Fatalf("after the refresh for %+v: a miss in %+v", q, s.TokenSets)
					}
					unlimited := o
					unlimited.MaxTokenSets = 1000
					all, _, _ := last.ApplyRefresh(q, r, now, unlimited)
					wantLeast(t, all, s, token, now.Add(o.Buffer))
				}
			}

			if !reflect.DeepEqual(last, before) {
				t.Fatalf("the state before was changed:\n%+v\n%+v", last, before)
			}
			if s.RefreshToken != newest {
				t.Fatalf("refresh token %s, want the newest, %s", s.RefreshToken, newest)
			}
			if err != nil && (len(s.TokenSets) != len(last.TokenSets) || len(s.ConnectionTokenSets) != len(last.ConnectionTokenSets)) {
				t.Fatalf("%v, and yet the token sets changed", err)
			}
			if !reflect.DeepEqual(s.User, ann().User) || !reflect.DeepEqual(s.Internal, ann().Internal) {
				t.Fatalf("user or internal changed: %+v", s)
			}
			if len(s.TokenSets) > o.MaxTokenSets || len(s.ConnectionTokenSets) > o.MaxTokenSets {
				t.Fatalf("%d and %d token sets, the cap is %d", len(s.TokenSets), len(s.ConnectionTokenSets), o.MaxTokenSets)
			}
			seen := map[string]bool{}
			for _, set := range s.TokenSets {
				id := fmt.Sprintf("%s|%v|%v", set.Audience, session.ParseScope(set.Scope).String(), session.ParseScope(set.RequestedScope).String())
				if seen[id] || set.AccessToken == "" {
					t.Fatalf("%s twice, or without a token: %+v", id, s.TokenSets)
				}
				seen[id] = true
			}
			for _, set := range s.ConnectionTokenSets {
				id := set.Connection + "|" + set.LoginHint
				if seen[id] || set.AccessToken == "" {
					t.Fatalf("%s twice, or without a token: %+v", id, s.ConnectionTokenSets)
				}
				seen[id] = true
			}
		}
	})
}

// wantLeast checks whom the cap sent away of all: none that some query could still have had
// from now on, while one stays that no query can have, or that expires earlier. The
// fresh token is exempt.
func wantLeast(t *rapid.T, all, kept *session.State, fresh session.Token, now time.Time) {
	stays := map[string]bool{}
	for _, set := range kept.TokenSets {
		stays[set.AccessToken] = true
	}
	had := choosable(all, now)
	for _, gone := range all.TokenSets {
		if stays[gone.AccessToken] || !had[gone.AccessToken] {
			continue
		}
		for _, set := range kept.TokenSets {
			if set.AccessToken != fresh.AccessToken && (!had[set.AccessToken] || set.ExpiresAt < gone.ExpiresAt) {
				t.Fatalf("%+v left, and %+v stayed", gone, set)
			}
		}
	}
}

// choosable returns the access tokens that some query gets at some time from now on.
func choosable(s *session.State, now time.Time) map[string]bool {
	words := []string{"a", "ab", "b", "c", "read:x", "é"}
	c, found := session.NewTokenCache(s), map[string]bool{}
	for _, set := range s.TokenSets {
		if set.ExpiresAt <= now.Unix() {
			continue
		}
		for bits := range 1 << len(words) {
			scope := ""
			for i, w := range words {
				if bits>>i&1 == 1 {
					scope += " " + w
				}
			}
			q := session.TokenQuery{Key: session.QueryKey(set.Audience, scope)}
			if token := c.Find(&q, time.Unix(set.ExpiresAt-1, 0), 0); token != nil {
				found[token.AccessToken] = true
			}
		}
	}
	return found
}
