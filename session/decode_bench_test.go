package session_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/session"
)

// typicalState is the state of a session as a web application has it: a user with 1 KB of claims, an ID token, and access
// tokens for three APIs.
func typicalState(tb testing.TB, i int) *session.State {
	tb.Helper()
	jwt := func(n int) string { return fmt.Sprintf("eyJhbGciOiJSUzI1NiJ9.%0*d", n, i) }
	claims := map[string]any{
		"iss": "https://tenant.example/", "sub": fmt.Sprintf("auth0|%024d", i), "aud": "client-id", "sid": fmt.Sprintf("%032d", i),
		"iat": json.Number("1700000000"), "exp": json.Number("1700036000"), "session_expiry": json.Number("1700100000"),
		"name": "Ann Lee", "given_name": "Ann", "family_name": "Lee", "nickname": "ann", "picture": "https://pictures.example/" + strings.Repeat("p", 90),
		"email": "ann@example.com", "email_verified": true, "updated_at": "2023-11-14T22:13:20.000Z",
		"https://app.example/roles": []any{"admin", "editor", "reader"},
		"https://app.example/meta":  map[string]any{"plan": "business", "seats": json.Number("25"), "note": strings.Repeat("n", 300)},
	}
	s := session.NewState(session.Login{
		Claims: claims, Domain: "tenant.example", Scope: "openid profile email offline_access", Now: t0,
		Response: session.TokenResponse{AccessToken: jwt(700), IDToken: jwt(1000), RefreshToken: fmt.Sprintf("v1.%060d", i)},
	})
	for api := range 2 {
		q := session.Policy{}.Query(fmt.Sprintf("https://api%d.example", api), "read:orders write:orders")
		next, _, err := s.ApplyRefresh(q, session.TokenResponse{AccessToken: jwt(700 + api)}, t0, session.ApplyOptions{})
		if err != nil {
			tb.Fatal(err)
		}
		s = next
	}
	return s
}

// stringBytes returns how many bytes the strings of s have: what no form of it can do without.
func stringBytes(s *session.State, user int) int {
	n := user + len(s.IDToken) + len(s.RefreshToken) + len(s.Domain) + len(s.Internal.SID) + len(s.Internal.GrantedScope) + len(s.Internal.GrantedAudience) + len(s.Internal.AskedScope) +
		len(s.Internal.ClientID)
	for _, set := range s.TokenSets {
		n += len(set.Audience) + len(set.AccessToken) + len(set.Scope) + len(set.RequestedScope) + len(set.ActualAudience)
	}
	return n
}

func BenchmarkDecodeState(b *testing.B) {
	doc := []byte(encode(b, typicalState(b, 1)))
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := session.DecodeState(doc); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodedUser is what GetUser does with a state in memory.
func BenchmarkDecodedUser(b *testing.B) {
	s := decode(b, encode(b, typicalState(b, 1)))
	b.ReportAllocs()
	for b.Loop() {
		if u := s.User.Claims(); u.Sub() == "" {
			b.Fatal("no subject")
		}
	}
}

// BenchmarkDecodedState reports the heap that a decoded state takes over its strings (B/session).
func BenchmarkDecodedState(b *testing.B) {
	const n = 10_000
	docs := make([][]byte, n)
	for i := range docs {
		docs[i] = []byte(encode(b, typicalState(b, i)))
	}
	user, err := json.Marshal(typicalState(b, 1).User)
	if err != nil {
		b.Fatal(err)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		states := make([]*session.State, n)
		before := heap()
		for i, doc := range docs {
			states[i] = decode(b, string(doc))
		}
		after := heap()
		b.ReportMetric(float64(after-before)/n-float64(stringBytes(states[1], len(user))), "B/session")
		b.ReportMetric(float64(len(docs[1])), "record-B")
		b.ReportMetric(float64(len(user)), "user-B")
		runtime.KeepAlive(states)
	}
}
