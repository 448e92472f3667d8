package session_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

var options = session.ApplyOptions{ClientID: "client-1", Issuer: "https://tenant.example/"}

// refreshed is a good answer: a token for an hour, a rotated refresh token, an ID
// token of the same user.
func refreshed() session.TokenResponse {
	return session.TokenResponse{
		AccessToken:  "access-token-2",
		RefreshToken: "refresh-token-2",
		IDToken:      "id-token-2",
		ExpiresIn:    3600,
		HasExpiresIn: true,
		IDClaims:     &session.IDClaims{Issuer: "https://tenant.example/", Subject: "auth0|ann", Audience: []string{"client-1"}},
	}
}

func TestApplyRefresh(t *testing.T) {
	before := ann()
	q := query("https://api.example", "read:x read:y")
	after, token, err := before.ApplyRefresh(q, refreshed(), t0.Add(time.Millisecond), options)
	if err != nil {
		t.Fatal(err)
	}

	want := ann()
	want.RefreshToken, want.IDToken = "refresh-token-2", "id-token-2"
	want.TokenSets = append(want.TokenSets, session.TokenSet{
		Audience: "https://api.example", AccessToken: "access-token-2", Scope: "read:x read:y", RequestedScope: "read:x read:y", ExpiresAt: in(time.Hour),
	})
	if !reflect.DeepEqual(after, want) {
		t.Errorf("after\n%+v, want\n%+v", after, want)
	}
	wantToken := session.Token{AccessToken: "access-token-2", Audience: "https://api.example", Scope: "read:x read:y", ExpiresAt: t0.Add(time.Hour).UTC()}
	if token != wantToken {
		t.Errorf("token %+v, want %+v", token, wantToken)
	}
	if !reflect.DeepEqual(before, ann()) {
		t.Errorf("the state before was changed: %+v", before)
	}
}

// What may not be kept: the error says why, and all that changes is the refresh
// token.
func TestApplyRefresh_refuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*session.TokenResponse, *session.ApplyOptions)
		want   session.Code
	}{
		{"no access token", func(r *session.TokenResponse, _ *session.ApplyOptions) { r.AccessToken = "" }, session.CodeRefreshTokenError},
		{"ID token that cannot be read", func(r *session.TokenResponse, _ *session.ApplyOptions) { r.IDClaims = nil }, session.CodeRefreshTokenError},
		{"another issuer", func(r *session.TokenResponse, _ *session.ApplyOptions) { r.IDClaims.Issuer = "https://evil.example/" }, session.CodeRefreshTokenError},
		{"no issuer", func(r *session.TokenResponse, _ *session.ApplyOptions) { r.IDClaims.Issuer = "" }, session.CodeRefreshTokenError},
		{"another subject", func(r *session.TokenResponse, _ *session.ApplyOptions) { r.IDClaims.Subject = "auth0|bob" }, session.CodeRefreshTokenError},
		{"another client", func(r *session.TokenResponse, _ *session.ApplyOptions) { r.IDClaims.Audience = []string{"client-2"} }, session.CodeRefreshTokenError},
		{"no audience", func(r *session.TokenResponse, _ *session.ApplyOptions) { r.IDClaims.Audience = nil }, session.CodeRefreshTokenError},
		{"another audience, strictly", func(r *session.TokenResponse, o *session.ApplyOptions) {
			r.TokenAudience = []string{"https://other.example"}
			o.StrictAudience = true
		}, session.CodeIncorrectAudience},
	}
	for _, tt := range tests {
		r, o := refreshed(), options
		tt.change(&r, &o)
		before := ann()
		after, token, err := before.ApplyRefresh(query("A", "a"), r, t0, o)

		var access *session.AccessTokenError
		if !errors.As(err, &access) || access.Code != tt.want || token != (session.Token{}) {
			t.Errorf("%s: err = %v, token %v; want %s and no token", tt.name, err, token, tt.want)
		}
		want := ann()
		want.RefreshToken = "refresh-token-2"
		if !reflect.DeepEqual(after, want) {
			t.Errorf("%s: after %+v, want only the new refresh token", tt.name, after)
		}

		r.RefreshToken = ""
		if after, _, _ := before.ApplyRefresh(query("A", "a"), r, t0, o); after != before {
			t.Errorf("%s, without a refresh token: another state, want the same", tt.name)
		}
	}
}

