package session

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
)

// reference is the stored form of s as encoding/json writes it.
func reference(s *State) ([]byte, error) {
	type members = map[string]any
	object := func(extra map[string]json.RawMessage, known members) members {
		o := members{}
		for name, raw := range extra {
			o[name] = raw
		}
		maps.Copy(o, known)
		for _, name := range []string{"requested_scope", "actual_audience", "id_token", "refresh_token", "domain"} {
			if o[name] == "" {
				delete(o, name)
			}
		}
		return o
	}
	sets, connectionSets := []members{}, []members{}
	for _, t := range s.TokenSets {
		sets = append(sets, object(t.extra, members{
			"audience": t.Audience, "access_token": t.AccessToken, "scope": t.Scope, "requested_scope": t.RequestedScope,
			"expires_at": t.ExpiresAt, "actual_audience": t.ActualAudience,
		}))
	}
	for _, t := range s.ConnectionTokenSets {
		connectionSets = append(connectionSets, object(t.extra, members{
			"connection": t.Connection, "login_hint": t.LoginHint, "access_token": t.AccessToken, "scope": t.Scope, "expires_at": t.ExpiresAt,
		}))
	}
	internal := object(s.Internal.extra, members{"sid": s.Internal.SID, "created_at": s.Internal.CreatedAt})
	if s.Internal.Ceiling.Legal() {
		internal["session_expires_at"] = s.Internal.Ceiling
	}
	if s.Internal.EndsAt != 0 {
		internal["ends_at"] = s.Internal.EndsAt
	}
	if s.Internal.StepUpAfter != 0 {
		internal["step_up_after"] = s.Internal.StepUpAfter
	}
	known := members{}
	if s.Data != "" {
		known["app_data"] = json.RawMessage(s.Data)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	maps.Copy(known, members{
		"user": json.RawMessage(cmp.Or(s.User, "null")), "token_sets": sets, "connection_token_sets": connectionSets, "internal": internal,
		"id_token": s.IDToken, "refresh_token": s.RefreshToken, "domain": s.Domain,
	})
	err := e.Encode(object(s.extra, known))
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func sameAsReference(t *testing.T, s *State) {
	t.Helper()
	want, wantErr := reference(s)
	got, err := EncodeState(s)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("error = %v, want %v", err, wantErr)
	}
	if err == nil && !bytes.Equal(got, want) {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

// Byte for byte the stored form is what encoding/json would make of it.
func FuzzEncodeState(f *testing.F) {
	f.Add([]byte(`{"user":{"sub":"auth0|ann","name":"A\u00e9 \u2028<&>","n":1e400,"deep":[{"a":[null,true,-1,0,01]}]},"zz":{ "x" : 1 },"a":1}`), "text")
	f.Add([]byte(`{"internal":{"theirs":[1.0],"created_at":-5,"ends_at":7,"step_up_after":-8},"token_sets":[{"audience":"a","access_token":"t","b":2,"zzz":null}]}`), "\xff\"\\\n\x00")
	f.Add([]byte(`{"app_data":{ "cart" : [1, "\u2028<"], "a":null},"app":1}`), "x")
	f.Add([]byte(`{"connection_token_sets":[{"connection":"c","access_token":"t","login_hint":"h","x":{}}],"id_token":"i","domain":"d"}`), "\x7f\u2029é")
	f.Fuzz(func(t *testing.T, doc []byte, text string) {
		s, err := DecodeState(doc)
		if err != nil {
			return
		}
		s.RefreshToken, s.Internal.SID = text, text
		sameAsReference(t, s)
		rawAsReference(t, User{text: text, "n": json.Number(text), "list": []any{text, text + text, map[string]any{text: nil}}})
	})
}

type fails struct{}

func (fails) MarshalJSON() ([]byte, error) { return nil, errors.New("no") }

// rawAsReference compares the text of u with that of encoding/json. Claims that encoding/json refuses are left out.
func rawAsReference(t *testing.T, u User) {
	t.Helper()
	said := maps.Clone(u)
	maps.DeleteFunc(said, func(_ string, claim any) bool {
		_, err := json.Marshal(claim)
		return err != nil
	})
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]any(said)); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSuffix(b.String(), "\n")
	if u == nil {
		want = ""
	}
	if got := u.Raw(); string(got) != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

// A host may put anything into a User of its own.
func TestUser_Raw(t *testing.T) {
	deep := any("bottom")
	for range 100 {
		deep = map[string]any{"d": []any{deep}}
	}
	itself := map[string]any{}
	itself["itself"] = itself
	wide := User{}
	for i := range 100 {
		wide[fmt.Sprint(i)] = i
	}
	for name, u := range map[string]User{
		"nil":        nil,
		"numbers":    {"int": 1, "int64": int64(math.MinInt64), "float": 1.5, "uint8": uint8(3), "number": json.Number("-1.50e3"), "zero": json.Number("0")},
		"no numbers": {"leading": json.Number("01")}, "text for a number": {"x": json.Number("x")},
		"nothing for a number": {"x": json.Number("")}, "not a number": {"x": math.NaN()},
		"nil inside":  {"map": map[string]any(nil), "list": []any(nil), "empty": []any{}, "none": map[string]any{}},
		"other types": {"strings": []string{"a<b"}, "map": map[string]string{"b": "1", "a": "2"}, "bytes": []byte{1, 2}, "struct": struct{ A int }{1}, "user": User{"sub": "s"}},
		"deep":        {"deep": deep}, "itself": itself, "wide": wide, "fails": {"x": fails{}}, "function": {"x": func() {}},
	} {
		t.Run(name, func(t *testing.T) { rawAsReference(t, u) })
	}
}

func TestAppendState_leavesWhatIsThere(t *testing.T) {
	s := &State{RefreshToken: strings.Repeat("r", 1000)}
	got, err := AppendState([]byte("before"), s)
	want, _ := EncodeState(s)
	if err != nil || string(got) != "before"+string(want) {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := AppendState([]byte("before"), nil); err == nil || string(got) != "before" {
		t.Errorf("after an error: %s, %v", got, err)
	}
}
