package session_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/tokenward/tokenward/session"
)

func TestUser_accessors(t *testing.T) {
	u := session.User{
		"sub": "auth0|1", "name": "Ann Lee", "nickname": "ann", "given_name": "Ann", "family_name": "Lee",
		"picture": "https://p.example/1", "email": "ann@example.com", "email_verified": true,
		"org_id": "org_1", "org_name": "acme", "session_expiry": json.Number("1900000000"),
	}
	got := []any{u.Sub(), u.Name(), u.Nickname(), u.GivenName(), u.FamilyName(), u.Picture(), u.Email(), u.EmailVerified(), u.OrgID(), u.OrgName(), u.SessionExpiry()}
	want := []any{"auth0|1", "Ann Lee", "ann", "Ann", "Lee", "https://p.example/1", "ann@example.com", true, "org_1", "acme", session.Ceiling(1900000000)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, u := range map[string]session.User{"none": nil, "wrong types": {"sub": 7, "email_verified": 1, "session_expiry": "1900000000"}} {
		if u.Sub() != "" || u.EmailVerified() || u.SessionExpiry() != 0 {
			t.Errorf("%s: %q %v %d, want zero values", name, u.Sub(), u.EmailVerified(), u.SessionExpiry())
		}
	}
}

func TestUser_Clone_sharesNothing(t *testing.T) {
	u := session.User{"a": map[string]any{"b": []any{"c", map[string]any{"d": "e"}}}}
	c := u.Clone()
	if !reflect.DeepEqual(u, c) {
		t.Fatalf("Clone = %v, want %v", c, u)
	}
	list := c["a"].(map[string]any)["b"].([]any)
	list[0] = "changed"
	list[1].(map[string]any)["d"] = "changed"
	c["new"] = true
	if want := (session.User{"a": map[string]any{"b": []any{"c", map[string]any{"d": "e"}}}}); !reflect.DeepEqual(u, want) {
		t.Errorf("changing the copy changed the original: %v", u)
	}
	if session.User(nil).Clone() != nil {
		t.Error("the copy of no user is a user")
	}
}

func TestUser_EmailVerified(t *testing.T) {
	for _, claim := range []any{true, "true"} {
		if !(session.User{"email_verified": claim}).EmailVerified() {
			t.Errorf("EmailVerified of %#v = false, want true", claim)
		}
	}
	for _, claim := range []any{nil, false, "false", "TRUE", "1", 1, []any{true}, map[string]any{"true": true}} {
		if (session.User{"email_verified": claim}).EmailVerified() {
			t.Errorf("EmailVerified of %#v = true, want false", claim)
		}
	}
}
