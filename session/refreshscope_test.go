package session_test

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

// The scope that a refresh asks for, and the one that is cached where the answer names none.
func TestState_RefreshScope(t *testing.T) {
	const configured = "openid profile email offline_access orders"
	tests := []struct {
		name        string
		granted     string // named by the login's answer
		keep        bool
		audience    string // of the refresh
		scope       string // of the call
		sent, after string // after: the scope of the token set when the refresh's answer names none
	}{
		{"nothing named", "", true, "", "", configured, configured},
		{"all named", configured, true, "", "", configured, configured},
		{"all but openid and offline_access", "profile email orders", true, "", "", configured, configured},
		{"fewer", "openid profile offline_access", true, "", "", "", "openid profile offline_access"},
		{"other names", "openid https://www.example.com/auth/userinfo.email", true, "", "", "", "openid https://www.example.com/auth/userinfo.email"},
		{"separated by commas", "openid,profile,email", true, "", "", "", "openid,profile,email"},
		{"fewer, and scopes of the call", "openid  profile", true, "", "write profile", "openid profile write", "openid profile write"},
		{"all named, and scopes of the call", configured, true, "", "write", configured + " write", configured + " write"},
		{"fewer, another audience", "openid profile", true, "https://b.example", "read", configured + " read", configured + " read"},
		{"fewer, Auth0", "openid profile", false, "", "", configured, configured},
	}
	for _, tt := range tests {
		policy := session.Policy{Scope: configured}
		s := session.NewState(session.Login{
			Claims: map[string]any{"sub": "1", "sid": "s"}, Scope: configured, Now: time.Unix(1_800_000_000, 0), KeepToGrant: tt.keep,
			Response: session.TokenResponse{AccessToken: "at", RefreshToken: "rt", Scope: tt.granted, HasScope: tt.granted != ""},
		})
		text, err := session.EncodeState(s)
		if err != nil {
			t.Fatal(err)
		}
		if s, err = session.DecodeState(text); err != nil { // it outlives the process
			t.Fatal(err)
		}
		q := policy.Query(tt.audience, tt.scope)
		if got := s.RefreshScope(q); got != tt.sent {
			t.Errorf("%s: sent %q, want %q", tt.name, got, tt.sent)
		}
		_, token, err := s.ApplyRefresh(q, session.TokenResponse{AccessToken: "at2"}, time.Unix(1_800_000_100, 0), session.ApplyOptions{})
		if err != nil || token.Scope != tt.after {
			t.Errorf("%s: granted %q, %v, want %q", tt.name, token.Scope, err, tt.after)
		}
	}
}

// Where nothing is configured nothing is narrowed.
func TestState_RefreshScope_nothingConfigured(t *testing.T) {
	s := session.NewState(session.Login{
		Claims: map[string]any{"sub": "1", "sid": "s"}, Now: time.Unix(1_800_000_000, 0), KeepToGrant: true,
		Response: session.TokenResponse{AccessToken: "at", Scope: "openid", HasScope: true},
	})
	if got := s.RefreshScope((session.Policy{}).Query("", "")); got != "" {
		t.Errorf("sent %q, want no parameter", got)
	}
	if got := s.RefreshScope((session.Policy{}).Query("", "read")); got != "read" {
		t.Errorf("sent %q, want read", got)
	}
}

// A refresh that asks for no scope is for what the login was granted (RFC 6749 section 6), also where no answer says what that is:
// then it is the scope that the login asked for (section 5.1).
func TestState_ApplyRefresh_theGrantStays(t *testing.T) {
	const asked = "openid profile email offline_access"
	for _, tt := range []struct {
		name     string
		granted  string // named by the login's answer
		keep     bool
		audience string // of the refresh
		scope    string // of the call
		after    string // the scope of the token set when the refresh's answer names none
	}{
		{"the login's answer named none", "", true, "", "", asked},
		{"it named fewer", "openid profile", true, "", "", "openid profile"},
		{"it named none, and the call asks for some", "", true, "", "write", "write"},
		{"it named fewer, and the call asks for some", "openid profile", true, "", "write", "write"},
		{"another audience", "", true, "https://b.example", "", ""},
		{"another audience, it named fewer", "openid", true, "https://b.example", "", ""},
		{"Auth0", "", false, "", "", ""},
	} {
		s := session.NewState(session.Login{
			Claims: map[string]any{"sub": "1", "sid": "s"}, Scope: asked, Now: time.Unix(1_800_000_000, 0), KeepToGrant: tt.keep,
			Response: session.TokenResponse{AccessToken: "at", RefreshToken: "rt", Scope: tt.granted, HasScope: tt.granted != ""},
		})
		text, err := session.EncodeState(s)
		if err != nil {
			t.Fatal(err)
		}
		if s, err = session.DecodeState(text); err != nil {
			t.Fatal(err)
		}
		q := (session.Policy{}).Query(tt.audience, tt.scope)
		for range 2 {
			next, token, err := s.ApplyRefresh(q, session.TokenResponse{AccessToken: "at2"}, time.Unix(1_800_000_100, 0), session.ApplyOptions{})
			if err != nil || token.Scope != tt.after {
				t.Errorf("%s: granted %q, %v, want %q", tt.name, token.Scope, err, tt.after)
			}
			if tt.after == asked && len(next.TokenSets) != 1 {
				t.Errorf("%s: %d token sets, want the login's replaced", tt.name, len(next.TokenSets))
			}
			s = next
		}
	}
}
