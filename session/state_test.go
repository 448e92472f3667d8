package session_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

var t0 = time.Unix(1700000000, 0)

func in(d time.Duration) int64 { return t0.Add(d).Unix() }

// ann is a session as it stands some time after its login.
func ann() *session.State {
	return &session.State{
		User:         session.User{"sub": "auth0|ann", "iss": "https://tenant.example/", "session_expiry": json.Number("1700100000")}.Raw(),
		IDToken:      "id-token-1",
		RefreshToken: "refresh-token-1",
		Domain:       "tenant.example",
		TokenSets: []session.TokenSet{
			{Audience: "default", AccessToken: "access-token-1", Scope: "openid email", RequestedScope: "openid email", ExpiresAt: in(time.Hour)},
		},
		ConnectionTokenSets: []session.ConnectionTokenSet{
			{Connection: "google-oauth2", LoginHint: "ann@work.example", AccessToken: "google-token-work", Scope: "calendar", ExpiresAt: in(time.Hour)},
			{Connection: "google-oauth2", AccessToken: "google-token", Scope: "calendar", ExpiresAt: in(2 * time.Hour)},
			{Connection: "github", AccessToken: "github-token", ExpiresAt: in(-time.Hour)},
		},
		Internal: session.Internal{SID: "sid-1", CreatedAt: in(-time.Hour), Ceiling: 1700100000},
	}
}

