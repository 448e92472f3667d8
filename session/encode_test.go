package session_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/session"
)

func decode(t testing.TB, doc string) *session.State {
	t.Helper()
	s, err := session.DecodeState([]byte(doc))
	if err != nil {
		t.Fatalf("DecodeState(%s): %v", doc, err)
	}
	return s
}

func encode(t testing.TB, s *session.State) string {
	t.Helper()
	b, err := session.EncodeState(s)
	if err != nil {
		t.Fatalf("EncodeState: %v", err)
	}
	return string(b)
}

// This is the stored form. Sessions out there have it: it may grow, not change.
func TestEncodeState_form(t *testing.T) {
	s := ann()
	s.TokenSets[0].ActualAudience = "https://other.example"
	want := `{
		"user": {"sub": "auth0|ann", "iss": "https://tenant.example/", "session_expiry": 1700100000},
		"id_token": "id-token-1",
		"refresh_token": "refresh-token-1",
		"domain": "tenant.example",
		"token_sets": [
			{"audience": "default", "access_token": "access-token-1", "scope": "openid email", "requested_scope": "openid email",
			 "expires_at": 1700003600, "actual_audience": "https://other.example"}],
		"connection_token_sets": [
			{"connection": "google-oauth2", "login_hint": "ann@work.example", "access_token": "google-token-work", "scope": "calendar", "expires_at": 1700003600},
			{"connection": "google-oauth2", "login_hint": "", "access_token": "google-token", "scope": "calendar", "expires_at": 1700007200},
			{"connection": "github", "login_hint": "", "access_token": "github-token", "scope": "", "expires_at": 1699996400}],
		"internal": {"sid": "sid-1", "created_at": 1699996400, "session_expires_at": 1700100000}
	}`
	got := encode(t, s)
	if !sameJSON(t, got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if back := decode(t, got); !reflect.DeepEqual(back, s) {
		t.Errorf("read back: %+v\nwant %+v", back, s)
	}
}

func TestEncodeState_leavesOutWhatIsNone(t *testing.T) {
	got := encode(t, &session.State{Internal: session.Internal{Ceiling: -1}})
	want := `{"user": null, "token_sets": [], "connection_token_sets": [], "internal": {"sid": "", "created_at": 0}}`
	if !sameJSON(t, got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEncodeState_failsWithoutAState(t *testing.T) {
	if b, err := session.EncodeState(nil); err == nil {
		t.Errorf("no session became %s", b)
	}
}

// What others wrote comes back as they wrote it, wherever they did.
func TestState_carriesWhatOthersWrote(t *testing.T) {
	doc := `{
		"User": 1, "TOKEN_SETS": "names are matched exactly", "theirs": {"n": 1e400, "big": 12345678901234567890, "t": "a<b&c"},
		"user": {"sub": "s", "n": 1e400, "f": 1.50, "deep": [{"x": 0.10000000000000000001}], "t": "<&>"},
		"internal": {"sid": "x", "created_at": 1, "theirs": [1.0]},
		"token_sets": [{"audience": "a", "access_token": "t", "scope": "", "expires_at": 5, "theirs": 2.0}],
		"connection_token_sets": [{"connection": "c", "login_hint": "", "access_token": "t", "scope": "s", "expires_at": 5, "theirs": null}]
	}`
	s := decode(t, doc)
	if got := encode(t, s); !sameJSON(t, got, doc) {
		t.Errorf("got  %s\nwant %s", got, doc)
	}
	if got := encode(t, s); !strings.Contains(got, `"a<b&c"`) {
		t.Errorf("it was escaped on the way: %s", got)
	}

	// They stay through a copy and through a refresh, too.
	next, _, err := s.Clone().WithRefreshToken("r").ApplyRefresh(
		session.Policy{}.Query("b", ""), session.TokenResponse{AccessToken: "t2", ExpiresIn: 60, HasExpiresIn: true}, t0, session.ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := encode(t, next); !strings.Contains(got, `"theirs":{"n":1e400,`) || !strings.Contains(got, `"theirs":[1.0]`) {
		t.Errorf("lost after a refresh: %s", got)
	}
}

func TestDecodeState_leniently(t *testing.T) {
	tests := []struct {
		name string
		doc  string
		want session.State
	}{
		{"nothing", `{}`, session.State{}},
		{"nulls", `{"user":null,"id_token":null,"refresh_token":null,"token_sets":null,"connection_token_sets":null,"domain":null,"internal":null}`, session.State{}},
		{"wrong types", `{"id_token":1,"refresh_token":[],"token_sets":"x","connection_token_sets":{},"domain":true}`, session.State{}},
		{"a user without claims", `{"user":{}}`, session.State{User: session.User{}.Raw()}},
		{"numbers stay text", `{"user":{"n":1e400}}`, session.State{User: session.User{"n": json.Number("1e400")}.Raw()}},
		{"ceiling", `{"internal":{"session_expires_at":1900000000}}`, session.State{Internal: session.Internal{Ceiling: 1900000000}}},
		{"ceiling of text", `{"internal":{"session_expires_at":"1900000000"}}`, session.State{}},
		{"ceiling in milliseconds", `{"internal":{"session_expires_at":1748566800000}}`, session.State{}},
		{"ceiling beyond float64", `{"internal":{"session_expires_at":1e400}}`, session.State{}},
		{"session_expiry that is none", `{"user":{"session_expiry":"soon","sub":"s"}}`, session.State{User: session.User{"sub": "s"}.Raw()}},
		{"session_expiry", `{"user":{"session_expiry":1900000000}}`, session.State{User: session.User{"session_expiry": json.Number("1900000000")}.Raw()}},
		{"times of wrong types", `{"internal":{"sid":7,"created_at":"x"}}`, session.State{}},
		{"time with a fraction", `{"internal":{"created_at":12.9}}`, session.State{Internal: session.Internal{CreatedAt: 12}}},
		{"time before the epoch", `{"internal":{"created_at":-0.5}}`, session.State{Internal: session.Internal{CreatedAt: -1}}},
		{"time beyond all", `{"internal":{"created_at":1e300}}`, session.State{}},
		{
			"older token set", `{"token_sets":[{"audience":null,"access_token":"t","scope":null,"expires_at":5}]}`,
			session.State{TokenSets: []session.TokenSet{{Audience: "default", AccessToken: "t", ExpiresAt: 5}}},
		},
		{
			"token sets without a token", `{"token_sets":[null,1,{"audience":"a"},{"audience":"a","access_token":null},{"audience":"a","access_token":"t"}]}`,
			session.State{TokenSets: []session.TokenSet{{Audience: "a", AccessToken: "t"}}},
		},
		{
			"connection token sets without a connection", `{"connection_token_sets":[{"access_token":"t"},{"connection":"c"},{"connection":"c","access_token":"t"}]}`,
			session.State{ConnectionTokenSets: []session.ConnectionTokenSet{{Connection: "c", AccessToken: "t"}}},
		},
	}
	for _, tt := range tests {
		if got := decode(t, tt.doc); !reflect.DeepEqual(*got, tt.want) {
			t.Errorf("%s: DecodeState(%s) = %+v, want %+v", tt.name, tt.doc, *got, tt.want)
		}
	}
}

func TestDecodeState_refuses(t *testing.T) {
	for _, doc := range []string{``, `null`, `[]`, `"secret-text"`, `{"user":{}`, `{} {}`, `{"user":"secret-text"}`, `{"user":[1]}`, `{"internal":"secret-text"}`, `{"internal":3}`} {
		s, err := session.DecodeState([]byte(doc))
		if err == nil || s != nil {
			t.Errorf("DecodeState(%s) = %+v, %v; want an error alone", doc, s, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret-text") {
			t.Errorf("the error repeats what is stored: %v", err)
		}
	}
}

// storedStates draws stored forms with known and unknown members of proper types.
func storedStates() *rapid.Generator[map[string]any] {
	text := rapid.SampledFrom([]string{"a", "b c", "é<&>", "default", "\u2028"})
	number := rapid.SampledFrom([]json.Number{"0", "7", "-3", "1700000000", "9007199254740993"})
	anything := rapid.SampledFrom([]any{nil, true, "x", json.Number("1e400"), []any{json.Number("1.0"), "y"}, map[string]any{"k": nil}})
	object := func(t *rapid.T, known map[string]any) map[string]any {
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"theirs", "User", "Expires_At", ""}), rapid.ID).Draw(t, "unknown") {
			known[name] = anything.Draw(t, name)
		}
		return known
	}
	return rapid.Custom(func(t *rapid.T) map[string]any {
		var sets, connections []any
		for range rapid.IntRange(0, 3).Draw(t, "token sets") {
			set := object(t, map[string]any{"audience": text.Draw(t, "audience"), "access_token": text.Draw(t, "token"), "scope": text.Draw(t, "scope"), "expires_at": number.Draw(t, "expires_at")})
			if rapid.Bool().Draw(t, "newer") {
				set["requested_scope"], set["actual_audience"] = text.Draw(t, "requested"), text.Draw(t, "actual")
				set["issued_at"] = json.Number("1699990000")
			}
			sets = append(sets, set)
		}
		for range rapid.IntRange(0, 3).Draw(t, "connections") {
			connections = append(connections, object(t, map[string]any{
				"connection": text.Draw(t, "connection"), "login_hint": text.Draw(t, "hint"), "access_token": text.Draw(t, "token"), "scope": "", "expires_at": number.Draw(t, "expires_at"),
			}))
		}
		s := object(t, map[string]any{
			"user":                  object(t, map[string]any{"sub": text.Draw(t, "sub")}),
			"token_sets":            append([]any{}, sets...),
			"connection_token_sets": append([]any{}, connections...),
			"internal":              object(t, map[string]any{"sid": text.Draw(t, "sid"), "created_at": number.Draw(t, "created_at"), "session_expires_at": json.Number("1900000000")}),
		})
		for _, name := range []string{"id_token", "refresh_token", "domain"} {
			if rapid.Bool().Draw(t, name) {
				s[name] = text.Draw(t, name)
			}
		}
		return s
	})
}

func TestState_roundTripLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stored := storedStates().Draw(t, "stored")
		doc, err := json.Marshal(stored)
		if err != nil {
			t.Fatal(err)
		}
		s, err := session.DecodeState(doc)
		if err != nil {
			t.Fatal(err)
		}
		again, err := session.EncodeState(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := parse(t, string(again)); !reflect.DeepEqual(got, any(stored)) {
			t.Fatalf("%s\ncame back as %s", doc, again)
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(encode(f, ann())))
	f.Add([]byte(`{"user":{"n":1e400,"session_expiry":1.9e9},"theirs":1,"internal":{"created_at":1.5,"theirs":[]}}`))
	f.Add([]byte(`{"token_sets":[{"audience":null,"access_token":"t","theirs":{"a":1}},null,7],"connection_token_sets":[{"connection":"c","access_token":"t"}]}`))
	f.Add([]byte("{\"user\":{\"a\":\"\xff\"},\"\xff\":\"\\ud800\"}"))
	f.Add([]byte(`{"user":{"a":1,"a":2},"x":1,"x":2}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := session.DecodeState(doc)
		if err != nil {
			return
		}
		if c := s.Internal.Ceiling; c != 0 && !c.Legal() {
			t.Fatalf("ceiling %d", c)
		}
		first := encode(t, s)
		back := decode(t, first)
		if second := encode(t, back); second != first {
			t.Fatalf("stored again it changed:\n%s\n%s", first, second)
		}
		if !reflect.DeepEqual(back.User, s.User) || !reflect.DeepEqual(back.Session(), s.Session()) {
			t.Fatalf("read again it changed:\n%+v\n%+v", s, back)
		}
		session.NewTokenCache(s).Find(session.Policy{}.Query("", "a"), t0, 0)
		_ = s.Clone().Remainder(t0)
	})
}

func parse(t interface{ Fatal(...any) }, doc string) any {
	d := json.NewDecoder(bytes.NewReader([]byte(doc)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	return reflect.DeepEqual(parse(t, a), parse(t, b))
}
