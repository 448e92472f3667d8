package idp

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/session"
)

func unsigned(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

func TestParseTokenResponse(t *testing.T) {
	id := unsigned(`{"iss":"https://t/","sub":"s","aud":["a","b"],"n":1e400}`)
	bare := unsigned(`{"iss":1,"aud":[1]}`)
	jwt := unsigned(`{"aud":"api","exp":1e400}`)
	jwts := unsigned(`{"aud":["api","userinfo"]}`)
	tests := []struct {
		name, body string
		want       session.TokenResponse
	}{
		{
			"everything",
			`{"access_token":"at","refresh_token":"rt","id_token":"` + id + `","token_type":"Bearer","expires_in":3600,` +
				`"scope":"a b","authorization_details":[{"type":"x"}],"unknown":{"y":[1]}}`,
			session.TokenResponse{
				AccessToken: "at", RefreshToken: "rt", IDToken: id, TokenType: "Bearer", ExpiresIn: 3600, HasExpiresIn: true,
				Scope: "a b", HasScope: true, AuthorizationDetails: json.RawMessage(`[{"type":"x"}]`),
				IDClaims: &session.IDClaims{
					Issuer: "https://t/", Subject: "s", Audience: []string{"a", "b"},
					All: map[string]any{"iss": "https://t/", "sub": "s", "aud": []any{"a", "b"}, "n": json.Number("1e400")},
				},
			},
		},
		{"nothing", `{}`, session.TokenResponse{}},
		{"byte order mark", "\xef\xbb\xbf" + `{"refresh_token":"rt"}`, session.TokenResponse{RefreshToken: "rt"}},
		{
			"all of the wrong type",
			`{"access_token":1,"refresh_token":"rt","id_token":{},"token_type":[],"expires_in":{},"scope":["a"],"authorization_details":null}`,
			session.TokenResponse{RefreshToken: "rt", HasExpiresIn: true, TokenType: notAType},
		},
		{"token_type in capitals", `{"token_type":"BEARER"}`, session.TokenResponse{TokenType: "BEARER"}},
		{"token_type null", `{"token_type":null}`, session.TokenResponse{}},
		{"token_type empty", `{"token_type":""}`, session.TokenResponse{TokenType: notAType}},
		{"token_type twice, another first", `{"token_type":"DPoP","token_type":"Bearer"}`, session.TokenResponse{TokenType: "DPoP"}},
		{"token_type twice, another last", `{"token_type":"Bearer","token_type":"mac"}`, session.TokenResponse{TokenType: "mac"}},
		{"expires_in negative", `{"expires_in":-1}`, session.TokenResponse{HasExpiresIn: true}},
		{"expires_in twice: the last that is one", `{"expires_in":60,"expires_in":"soon","expires_in":null}`, session.TokenResponse{ExpiresIn: 60, HasExpiresIn: true}},
		{"all null", `{"access_token":null,"refresh_token":null,"scope":null,"expires_in":null}`, session.TokenResponse{}},
		{"empty scope", `{"scope":""}`, session.TokenResponse{HasScope: true}},
		{"other case", `{"Access_Token":"at","REFRESH_TOKEN":"rt"}`, session.TokenResponse{}},
		{"twice: the last", `{"refresh_token":"r1","refresh_token":"r2"}`, session.TokenResponse{RefreshToken: "r2"}},
		{"twice: the last that is one", `{"refresh_token":"r1","refresh_token":null,"refresh_token":""}`, session.TokenResponse{RefreshToken: "r1"}},
		{"escaped name", `{"refresh\u005ftoken":"r1"}`, session.TokenResponse{RefreshToken: "r1"}},
		{"access token a JWT", `{"access_token":"` + jwt + `"}`, session.TokenResponse{AccessToken: jwt, TokenAudience: []string{"api"}}},
		{"of two audiences", `{"access_token":"` + jwts + `"}`, session.TokenResponse{AccessToken: jwts, TokenAudience: []string{"api", "userinfo"}}},
		{"ID token unreadable", `{"id_token":"x.y.z"}`, session.TokenResponse{IDToken: "x.y.z"}},
		{"ID token with a line of dots", `{"id_token":"....."}`, session.TokenResponse{IDToken: "....."}},
		{"ID token of odd claims", `{"id_token":"` + bare + `"}`, session.TokenResponse{IDToken: bare, IDClaims: &session.IDClaims{
			All: map[string]any{"iss": json.Number("1"), "aud": []any{json.Number("1")}},
		}}},
	}
	for _, tt := range tests {
		got, err := parseTokenResponse([]byte(tt.body))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", tt.name, got, err, tt.want)
		}
	}
	for _, body := range []string{"", " ", "null", "[]", "1", `"x"`, "{", `{"a"}`, `{"a":1,}`, `{"a":1}x`, `{"a":1}{}`, `{a:1}`, "\x00", strings.Repeat("[", 1<<20)} {
		if got, err := parseTokenResponse([]byte(body)); err == nil || !reflect.DeepEqual(got, session.TokenResponse{}) {
			t.Errorf("%.20q: %+v, %v, want an error", body, got, err)
		}
	}
}