func TestApplyRefresh_expiry(t *testing.T) {
	tests := []struct {
		name string
		in   int64
		has  bool
		want int64
	}{
		{"an hour", 3600, true, in(time.Hour)},
		{"zero", 0, true, in(0)},
		{"absent", 0, false, in(time.Hour)},
		{"negative", -5, true, in(0)},
		{"beyond all seconds", math.MaxInt64, true, 9999999999},
	}
	for _, tt := range tests {
		r := refreshed()
		r.ExpiresIn, r.HasExpiresIn = tt.in, tt.has
		s, token, err := ann().ApplyRefresh(query("A", "a"), r, t0.Add(999*time.Millisecond), options)
		if err != nil || token.ExpiresAt.Unix() != tt.want || s.TokenSets[1].ExpiresAt != tt.want {
			t.Errorf("%s: expires at %d, want %d (%v)", tt.name, token.ExpiresAt.Unix(), tt.want, err)
		}
		hit := session.NewTokenCache(s).Find(query("A", "a"), t0, 0) != nil
		if hit != (tt.want > in(0)) {
			t.Errorf("%s: found again = %v", tt.name, hit)
		}
	}
}

func TestApplyRefresh_idTokenAndDomain(t *testing.T) {
	r := refreshed()
	r.IDToken, r.IDClaims = "", nil
	if s, _, err := ann().ApplyRefresh(query("A", ""), r, t0, options); err != nil || s.IDToken != "id-token-1" {
		t.Errorf("without an ID token: %q, %v; want the old one kept", s.IDToken, err)
	}

	// A session of older times knows neither its domain nor its user's issuer.
	old := ann()
	old.Domain = ""
	old.User = session.User{"sub": "auth0|ann"}.Raw()
	s, _, err := old.ApplyRefresh(query("A", ""), refreshed(), t0, options)
	if err != nil || s.Domain != "tenant.example" {
		t.Errorf("domain %q, %v; want the issuer's", s.Domain, err)
	}
	r = refreshed()
	r.IDClaims.Issuer = "https://other.example/"
	if _, _, err := old.ApplyRefresh(query("A", ""), r, t0, options); session.CodeOf(err) != session.CodeRefreshTokenError {
		t.Errorf("an ID token of another issuer than was asked: %v", err)
	}

	// An issuer is the same in any spelling.
	r.IDClaims.Issuer = "HTTPS://Tenant.Example"
	if _, _, err := ann().ApplyRefresh(query("A", ""), r, t0, options); err != nil {
		t.Errorf("the issuer in capitals: %v", err)
	}
}

func TestApplyRefresh_user(t *testing.T) {
	claims := map[string]any{"sub": "auth0|ann", "name": "Ann Lee", "session_expiry": int64(1900000000), "iat": int64(1900000000)}
	r := refreshed()
	r.IDClaims.All = claims

	s, _, err := ann().ApplyRefresh(query("A", ""), r, t0, options)
	if err != nil || !reflect.DeepEqual(s.User, ann().User) {
		t.Errorf("by default: user %v, %v; want it as it was", s.User, err)
	}

	o := options
	o.UpdateUser = true
	before := ann()
	s, _, err = before.ApplyRefresh(query("A", ""), r, t0, o)
	want := ann().User.Claims()
	want["name"] = "Ann Lee"
	if err != nil || !reflect.DeepEqual(s.User.Claims(), want) {
		t.Errorf("with UpdateUser: user %v, want %v (%v)", s.User, want, err)
	}
	if !reflect.DeepEqual(s.Internal, ann().Internal) {
		t.Errorf("internal %+v", s.Internal)
	}
	if !reflect.DeepEqual(before, ann()) {
		t.Errorf("the state before was changed: %+v", before)
	}

	before.User = ""
	if s, _, _ := before.ApplyRefresh(query("A", ""), r, t0, o); s.User.Claims().Name() != "Ann Lee" || s.User.Claims().SessionExpiry() != 0 {
		t.Errorf("a session without a user: %v", s.User)
	}
}

