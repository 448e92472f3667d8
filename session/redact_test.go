package session_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

func TestFingerprint(t *testing.T) {
	if got, want := session.Fingerprint("abc"), "sha256:ba7816bf8f01cfea"; got != want {
		t.Errorf("Fingerprint = %q, want %q", got, want)
	}
	if got := session.Fingerprint(""); got != "" {
		t.Errorf("Fingerprint of nothing = %q", got)
	}
}

// Each value here holds tokens that begin with s3cret.
func secretive(t *testing.T) map[string]any {
	s := decode(t, `{"user":{"sub":"auth0|ann"},"id_token":"s3cret-id","refresh_token":"s3cret-refresh","theirs":"s3cret-theirs",
		"token_sets":[{"audience":"A","access_token":"s3cret-access","scope":"a","expires_at":5,"theirs":"s3cret-theirs"}],
		"connection_token_sets":[{"connection":"c","access_token":"s3cret-connection","expires_at":5,"theirs":"s3cret-theirs"}],
		"internal":{"sid":"x","theirs":"s3cret-theirs"}}`)
	r := session.TokenResponse{AccessToken: "s3cret-access", RefreshToken: "s3cret-refresh", IDToken: "s3cret-id", IDClaims: &session.IDClaims{Subject: "ann"}}
	tok := session.Token{AccessToken: "s3cret-access", Audience: "A", ExpiresAt: time.Unix(5, 0)}
	con := session.ConnectionToken{AccessToken: "s3cret-connection", Connection: "c"}
	cache := session.NewTokenCache(s)
	return map[string]any{
		"State": *s, "*State": s, "Internal": s.Internal, "Session": *s.Session(), "*Session": s.Session(),
		"TokenSet": s.TokenSets[0], "*TokenSet": &s.TokenSets[0], "TokenSets": s.TokenSets,
		"ConnectionTokenSet": s.ConnectionTokenSets[0], "ConnectionTokenSets": s.ConnectionTokenSets,
		"Token": tok, "*Token": &tok, "ConnectionToken": con, "*ConnectionToken": &con,
		"TokenResponse": r, "*TokenResponse": &r, "*TokenCache": cache, "TokenCache": *cache,
		"in a struct":            struct{ T session.Token }{tok},
		"in a map":               map[string]session.Token{"k": tok},
		"in a slice of pointers": []*session.State{s},
		"in an any":              []any{s, tok, r},
	}
}

func TestValues_printNoSecrets(t *testing.T) {
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%T", "%t", "%20v", "%-10.3v"}
	for name, v := range secretive(t) {
		for _, verb := range verbs {
			s := fmt.Sprintf(verb, v)
			if leaks(s) {
				t.Errorf("%s with %s: %s", name, verb, s)
			}
		}
		if s := fmt.Sprintln(v, v) + fmt.Sprint(v); leaks(s) {
			t.Errorf("%s with Sprint: %s", name, s)
		}
		if b, err := json.Marshal(v); err != nil || leaks(string(b)) {
			t.Errorf("%s as JSON: %s, %v", name, b, err)
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
		if leaks(log.String()) {
			t.Errorf("%s in a log: %s", name, log.String())
		}
	}
}

// leaks reports whether s has a secret in it, as it is or in hexadecimal.
func leaks(s string) bool {
	s = strings.ToLower(s)
	return strings.Contains(s, "s3cret") || strings.Contains(s, fmt.Sprintf("%x", "s3cret"))
}

// Secrets that are left out by name can still be told apart.
func TestValues_printTheRest(t *testing.T) {
	v := session.Token{AccessToken: "s3cret-access", Audience: "https://api.example", Scope: "read:x", ExpiresAt: t0}
	s := fmt.Sprintf("%+v", v)
	for _, want := range []string{session.Fingerprint("s3cret-access"), "https://api.example", "read:x"} {
		if !strings.Contains(s, want) {
			t.Errorf("%s lacks %s", s, want)
		}
	}
	b, err := json.Marshal(ann())
	if err != nil || !strings.Contains(string(b), `"refresh_token":"`+session.Fingerprint("refresh-token-1")+`"`) ||
		!strings.Contains(string(b), `"access_token":"`+session.Fingerprint("access-token-1")+`"`) {
		t.Errorf("as JSON: %s, %v", b, err)
	}
}

func TestValues_printNilPointers(t *testing.T) {
	for _, v := range []any{(*session.State)(nil), (*session.Token)(nil), (*session.TokenCache)(nil), (*session.TokenResponse)(nil)} {
		if s := fmt.Sprintf("%v %+v", v, v); strings.Contains(s, "PANIC") {
			t.Errorf("%T: %s", v, s)
		}
	}
}

// Empty lists are lists, as in the stored form, so that readers of the JSON need not look for null.
func TestSession_listsThatAreEmptyAreLists(t *testing.T) {
	for _, v := range []any{session.Session{}, session.State{}} {
		b, err := json.Marshal(v)
		if err != nil || !strings.Contains(string(b), `"token_sets":[],"connection_token_sets":[]`) {
			t.Errorf("%T: %s, %v", v, b, err)
		}
	}
}
