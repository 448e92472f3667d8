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
		s := &session.State{User: ann().User, Internal: ann().Internal, RefreshToken: "rt"}
		newest := s.RefreshToken
		now := t0
		for i := range rapid.IntRange(1, 12).Draw(t, "answers") {
			now = now.Add(time.Duration(rapid.IntRange(0, 50_000).Draw(t, "later")) * time.Second)
			r := session.TokenResponse{
				AccessToken:  rapid.SampledFrom([]string{"", fmt.Sprint("t", i), fmt.Sprint("t", i)}).Draw(t, "access token"),
				RefreshToken: rapid.SampledFrom([]string{"", fmt.Sprint("rt", i)}).Draw(t, "refresh token"),
				ExpiresIn:    rapid.Int64Range(1, 50_000).Draw(t, "expires in"),
				HasExpiresIn: true,
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
					if found, ok := s.FindConnection(k, now); !ok || found != token {
						t.Fatalf("after the exchange for %+v: found %+v, want %+v", k, found, token)
					}
				}
			} else {
				q := question(word.Draw(t, "audience"), scopes().Draw(t, "scope"))
				if s, _, err = s.ApplyRefresh(q, r, now, o); err == nil {
					if session.NewTokenCache(s).Lookup(q, now, 0) == nil {
						t.Fatalf("after the refresh for %+v: a miss in %+v", q, s.TokenSets)
					}
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