func TestApplyRefresh_actualAudience(t *testing.T) {
	tests := []struct {
		name     string
		audience string
		actual   []string
		want     string
	}{
		{"as asked", "A", []string{"A", "B"}, ""},
		{"another", "A", []string{"B"}, "B"},
		{"others", "A", []string{"B", "C"}, "B C"},
		{"unreadable", "A", nil, ""},
		{"none asked", "", []string{"B"}, ""},
	}
	for _, tt := range tests {
		r := refreshed()
		r.TokenAudience = tt.actual
		q := query(tt.audience, "a")
		s, token, err := ann().ApplyRefresh(q, r, t0, options)
		if err != nil || token.ActualAudience != tt.want || s.TokenSets[1].ActualAudience != tt.want {
			t.Errorf("%s: actual audience %q, want %q (%v)", tt.name, token.ActualAudience, tt.want, err)
		}
		if found := session.NewTokenCache(s).Find(q, t0, 0); found == nil || *found != token {
			t.Errorf("%s: found %v under the audience asked for, want %v", tt.name, found, token)
		}
	}
}

// Which set of audience A a token makes way for.
func TestApplyRefresh_place(t *testing.T) {
	set := func(granted, requested string) session.TokenSet {
		return session.TokenSet{Audience: "A", AccessToken: "old", Scope: granted, RequestedScope: requested, ExpiresAt: in(time.Hour)}
	}
	other := session.TokenSet{Audience: "B", AccessToken: "old", Scope: "a", RequestedScope: "a", ExpiresAt: in(time.Hour)}
	tests := []struct {
		name    string
		sets    []session.TokenSet
		asked   string
		granted string
		want    int // place of the new token
		length  int
	}{
		{"same scopes", []session.TokenSet{set("a b", "a b"), other}, "b a", "b  a", 0, 2},
		{"another audience stays", []session.TokenSet{other}, "a", "a", 1, 2},
		{"other scopes stay", []session.TokenSet{set("a", "a"), other}, "a b", "a b", 2, 3},
		{"narrowed alike, asked for differently", []session.TokenSet{set("a", "a b"), other}, "a c", "a", 2, 3},
		{"older state without the request", []session.TokenSet{set("a", ""), other}, "a c", "a", 0, 2},
		{"the same request before one unknown", []session.TokenSet{set("a", ""), set("a", "a c")}, "a c", "a", 1, 2},
		{"nothing requested", []session.TokenSet{set("a", "a b")}, "", "a", 0, 1},
		{"granted less than before", []session.TokenSet{set("a b", "a b")}, "a b", "a", 1, 2},
	}
	for _, tt := range tests {
		s := ann()
		s.TokenSets = tt.sets
		r := refreshed()
		r.Scope, r.HasScope = tt.granted, true
		after, _, err := s.ApplyRefresh(query("A", tt.asked), r, t0, options)
		if err != nil || len(after.TokenSets) != tt.length || after.TokenSets[tt.want].AccessToken != "access-token-2" {
			t.Errorf("%s: %+v (%v), want the new token at %d of %d", tt.name, after.TokenSets, err, tt.want, tt.length)
		}
	}
}