func TestParseExpiresIn(t *testing.T) {
	tests := []struct {
		value string
		want  int64
		ok    bool
	}{
		{`3600`, 3600, true},
		{`"3600"`, 3600, true},
		{`" 3600 "`, 3600, true},
		{`3600.9`, 3600, true},
		{`"0.5"`, 0, true},
		{`3.6e3`, 3600, true},
		{`"3.6E+3"`, 3600, true},
		{`0`, 0, true},
		{`-0`, 0, true},
		{`1e-400`, 0, true},
		{`9999999999`, maxExpiresIn, true},
		{`10000000000`, maxExpiresIn, true},
		{`9223372036854775807`, maxExpiresIn, true},
		{`99999999999999999999999999`, maxExpiresIn, true},
		{`1e308`, maxExpiresIn, true},
		{`1e400`, 0, false},
		{`-1e400`, 0, false},
		{`-1`, 0, false},
		{`-0.5`, 0, false},
		{`"-1"`, 0, false},
		{`""`, 0, false},
		{`"an hour"`, 0, false},
		{`"Inf"`, 0, false},
		{`"NaN"`, 0, false},
		{`"0x10"`, 0, false},
		{`"1_000"`, 0, false},
		{`"e"`, 0, false},
		{`true`, 0, false},
		{`null`, 0, false},
		{`[3600]`, 0, false},
		{`{}`, 0, false},
	}
	for _, tt := range tests {
		if got, ok := parseExpiresIn(json.RawMessage(tt.value)); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %d, %t, want %d, %t", tt.value, got, ok, tt.want, tt.ok)
		}
	}
}

// The life that a token says of itself: exp - iat, from a second to a day.
func TestParseTokenResponse_life(t *testing.T) {
	tests := []struct {
		claims string
		want   int64
	}{
		{`{"iat":1700000000,"exp":1700000600}`, 600},
		{`{"iat":1700000000,"exp":1700000001}`, 1},
		{`{"iat":1700000000,"exp":1700086400}`, 86400},
		{`{"iat":1700000000.5,"exp":1700000061.25}`, 60},
		{`{"iat":1700000000,"exp":1700086401}`, 0},
		{`{"iat":1700000000,"exp":1700000000}`, 0},
		{`{"iat":1700000000,"exp":1700000000.9}`, 0},
		{`{"iat":1700000600,"exp":1700000000}`, 0},
		{`{"exp":1700000600}`, 0},
		{`{"iat":1700000000}`, 0},
		{`{"iat":"1700000000","exp":1700000600}`, 0},
		{`{"iat":1700000000,"exp":"1700000600"}`, 0},
		{`{"iat":0,"exp":600}`, 0},
		{`{"iat":-600,"exp":600}`, 0},
		{`{"iat":1700000000000,"exp":1700000600000}`, 0},
		{`{"iat":-1e300,"exp":1e300}`, 0},
		{`{"iat":1700000000,"exp":1e400}`, 0},
		{`{"iat":null,"exp":null}`, 0},
		{`[]`, 0},
	}
	for _, tt := range tests {
		r, err := parseTokenResponse([]byte(`{"access_token":"` + unsigned(tt.claims) + `"}`))
		if err != nil || r.TokenLife != tt.want {
			t.Errorf("%s: %d (%v), want %d", tt.claims, r.TokenLife, err, tt.want)
		}
	}
}
