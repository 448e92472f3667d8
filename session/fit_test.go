package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Sets leave as they do at the cap: those of no use first, then those that expire first; the one that just came stays.
func TestApplyRefresh_staysWithinMaxBytes(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	set := func(name string, expires int64) session.TokenSet {
		return session.TokenSet{Audience: name, AccessToken: name + strings.Repeat("x", 1000), Scope: "s", ExpiresAt: now.Unix() + expires}
	}
	s := &session.State{
		RefreshToken: "rt",
		TokenSets:    []session.TokenSet{set("late", 900), set("expired", -5), set("soon", 60)},
		ConnectionTokenSets: []session.ConnectionTokenSet{
			{Connection: "c", AccessToken: "c" + strings.Repeat("x", 1000), ExpiresAt: now.Unix() + 30},
		},
	}
	q := session.Policy{}.Query("new", "")
	response := session.TokenResponse{AccessToken: "new" + strings.Repeat("x", 1000), RefreshToken: "rt2"}
	for limit, want := range map[int]string{
		0: "late expired soon new c", 100_000: "late expired soon new c", 4900: "late soon new c", 3900: "late soon new", 2700: "late new", 1500: "new",
	} {
		next, _, err := s.ApplyRefresh(q, response, now, session.ApplyOptions{MaxBytes: limit})
		if err != nil {
			t.Errorf("%d bytes: %v", limit, err)
			continue
		}
		var kept []string
		for _, set := range next.TokenSets {
			kept = append(kept, set.Audience)
		}
		for _, set := range next.ConnectionTokenSets {
			kept = append(kept, set.Connection)
		}
		if got := strings.Join(kept, " "); got != want || next.RefreshToken != "rt2" {
			t.Errorf("%d bytes: %s are left, want %s", limit, got, want)
		}
		if b, err := session.AppendState(nil, next); err != nil || limit > 0 && len(b) > limit {
			t.Errorf("%d bytes: %d, %v", limit, len(b), err)
		}
	}
	before := fmt.Sprint(len(s.TokenSets), len(s.ConnectionTokenSets), s.TokenSets[1].Audience)
	next, _, err := s.ApplyRefresh(q, response, now, session.ApplyOptions{MaxBytes: 500})
	if session.CodeOf(err) != session.CodeSessionTooLarge || next.RefreshToken != "rt2" || len(next.TokenSets) != 3 {
		t.Errorf("too large: %d sets, %v", len(next.TokenSets), err)
	}
	next, _, err = s.ApplyConnection(session.ConnectionKey("d", ""), response, now, session.ApplyOptions{MaxBytes: 500})
	if session.CodeOf(err) != session.CodeSessionTooLarge || next.RefreshToken != "rt2" || len(next.ConnectionTokenSets) != 1 {
		t.Errorf("too large: %d sets, %v", len(next.ConnectionTokenSets), err)
	}
	if after := fmt.Sprint(len(s.TokenSets), len(s.ConnectionTokenSets), s.TokenSets[1].Audience); after != before {
		t.Errorf("the state before has changed: %s", after)
	}
}

// What a login can do without leaves first: the access token, which a refresh gets again, then the ID token.
func TestState_FitLogin(t *testing.T) {
	s := &session.State{
		RefreshToken: "rt", IDToken: strings.Repeat("i", 1000),
		TokenSets: []session.TokenSet{{Audience: "a", AccessToken: strings.Repeat("t", 1000)}},
	}
	for limit, want := range map[int]string{
		0: "access token, ID token", 3000: "access token, ID token", 2000: "ID token", 1000: "", 50: "nothing fits",
	} {
		fitted, fits := s.FitLogin(limit)
		var kept []string
		if len(fitted.TokenSets) > 0 {
			kept = append(kept, "access token")
		}
		if fitted.IDToken != "" {
			kept = append(kept, "ID token")
		}
		if !fits {
			kept = append(kept, "nothing fits")
		}
		if got := strings.Join(kept, ", "); got != want || fitted.RefreshToken != "rt" {
			t.Errorf("%d bytes: left are %q, want %q", limit, got, want)
		}
	}
}
