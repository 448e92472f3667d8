package test_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

const otherSecret = "another secret of at least thirty-two bytes"

func TestCookie_withNothingBehindIt(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	id := b.login()
	if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		t.Fatal(err)
	}
	_, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, b.options())
	if !errors.Is(err, tokenward.ErrMissingRefreshToken) || len(b.set()) != 0 {
		t.Errorf("err = %v, Set-Cookie %q; want the cookie to lapse by itself", err, b.set())
	}
}

// An unreadable cookie or record belongs to another application or a newer release: both stay.
func TestCookie_leavesAloneWhatItCannotRead(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	id := b.login()
	cfg := r.cfg
	cfg.Secrets = []string{otherSecret}
	r.cfg = cfg
	mine := r.client
	r.client = r.newClient()
	if b.user() != nil || len(b.set()) != 0 || r.memory.Len() != 1 {
		t.Errorf("under an unknown secret: Set-Cookie %q, records %d", b.set(), r.memory.Len())
	}
	good := b.cookie.Value
	raw, _ := base64.RawURLEncoding.DecodeString(good)
	raw[0] = 9
	b.cookie.Value = base64.RawURLEncoding.EncodeToString(raw)
	r.client = mine
	if b.user() != nil || len(b.set()) != 0 {
		t.Errorf("of a later release: Set-Cookie %q", b.set())
	}
	b.cookie.Value = good
	key := session.KeyOf("_a0_session", id)
	rec, err := r.memory.Load(t.Context(), key, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rec.Sealed[0] = 9
	if err := r.memory.Replace(t.Context(), key, rec, store.Options{}); err != nil {
		t.Fatal(err)
	}
	r.client = nil
	cfg.Secrets = []string{secret}
	r.cfg = cfg
	r.client = r.newClient()
	if b.user() != nil || len(b.set()) != 0 || r.memory.Len() != 1 {
		t.Errorf("a record of a later release: Set-Cookie %q, records %d", b.set(), r.memory.Len())
	}
}

func TestCookie_everyByteCounts(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	b.login()
	good := b.cookie.Value
	for i := range len(good) {
		for _, value := range []string{good[:i], good[:i] + flip(good[i]) + good[i+1:], good[:i] + good[i+1:]} {
			b.cookie.Value = value
			if u, err := r.client.GetUser(t.Context(), b.options()); u != nil || err != nil || len(b.set()) != 0 {
				t.Fatalf("changed at %d: %v, %v, %q", i, u, err, b.set())
			}
		}
	}
	b.cookie.Value = good
	if b.user() == nil {
		t.Error("unchanged, it is no session")
	}
}

func flip(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

func TestCookie_theOneThatCounts(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	b.login()
	good := b.cookie.Value
	b.login()
	for _, tt := range []struct {
		header string
		want   bool
	}{
		{"_a0_session=bWFkZS11cA; _a0_session=" + b.cookie.Value, true},
		{"_a0_session=" + b.cookie.Value + "; _a0_session=" + good, true},
		{"_a0_session=" + good + "; _a0_session=" + b.cookie.Value, true}, // the first is of a session that ended
		{"_a0_session2=" + b.cookie.Value, false},
		{"__Host-_a0_session=" + b.cookie.Value, false},
	} {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set("Cookie", tt.header)
		if u, err := r.client.GetUser(t.Context(), tokenward.HTTP(nil, req)); (u != nil) != tt.want || err != nil {
			t.Errorf("%.30s...: %v, %v", tt.header, u, err)
		}
	}
}

func TestCookie_secretRotation(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	b.login()
	r.cfg.Secrets = []string{otherSecret, secret}
	r.client = r.newClient()
	if b.user() == nil {
		t.Fatal("the old secret does not open")
	}
	r.clock.Advance(2 * time.Hour)
	if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, b.options()); err != nil {
		t.Fatal(err)
	}
	b.took()
	r.cfg.Secrets = []string{otherSecret}
	r.client = r.newClient()
	if b.user() == nil {
		t.Error("what was used since opens under the new secret alone")
	}
}

func FuzzSessionCookie(f *testing.F) {
	r := newRig(f)
	b := newBrowser(r)
	b.login()
	good := b.cookie.Value
	for _, v := range []string{good, "", "=", good[:10], good + "A", "\"" + good + "\"", "x; _a0_session=" + good, "AQ", "CQ", "AQAAAAAAAAAA"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set("Cookie", "_a0_session="+value)
		w := httptest.NewRecorder()
		u, err := r.client.GetUser(t.Context(), tokenward.HTTP(w, req))
		if err != nil || u != nil && !strings.Contains(value, good) {
			t.Errorf("GetUser = %v, %v", u, err)
		}
	})
}
