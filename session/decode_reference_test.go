package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// referenceDecode says what DecodeState must return. It leaves each part of a record to encoding/json, which so reads
// each byte three to four times.
func referenceDecode(data []byte) (*State, User, error) {
	var o members
	if err := json.Unmarshal(data, &o); err != nil || o == nil {
		return nil, nil, errors.New("decode session: not a JSON object")
	}
	s := &State{}
	var user User
	if err := o.take("user", &user); err != nil {
		return nil, nil, errors.New("decode session: user is not an object")
	}
	if claim, ok := user[claimSessionExpiry]; ok && ParseCeiling(claim) == 0 {
		delete(user, claimSessionExpiry)
	}
	s.IDToken = o.text("id_token")
	s.RefreshToken = o.text("refresh_token")
	s.Domain = o.text("domain")

	var internal members
	if err := o.take("internal", &internal); err != nil {
		return nil, nil, errors.New("decode session: internal is not an object")
	}
	s.Internal = Internal{
		SID:       internal.text("sid"),
		CreatedAt: internal.seconds("created_at"),
		Ceiling:   ParseCeiling(internal.number("session_expires_at")),
		EndsAt:    max(0, internal.seconds("ends_at")),

		StepUpAfter:     max(0, internal.seconds("step_up_after")),
		GrantedAudience: internal.text("granted_audience"),
		GrantedScope:    internal.text("granted_scope"),
		AskedScope:      internal.text("asked_scope"),
		ClientID:        internal.text("client_id"),

		extra: internal.rest(),
	}
	for _, m := range o.list("token_sets") {
		set := TokenSet{
			Audience:       m.text("audience"),
			AccessToken:    m.text("access_token"),
			Scope:          m.text("scope"),
			RequestedScope: m.text("requested_scope"),
			ExpiresAt:      m.seconds("expires_at"),
			IssuedAt:       m.seconds("issued_at"),
			ActualAudience: m.text("actual_audience"),
			extra:          m.rest(),
		}
		if set.Audience == "" {
			set.Audience = DefaultAudience // older state has null
		}
		if set.AccessToken != "" {
			s.TokenSets = append(s.TokenSets, set)
		}
	}
	for _, m := range o.list("connection_token_sets") {
		set := ConnectionTokenSet{
			Connection:  m.text("connection"),
			LoginHint:   m.text("login_hint"),
			AccessToken: m.text("access_token"),
			Scope:       m.text("scope"),
			ExpiresAt:   m.seconds("expires_at"),
			extra:       m.rest(),
		}
		if set.AccessToken != "" && set.Connection != "" {
			s.ConnectionTokenSets = append(s.ConnectionTokenSets, set)
		}
	}
	if raw, ok := o["app_data"]; ok && len(raw) > 0 {
		delete(o, "app_data")
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err == nil && compact.Bytes()[0] == '{' && compact.String() != "{}" {
			s.Data = RawData(compact.String())
		}
	}
	s.extra = o.rest()
	return s, user, nil
}

// members are those of a JSON object that have not been taken out yet.
type members map[string]json.RawMessage

// take decodes the member into v, which stays as it is when the member is absent.
func (m members) take(name string, v any) error {
	raw, ok := m[name]
	if !ok {
		return nil
	}
	delete(m, name)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(v)
}

// text takes a string, "" when there is none.
func (m members) text(name string) string {
	var s string
	if m.take(name, &s) != nil {
		return ""
	}
	return s
}

// number takes a json.Number, nil when there is none.
func (m members) number(name string) any {
	var v any
	if m.take(name, &v) != nil {
		return nil
	}
	if n, ok := v.(json.Number); ok {
		return n
	}
	return nil
}

// seconds takes a number of seconds, rounded down, 0 when there is none.
func (m members) seconds(name string) int64 {
	n, ok := m.number(name).(json.Number)
	if !ok {
		return 0
	}
	if i, err := n.Int64(); err == nil {
		return i
	}
	f, err := n.Float64()
	if f = math.Floor(f); err != nil || math.Abs(f) > 1<<53 {
		return 0
	}
	return int64(f)
}

// list takes an array of objects and leaves out the elements of other types.
func (m members) list(name string) []members {
	var all []json.RawMessage
	if m.take(name, &all) != nil {
		return nil
	}
	list := make([]members, 0, len(all))
	for _, raw := range all {
		var o members
		if json.Unmarshal(raw, &o) == nil && o != nil {
			list = append(list, o)
		}
	}
	return list
}

// rest returns what has not been taken, nil when that is nothing.
func (m members) rest() map[string]json.RawMessage {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}