func TestNewState(t *testing.T) {
	s := session.NewState(session.Login{
		Claims: map[string]any{"sub": "auth0|ann", "sid": "sid-1", "session_expiry": json.Number("1.9e9"), "x": []any{json.Number("1e400")}},
		Response: session.TokenResponse{
			AccessToken: "at", RefreshToken: "rt", IDToken: "it",
			ExpiresIn: 60, HasExpiresIn: true, Scope: "openid", HasScope: true,
		},
		Audience: "https://api.example",
		Scope:    "openid email",
		Domain:   "tenant.example",
		Now:      t0.Add(999 * time.Millisecond),
	})
	want := &session.State{
		User:         session.User{"sub": "auth0|ann", "sid": "sid-1", "session_expiry": json.Number("1900000000"), "x": []any{json.Number("1e400")}}.Raw(),
		IDToken:      "it",
		RefreshToken: "rt",
		TokenSets: []session.TokenSet{{
			Audience: "https://api.example", AccessToken: "at", Scope: "openid", RequestedScope: "openid email", ExpiresAt: in(time.Minute),
		}},
		Domain:   "tenant.example",
		Internal: session.Internal{SID: "sid-1", CreatedAt: t0.Unix(), Ceiling: 1900000000},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestNewState_withAsLittleAsAProviderMaySay(t *testing.T) {
	for name, claims := range map[string]map[string]any{
		"no sid, no ceiling":        {"sub": "auth0|ann"},
		"empty sid, ceiling beyond": {"sub": "auth0|ann", "sid": "", "session_expiry": json.Number("1e400")},
	} {
		s := session.NewState(session.Login{
			Claims:   claims,
			Response: session.TokenResponse{AccessToken: "at"},
			Scope:    "openid email",
			Now:      t0,
			Random:   &cycle{},
		})
		set := s.TokenSets[0]
		if set.Audience != "default" || set.Scope != "openid email" || set.ExpiresAt != in(time.Hour) {
			t.Errorf("%s: token set %+v", name, set)
		}
		if len(s.Internal.SID) != 32 || s.Internal.Ceiling != 0 {
			t.Errorf("%s: internal %+v", name, s.Internal)
		}
		if _, ok := s.User.Claims()["session_expiry"]; ok {
			t.Errorf("%s: user keeps a session_expiry that is none", name)
		}
	}
}

func TestNewState_takesACopyOfTheClaims(t *testing.T) {
	claims := map[string]any{"sub": "auth0|ann", "sid": "s", "roles": []any{"reader"}}
	s := session.NewState(session.Login{Claims: claims, Now: t0})
	claims["roles"].([]any)[0] = "admin"
	if got := s.User.Claims()["roles"].([]any)[0]; got != "reader" {
		t.Errorf("the user's role became %v", got)
	}
	if len(s.TokenSets) != 0 {
		t.Errorf("a response without an access token left %d token sets", len(s.TokenSets))
	}
}

func TestState_SessionDomain(t *testing.T) {
	tests := []struct {
		name       string
		state      *session.State
		configured string
		want       string
	}{
		{"its own", &session.State{Domain: "own.example", User: session.User{"iss": "https://iss.example/"}.Raw()}, "static.example", "own.example"},
		{"configured", &session.State{User: session.User{"iss": "https://iss.example/"}.Raw()}, "static.example", "static.example"},
		{"issuer of the user", &session.State{User: session.User{"iss": "https://iss.example/"}.Raw()}, "", "iss.example"},
		{"unknown", &session.State{}, "", ""},
		{"no state", nil, "static.example", "static.example"},
		{"no state, nothing configured", nil, "", ""},
	}
	for _, tt := range tests {
		if got := tt.state.SessionDomain(tt.configured); got != tt.want {
			t.Errorf("%s: SessionDomain(%q) = %q, want %q", tt.name, tt.configured, got, tt.want)
		}
	}
}

func TestState_copiesShareNothing(t *testing.T) {
	original := ann()
	clone, shown := original.Clone(), original.Session()
	if !reflect.DeepEqual(clone, ann()) {
		t.Fatalf("Clone = %+v", clone)
	}
	clone.User, shown.User["sub"] = "", "changed"
	clone.TokenSets[0].AccessToken, shown.TokenSets[0].AccessToken = "changed", "changed"
	clone.ConnectionTokenSets[0].AccessToken, shown.ConnectionTokenSets[0].AccessToken = "changed", "changed"
	if !reflect.DeepEqual(original, ann()) {
		t.Errorf("changing a copy changed the original: %+v", original)
	}
	var none *session.State
	if none.Clone() != nil || none.Session() != nil {
		t.Error("a copy of nothing is something")
	}
}

func TestState_Session_showsAllButInternal(t *testing.T) {
	a := ann()
	want := &session.Session{
		User: a.User.Claims(), IDToken: a.IDToken, RefreshToken: a.RefreshToken,
		TokenSets: a.TokenSets, ConnectionTokenSets: a.ConnectionTokenSets, Domain: a.Domain,
	}
	if got := a.Session(); !reflect.DeepEqual(got, want) {
		t.Errorf("Session() = %+v, want %+v", got, want)
	}
	b, err := json.Marshal(a.Session())
	if err != nil || strings.Contains(string(b), "sid-1") {
		t.Errorf("as JSON: %s, %v", b, err)
	}
}

func TestState_Remainder(t *testing.T) {
	r := ann().Remainder(t0)
	want := &session.State{Domain: "tenant.example", ConnectionTokenSets: ann().ConnectionTokenSets[:2]}
	want.Internal.CreatedAt = ann().Internal.CreatedAt
	if !reflect.DeepEqual(r, want) {
		t.Errorf("Remainder = %+v, want %+v", r, want)
	}
	if r := ann().Remainder(t0.Add(time.Hour)); len(r.ConnectionTokenSets) != 1 {
		t.Errorf("at the expiry of one of two: %+v", r)
	}
	if r := ann().Remainder(t0.Add(2 * time.Hour)); r != nil {
		t.Errorf("after the last expiry: %+v, want nothing", r)
	}
	if r := (*session.State)(nil).Remainder(t0); r != nil {
		t.Errorf("of nothing: %+v", r)
	}

	a := ann()
	a.Domain = ""
	if r := a.Remainder(t0); r.Domain != "tenant.example" {
		t.Errorf("the domain, known from the user only, became %q", r.Domain)
	}
}