func TestApplyRefresh_dropsWhatExpiredADayAgo(t *testing.T) {
	s := ann()
	s.TokenSets = []session.TokenSet{
		{Audience: "gone", AccessToken: "t", ExpiresAt: in(-24*time.Hour - time.Second)},
		{Audience: "stays", AccessToken: "t", ExpiresAt: in(-24 * time.Hour)},
	}
	s.ConnectionTokenSets[2].ExpiresAt = in(-48 * time.Hour)
	after, _, _ := s.ApplyRefresh(query("A", ""), refreshed(), t0, options)
	if len(after.TokenSets) != 2 || after.TokenSets[0].Audience != "stays" {
		t.Errorf("token sets %+v", after.TokenSets)
	}
	if len(after.ConnectionTokenSets) != 3 {
		t.Errorf("a refresh dropped connection token sets: %+v", after.ConnectionTokenSets)
	}
	after, _, _ = s.ApplyConnection(session.ConnectionKey("c", ""), refreshed(), t0, options)
	if len(after.TokenSets) != 2 || len(after.ConnectionTokenSets) != 3 {
		t.Errorf("an exchange left %d token sets and %d connection token sets, want 2 and 3", len(after.TokenSets), len(after.ConnectionTokenSets))
	}
}

func TestApplyRefresh_capsTheList(t *testing.T) {
	s := ann()
	s.TokenSets = nil
	for i := range 70 {
		s.TokenSets = append(s.TokenSets, session.TokenSet{Audience: fmt.Sprint(i), AccessToken: "t", ExpiresAt: in(time.Duration(100+(i*37)%70) * time.Second)})
	}
	r := refreshed()
	r.ExpiresIn = 1 // the oldest of all, and yet what was asked for
	after, _, err := s.ApplyRefresh(query("A", ""), r, t0, options)
	if err != nil || len(after.TokenSets) != 64 || after.TokenSets[63].Audience != "A" {
		t.Fatalf("%d token sets, the last %+v (%v); want 64 and the new one", len(after.TokenSets), after.TokenSets[len(after.TokenSets)-1], err)
	}
	for _, set := range after.TokenSets[:63] {
		if set.ExpiresAt < in(107*time.Second) {
			t.Errorf("%+v stayed, while one that expires later left", set)
		}
	}

	o := options
	o.MaxTokenSets = 1
	after, _, _ = s.ApplyRefresh(query("A", ""), r, t0, o)
	if len(after.TokenSets) != 1 || after.TokenSets[0].Audience != "A" {
		t.Errorf("a cap of 1 left %+v", after.TokenSets)
	}
}

// Two queries that the provider narrows to one grant find their answers, and go on
// finding them, whichever is refreshed.
func TestApplyRefresh_narrowedGrantsDoNotChaseEachOther(t *testing.T) {
	s := ann()
	r := refreshed()
	r.Scope, r.HasScope = "a", true
	one, two := query("A", "a b"), query("A", "a c")
	for range 3 {
		s, _, _ = s.ApplyRefresh(one, r, t0, options)
		s, _, _ = s.ApplyRefresh(two, r, t0, options)
		c := session.NewTokenCache(s)
		hit1 := c.Find(one, t0, 0) != nil
		hit2 := c.Find(two, t0, 0) != nil
		if !hit1 || !hit2 || len(s.TokenSets) != 3 {
			t.Fatalf("found %v and %v in %+v", hit1, hit2, s.TokenSets)
		}
	}
}

func TestState_WithRefreshToken(t *testing.T) {
	s := ann()
	if s.WithRefreshToken("") != s || s.WithRefreshToken("refresh-token-1") != s {
		t.Error("another state, though nothing changed")
	}
	if next := s.WithRefreshToken("2"); next.RefreshToken != "2" || s.RefreshToken != "refresh-token-1" {
		t.Errorf("new %q, old %q", next.RefreshToken, s.RefreshToken)
	}
}

// After a conflict an answer is applied to the record as another process left it:
// both tokens are there.
func TestApplyRefresh_mergesIntoWhatWasReadAnew(t *testing.T) {
	stored, _, _ := ann().ApplyRefresh(query("theirs", ""), session.TokenResponse{AccessToken: "t", ExpiresIn: 60, HasExpiresIn: true}, t0, options)
	merged, _, err := stored.ApplyRefresh(query("ours", ""), refreshed(), t0, options)
	if err != nil {
		t.Fatal(err)
	}
	c := session.NewTokenCache(merged)
	for _, audience := range []string{"default", "theirs", "ours"} {
		if c.Find(query(audience, ""), t0, 0) == nil {
			t.Errorf("no token for %s", audience)
		}
	}
}
