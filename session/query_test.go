package session_test

import (
	"testing"

	"github.com/tokenward/tokenward/session"
)

func TestPolicy_Query(t *testing.T) {
	byAudience := session.Policy{
		Audience: "A",
		ScopeFor: map[string]string{"A": "openid email profile", "B": "read:x write:x"},
	}
	oneString := session.Policy{Audience: "A", Scope: "openid  email"}
	noAudience := session.Policy{ScopeFor: map[string]string{session.DefaultAudience: "openid email"}}
	tests := []struct {
		name            string
		policy          session.Policy
		audience, scope string
		wantKey         string // audience of the key
		wantAudience    string // sent
		wantScope       string // sent
	}{
		{"nothing asked", byAudience, "", "", "A", "A", "openid email profile"},
		{"another audience", byAudience, "B", "", "B", "B", "read:x write:x"},
		{"one scope more", byAudience, "A", "write:admin", "A", "A", "openid email profile write:admin"},
		{"overlapping scopes", byAudience, "B", "write:x read:y", "B", "B", "read:x write:x read:y"},
		{"audience not in the map", byAudience, "C", "z z y", "C", "C", "z y"},
		{"audience not in the map, no scope", byAudience, "C", "", "C", "C", ""},

		{"one string is for every audience", oneString, "C", "z", "C", "C", "openid email z"},
		{"a map, even empty, rules the string out", session.Policy{Scope: "a", ScopeFor: map[string]string{}}, "", "", "default", "", ""},
		{"nothing configured", session.Policy{}, "", "", "default", "", ""},
		{"no login default here", session.Policy{}, "B", "", "B", "B", ""},

		{"no audience", noAudience, "", "", "default", "", "openid email"},
		{"the stand-in by name", noAudience, "default", "", "default", "", "openid email"},
		{"configured as the word default", session.Policy{Audience: "default"}, "", "", "default", "default", ""},
		{"configured and asked as the word default", session.Policy{Audience: "default"}, "default", "", "default", "default", ""},
		{"the word default beside another", byAudience, "default", "", "default", "default", ""},
	}
	for _, tt := range tests {
		q := tt.policy.Query(tt.audience, tt.scope)
		if q.Key.Audience != tt.wantKey || q.Audience != tt.wantAudience || q.Scope != tt.wantScope {
			t.Errorf("%s: Query(%q, %q) = key %q, audience %q, scope %q; want %q, %q, %q", tt.name, tt.audience, tt.scope,
				q.Key.Audience, q.Audience, q.Scope, tt.wantKey, tt.wantAudience, tt.wantScope)
		}
		if want := session.ParseScope(q.Scope).String(); q.Key.Scopes != want {
			t.Errorf("%s: scope %q under the key %q, want %q", tt.name, q.Scope, q.Key.Scopes, want)
		}
		if q.Key.ForConnection() {
			t.Errorf("%s: the key is for a connection", tt.name)
		}
	}
}

func TestPolicy_Query_orderDoesNotSplitAFlight(t *testing.T) {
	p := session.Policy{Audience: "A", Scope: "openid"}
	a, b := p.Query("", "x y"), p.Query("A", " y\tx  openid")
	if a.Key != b.Key {
		t.Errorf("keys differ: %+v and %+v", a.Key, b.Key)
	}
	if got := session.QueryKey("A", "y x openid"); got != a.Key {
		t.Errorf("QueryKey = %+v, want %+v", got, a.Key)
	}
}

func TestPolicy_LoginScope(t *testing.T) {
	byAudience := session.Policy{Audience: "A", ScopeFor: map[string]string{"A": "openid email", "B": "read:x"}}
	tests := []struct {
		name              string
		policy            session.Policy
		audience, perCall string
		want              string
	}{
		{"nothing written", session.Policy{}, "", "", "openid profile email offline_access"},
		{"white space is nothing", session.Policy{Scope: " \t"}, "", " ", "openid profile email offline_access"},
		{"configured", session.Policy{Scope: "openid email"}, "", "", "openid email"},
		{"configured and per call", session.Policy{Scope: "openid email"}, "", "email read:x", "openid email read:x"},
		{"openid lacks", session.Policy{Scope: "email read:x"}, "", "", "openid email read:x"},
		{"openid stays where it is", session.Policy{Scope: "email openid"}, "", "", "email openid"},
		{"only per call", session.Policy{}, "", "read:x", "openid read:x"},
		{"map", byAudience, "", "", "openid email"},
		{"map, other audience", byAudience, "B", "", "openid read:x"},
		{"map without an entry", byAudience, "C", "", "openid profile email offline_access"},
		{"map without an entry, scope per call", byAudience, "C", "read:y", "openid read:y"},
		{"map, no audience", session.Policy{ScopeFor: map[string]string{"default": "openid a"}}, "", "", "openid a"},
	}
	for _, tt := range tests {
		if got := tt.policy.LoginScope(tt.audience, tt.perCall); got != tt.want {
			t.Errorf("%s: LoginScope(%q, %q) = %q, want %q", tt.name, tt.audience, tt.perCall, got, tt.want)
		}
	}
}

func TestConnectionKey(t *testing.T) {
	k := session.ConnectionKey("google-oauth2", "ann@example.com")
	if !k.ForConnection() || k == session.ConnectionKey("google-oauth2", "") {
		t.Errorf("%+v does not tell accounts apart", k)
	}
}
