package session_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/session"
)

func TestLacksProfile(t *testing.T) {
	tests := []struct {
		name    string
		user    session.User
		granted string
		want    bool
	}{
		{"all there", session.User{"name": "Ada", "email": "a@b.example"}, "openid profile email", false},
		{"no name", session.User{"email": "a@b.example"}, "openid profile email", true},
		{"no email", session.User{"name": "Ada"}, "openid profile email", true},
		{"no name, profile not granted", session.User{"email": "a@b.example"}, "openid email", false},
		{"neither scope granted", session.User{}, "openid offline_access", false},
		{"nothing granted", session.User{}, "", false},
		{"name null", session.User{"name": nil}, "profile", true},
		{"name empty", session.User{"name": ""}, "profile", true},
		{"name a number", session.User{"name": json.Number("1")}, "profile", true},
	}
	for _, tt := range tests {
		if got := session.LacksProfile(tt.user, session.ParseScope(tt.granted)); got != tt.want {
			t.Errorf("%s: LacksProfile = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestAddUserInfo(t *testing.T) {
	u := session.User{"sub": "1", "iss": "https://i.example", "email": "id@token.example", "locale": nil}
	info := session.User{
		"sub": "1", "name": "Ada", "email": "user@info.example", "locale": "de", "address": map[string]any{"country": "UK"}, "picture": nil, "photo": strings.Repeat("x", 3000),
		"session_expiry": json.Number("1900000000"), "aud": "x", "exp": json.Number("1"), "iat": json.Number("1"), "nbf": json.Number("1"),
		"jti": "x", "nonce": "x", "azp": "x", "auth_time": json.Number("1"), "acr": "x", "amr": []any{"x"}, "sid": "x",
		"org_id": "x", "org_name": "x",
	}
	want := session.User{
		"sub": "1", "iss": "https://i.example", "email": "id@token.example", "name": "Ada", "locale": "de",
		"address": map[string]any{"country": "UK"},
	}
	got, ok := session.AddUserInfo(u, info)
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, ok, want)
	}
	got["address"].(map[string]any)["country"] = "changed"
	if info["address"].(map[string]any)["country"] != "UK" || u["name"] != nil {
		t.Error("the result shares memory with what it was made of")
	}
	for claim, tt := range map[string]struct{ token, info, want session.User }{
		"of another address":  {session.User{"email": "a@b.example"}, session.User{"email": "c@d.example", "email_verified": true}, session.User{"email": "a@b.example"}},
		"of the same address": {session.User{"email": "a@b.example"}, session.User{"email": "a@b.example", "email_verified": true}, session.User{"email": "a@b.example", "email_verified": true}},
		"of UserInfo's own":   {session.User{}, session.User{"email": "c@d.example", "email_verified": true}, session.User{"email": "c@d.example", "email_verified": true}},
		"of no address":       {session.User{"email": "a@b.example"}, session.User{"email_verified": true}, session.User{"email": "a@b.example"}},
		"of no text":          {session.User{"email": []any{"a"}}, session.User{"email": []any{"a"}, "email_verified": true}, session.User{"email": []any{"a"}}},
		"of another number": {
			session.User{"phone_number": "+1"}, session.User{"phone_number": "+2", "phone_number_verified": true}, session.User{"phone_number": "+1"},
		},
	} {
		tt.token["sub"], tt.info["sub"], tt.want["sub"] = "1", "1", "1"
		if got, _ := session.AddUserInfo(tt.token, tt.info); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("verified, %s: got %v, want %v", claim, got, tt.want)
		}
	}
	for _, other := range []session.User{{"sub": "2", "name": "Eve"}, {"name": "Eve"}, {"sub": 1, "name": "Eve"}, nil} {
		if got, ok := session.AddUserInfo(u, other); ok || got["name"] != nil {
			t.Errorf("the claims of %v were taken: %v", other, got)
		}
	}
}
