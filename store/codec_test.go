package store_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

func aState(change ...func(*session.State)) *session.State {
	s := &session.State{
		User:         session.User{"sub": "auth0|alice", "iss": "https://from-the-token.example/"}.Raw(),
		RefreshToken: "a refresh token",
		TokenSets:    []session.TokenSet{{Audience: session.DefaultAudience, AccessToken: "an access token", ExpiresAt: 1}},
		Domain:       "tenant.example",
		Internal:     session.Internal{SID: "a sid", CreatedAt: 1, Ceiling: 1_900_000_000},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func TestCodec_givesBackTheState(t *testing.T) {
	c := store.Codec{Sealer: newSealer(t, secretA)}
	key := keyOf(1)
	v, in := session.Version{1}, session.Incarnation{2}
	rec, err := c.Encode(key, aState(), v, in)
	must(t, err)
	if rec.Version != v || rec.Incarnation != in || rec.Ceiling != 1_900_000_000 || rec.Epoch != 0 || rec.TTL != 0 {
		t.Errorf("Encode = %+v", rec)
	}
	for _, secret := range []string{"token", "alice", "sid", "tenant"} {
		if bytes.Contains(store.MarshalRecord(rec), []byte(secret)) {
			t.Errorf("the record shows %q", secret)
		}
	}
	s, err := c.Decode(key, rec)
	must(t, err)
	want, err := session.EncodeState(aState())
	must(t, err)
	if got, err := session.EncodeState(s); err != nil || !bytes.Equal(got, want) {
		t.Errorf("Decode = %s, %v, want %s", got, err, want)
	}
}

func TestCodec_leavesAloneWhatItCannotOpen(t *testing.T) {
	sealer := newSealer(t, secretA)
	c := store.Codec{Sealer: sealer}
	key := keyOf(1)
	rec, err := c.Encode(key, aState(), session.Version{}, session.Incarnation{})
	must(t, err)
	_, err = c.Decode(keyOf(2), rec)
	wantUnreadable(t, "under another key", err, store.Corrupt)
	other := store.Codec{Sealer: newSealer(t, secretB)}
	_, err = other.Decode(key, rec)
	wantUnreadable(t, "with another secret", err, store.UnknownKey)
	_, err = c.Decode(key, store.Record{})
	wantUnreadable(t, "empty", err, store.Corrupt)

	rec.Sealed = sealer.Seal("session:"+key.String(), []byte(`["a refresh token"]`))
	_, err = c.Decode(key, rec)
	wantUnreadable(t, "no state", err, store.Corrupt)
	if err != nil && strings.Contains(err.Error(), "token") {
		t.Errorf("err = %v quotes what was read", err)
	}
}

func TestCodec_refusesWhatIsNoState(t *testing.T) {
	c := store.Codec{Sealer: newSealer(t, secretA)}
	if _, err := c.Encode(keyOf(1), nil, session.Version{}, session.Incarnation{}); err == nil {
		t.Error("Encode(nil): no error")
	}
}

func TestCodec_indexesByWhoLogsOut(t *testing.T) {
	sealer := newSealer(t, secretA)
	encode := func(domain string, change ...func(*session.State)) store.Record {
		t.Helper()
		c := store.Codec{Sealer: sealer, Domain: domain}
		rec, err := c.Encode(keyOf(1), aState(change...), session.Version{}, session.Incarnation{})
		must(t, err)
		return rec
	}
	noDomain := func(s *session.State) { s.Domain = "" }
	user := func(claims session.User) func(*session.State) {
		return func(s *session.State) { s.User = claims.Raw() }
	}
	const sub, email = "auth0|alice", "Alice@Example.com"
	tests := []struct {
		name               string
		rec                store.Record
		issuer, sub, email string
	}{
		{"the state's domain first", encode("configured.example"), "https://tenant.example/", sub, ""},
		{"then the configured one", encode("configured.example", noDomain), "https://configured.example/", sub, ""},
		{"then the token's issuer", encode("", noDomain), "https://from-the-token.example/", sub, ""},
		{"none", encode("", noDomain, user(session.User{"sub": sub})), "", sub, ""},
		{"no sub", encode("", func(s *session.State) { s.User = "" }), "https://tenant.example", "", ""},
		{"an email that is verified", encode("", user(session.User{"sub": sub, "email": email, "email_verified": true})), "https://tenant.example", sub, email},
		{"one that Apple has verified", encode("", user(session.User{"sub": sub, "email": email, "email_verified": "true"})), "https://tenant.example", sub, email},
		{"an email that is not", encode("", user(session.User{"sub": sub, "email": email, "email_verified": false})), "https://tenant.example", sub, ""},
		{"an email of which that is not said", encode("", user(session.User{"sub": sub, "email": email})), "https://tenant.example", sub, ""},
	}
	for _, tt := range tests {
		want := sealer.IndexValues(tt.issuer, "a sid", tt.sub, tt.email)
		if !slices.Equal(tt.rec.Index, want) {
			t.Errorf("%s: index values %x, want %x", tt.name, tt.rec.Index, want)
		}
	}
}

func TestCodec_illegalCeilingIsNone(t *testing.T) {
	c := store.Codec{Sealer: newSealer(t, secretA)}
	for _, illegal := range []session.Ceiling{-5, 10_000_000_000} {
		rec, err := c.Encode(keyOf(1), aState(func(s *session.State) { s.Internal.Ceiling = illegal }), session.Version{}, session.Incarnation{})
		if err != nil || rec.Ceiling != 0 {
			t.Errorf("ceiling %d: Encode = %d, %v, want none", illegal, rec.Ceiling, err)
		}
	}
}

func TestTTL(t *testing.T) {
	now := time.Unix(1000, 0)
	tests := []struct {
		name    string
		ceiling session.Ceiling
		life    time.Duration
		want    time.Duration
	}{
		{"no limit", 0, 0, 0},
		{"a life", 0, time.Minute, time.Hour + time.Minute},
		{"a ceiling", 1060, 0, time.Hour + time.Minute},
		{"the life is first", 1060, time.Second, time.Hour + time.Second},
		{"the ceiling is first", 1060, time.Hour, time.Hour + time.Minute},
		{"a ceiling that is past", 900, 0, time.Hour + 1},
		{"a ceiling beyond what a Duration holds", 9_999_999_999, 0, 0},
		{"a ceiling beyond it, and a life", 9_999_999_999, time.Minute, time.Hour + time.Minute},
		{"the longest life", 0, math.MaxInt64, math.MaxInt64},
		{"no legal ceiling", 10_000_000_000, 0, 0},
	}
	for _, tt := range tests {
		if got := store.TTL(now, tt.ceiling, 0, tt.life); got != tt.want {
			t.Errorf("%s: TTL(%d, %v) = %v, want %v", tt.name, tt.ceiling, tt.life, got, tt.want)
		}
	}
}