// Each record that the reference opens opens equal, and each that it refuses is refused.
func FuzzDecodeState_asTheReference(f *testing.F) {
	for _, doc := range []string{
		`{"user":{"sub":"auth0|ann","name":"A\u00e9 \u2028<&>","n":1e400,"deep":[{"a":[null,true,-1,0,0.1E+2]}]},"zz":{ "x" : 1 },"a":1}`,
		`{"internal":{"theirs":[1.0],"created_at":-5.5,"ends_at":7,"step_up_after":8},"token_sets":[{"audience":null,"access_token":"t","b":2,"zzz":null},7]}`,
		`{"connection_token_sets":[{"connection":"c","access_token":"t","login_hint":"h","x":{}}],"id_token":"i","domain":"d","\u0075ser":{}}`,
		` { "user" : {"session_expiry":1.9e9,"session_expiry":"x","a":1} , "internal":null, "user":null } `,
		"{\"user\":{\"a\":\"\xff\",\"\xff\":1},\"\xff\":\"\\ud800\"}",
		`{"user":[],"user":{"b":1,"a":[],"s":{}},"internal":"x","internal":{"sid":"\"\\\/\b\f\n\r\t"}}`,
		`{"user":{"a":01}}`, `{"user":{"a":1,}}`, `{"user":"\x"}`, `[]`, `null`, ``, `{}}`, `{"a":tru}`, `{"a":-}`, `{"a":1.}`, `{"a":1e}`, "{\"a\":\"\x01\"}",
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(sameAsReferenceDecode)
}

// Damage of any kind to a record is judged as the reference judges it.
func TestDecodeState_damagedAsTheReference(t *testing.T) {
	whole := []byte(`{"connection_token_sets":[{"access_token":"t","connection":"c","expires_at":1,"login_hint":"","scope":"s"}],"domain":"d","id_token":"i",` +
		`"internal":{"created_at":5,"ends_at":6,"session_expires_at":1900000000,"sid":"\u00e9\n"},"refresh_token":"r\"","token_sets":[{"access_token":"t",` +
		`"audience":"a","expires_at":-1.5e1,"issued_at":3,"scope":"s"},null],"user":{"iat":1,"list":[true,false,{}],"session_expiry":1900000000,"sub":"ann"},"x":[]}`)
	bits := []string{"{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "0", "-", ".", "e", "null", "true", " ", "\x00", "\x1f", "\xff", "é", `"sub":"bob",`, `"user":`}
	rapid.Check(t, func(rt *rapid.T) {
		doc := bytes.Clone(whole)
		for range rapid.IntRange(1, 3).Draw(rt, "edits") {
			from := rapid.IntRange(0, len(doc)).Draw(rt, "from")
			to := min(len(doc), from+rapid.IntRange(0, 8).Draw(rt, "bytes cut"))
			doc = slices.Concat(doc[:from], []byte(rapid.SampledFrom(bits).Draw(rt, "put in")), doc[to:])
		}
		sameAsReferenceDecode(t, doc)
	})
}

func TestDecodeState_depthAsTheReference(t *testing.T) {
	for _, depth := range []int{maxDepth - 1, maxDepth, maxDepth + 1} {
		for _, around := range [][2]string{{`{"x":`, `}`}, {`{"user":{"x":`, `}}`}, {`{"token_sets":[`, `]}`}, {`{"internal":{"sid":`, `}}`}} {
			n := depth - strings.Count(around[0], "{") - strings.Count(around[0], "[")
			sameAsReferenceDecode(t, []byte(around[0]+strings.Repeat("[", n)+strings.Repeat("]", n)+around[1]))
		}
	}
}

func sameAsReferenceDecode(t *testing.T, doc []byte) {
	want, user, wantErr := referenceDecode(doc)
	got, err := DecodeState(doc)
	if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
		t.Fatalf("DecodeState(%q): error = %v, want %v", doc, err, wantErr)
	}
	if err != nil {
		return
	}
	if u := got.User.Claims(); !reflect.DeepEqual(u, user) {
		t.Fatalf("DecodeState(%q): user %#v, want %#v", doc, u, user)
	}
	if iat, _ := user["iat"].(json.Number); got.User.Sub() != user.Sub() || got.User.number("iat") != iat {
		t.Fatalf("DecodeState(%q): sub %q and iat %q, want %q and %q", doc, got.User.Sub(), got.User.number("iat"), user.Sub(), iat)
	}
	got.User = ""
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("DecodeState(%q) = %#v\nwant %#v", doc, got, want)
	}
}
