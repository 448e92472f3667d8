package test_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// fieldsOf returns the members of a JSON object as they are written.
func fieldsOf(t testing.TB, object []byte) []string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		t.Fatal(err)
	}
	var fields []string
	for name, raw := range members {
		fields = append(fields, fmt.Sprintf("%q:%s", name, raw))
	}
	return fields
}

// until is the claims of a login whose session may live that long.
func until(d time.Duration) idptest.Claims {
	return idptest.Claims{"session_expiry": t0.Add(d).Unix()}
}

// 5.2: only a clean number of seconds is a ceiling; anything else is none, and the login
// goes through.
func TestCeiling_claims(t *testing.T) {
	raw := func(s string) any { return json.RawMessage(s) }
	tests := []struct {
		claim any
		want  int64 // 0: none; -1: the login is refused as past
	}{
		{raw("1900000000"), 1900000000},
		{raw("9999999999"), 9999999999},
		{raw("1"), -1},
		{"1900000000", 0},
		{"not-a-number", 0},
		{"", 0},
		{raw("1900000000.5"), 0},
		{raw("1.5"), 0},
		{[]int{1900000000}, 0},
		{map[string]any{}, 0},
		{raw("99999999999999999999"), 0},
		{raw("10000000000"), 0},
		{raw("1748566800000"), 0},
		{raw("0"), 0},
		{raw("-5"), 0},
		{raw("-1900000000"), 0},
		{true, 0},
		{false, 0},
		{nil, 0},
		{idptest.Absent, 0},
		{raw("1e400"), 0},
		{raw("-1e400"), 0},
		{raw("1e-400"), 0},
		{raw("1900000000.0"), 1900000000},
		{raw("1.9e9"), 1900000000},
		{raw("1.9E+9"), 1900000000},
	}
	r := newRig(t)
	for _, tt := range tests {
		name := fmt.Sprintf("%v", tt.claim)
		if b, ok := tt.claim.(json.RawMessage); ok {
			name = string(b)
		}
		res, err := r.tryLogin(tokenward.StoreOptions{}, idptest.Claims{"session_expiry": tt.claim})
		if tt.want < 0 {
			wantError[*tokenward.SessionExpiredError](t, name, err, "session_expired")
			continue
		}
		if err != nil {
			t.Errorf("%s: err = %v", name, err)
			continue
		}
		u, err := r.client.GetUser(t.Context(), tokenward.SessionID(res.SessionID))
		if err != nil || int64(u.SessionExpiry()) != tt.want || int64(r.state(res.SessionID).Internal.Ceiling) != tt.want {
			t.Errorf("%s: ceiling %d, stored %d, want %d (%v)", name, u.SessionExpiry(), r.state(res.SessionID).Internal.Ceiling, tt.want, err)
		}
		if _, ok := u["session_expiry"]; ok != (tt.want != 0) {
			t.Errorf("%s: user.session_expiry = %v", name, u["session_expiry"])
		}
	}
}

// Only the ID token of the login has a say: not a refresh, an access token or userinfo.
func TestCeiling_refreshChangesNothing(t *testing.T) {
	claims := []any{t0.Add(time.Hour).Unix(), t0.Add(1000 * time.Hour).Unix(), 1, idptest.Absent}
	for _, claim := range claims {
		for _, ceiling := range []int64{0, t0.Add(100 * time.Hour).Unix()} {
			r := newRig(t, withTenant(idptest.WithIDToken(func(d *idptest.Draft) {
				if d.Kind == idptest.Refresh {
					d.Claims["session_expiry"] = claim
					if claim == idptest.Absent {
						delete(d.Claims, "session_expiry")
					}
				}
			})))
			at := any(ceiling)
			if ceiling == 0 {
				at = idptest.Absent
			}
			id := r.login(idptest.Claims{"session_expiry": at})
			r.clock.Advance(idptest.TokenLife)
			if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
				t.Fatal(err)
			}
			if got := int64(r.state(id).Internal.Ceiling); got != ceiling {
				t.Errorf("refreshed with session_expiry %v: ceiling = %d, want %d", claim, got, ceiling)
			}
			r.clock.Advance(2 * time.Hour)
			r.settle()
			if n := r.store.Ends(); n != 0 {
				t.Errorf("refreshed with session_expiry %v: deletes = %d, want 0", claim, n)
			}
		}
	}
}

// 5.3: alive at ceiling - 31 s, dead from ceiling - 30 s on, whether the timer comes or not.
func TestCeiling_boundary(t *testing.T) {
	calls := map[string]func(*tokenward.Handle) (dead bool, err error){
		"GetUser": func(h *tokenward.Handle) (bool, error) {
			u, err := h.GetUser(t.Context())
			return u == nil, err
		},
		"GetSession": func(h *tokenward.Handle) (bool, error) {
			s, err := h.GetSession(t.Context())
			return s == nil, err
		},
		"GetAccessToken": func(h *tokenward.Handle) (bool, error) {
			_, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{})
			if errors.Is(err, tokenward.ErrSessionExpired) {
				wantError[*tokenward.AccessTokenError](t, "GetAccessToken", err, "session_expired")
				return true, nil
			}
			return false, err
		},
	}
	for name, call := range calls {
		for _, late := range []bool{false, true} {
			for at, dead := range map[time.Duration]bool{-31 * time.Second: false, -30*time.Second - 1: false, -30 * time.Second: true, -29 * time.Second: true, 0: true} {
				r := newRig(t, withTenant(idptest.WithTokenLife(10*time.Hour)))
				if late {
					r.restart(tokenward.WithClock(lateClock{r.clock}))
				}
				id := r.login(until(time.Hour))
				r.tenant.Reset()
				due := time.Hour - session.CeilingLeeway
				r.clock.Advance(min(time.Hour+at, due))
				if time.Hour+at > due {
					r.settle() // a deletion that the timer has begun has a deadline
					r.clock.Advance(time.Hour + at - due)
				}
				got, err := call(r.client.Session(id))
				if got != dead || err != nil {
					t.Errorf("%s at ceiling %v, timer late %v: gone %v, %v, want %v", name, at, late, got, err, dead)
				}
				if n := r.store.Ends(key(id)); (n == 1) != dead {
					t.Errorf("%s at ceiling %v, timer late %v: deletes on return = %d", name, at, late, n)
				}
				if n := r.tenant.Requests(idptest.Any); n != 0 {
					t.Errorf("%s at ceiling %v: requests = %d, want 0", name, at, n)
				}
			}
		}
	}
}

// A session that is accepted with a ceiling 31 s away lives for one second.
func TestCeiling_oneSecondToLive(t *testing.T) {
	r := newRig(t)
	id := r.login(until(31 * time.Second))
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u == nil || err != nil {
		t.Errorf("at once: %v, %v", u, err)
	}
	r.clock.Advance(time.Second)
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u != nil || err != nil {
		t.Errorf("a second later: %v, %v", u, err)
	}
}

// A clock that jumps back revives nothing.
func TestCeiling_clockJumpsBack(t *testing.T) {
	r := newRig(t)
	id := r.login(until(time.Hour))
	r.advance(time.Hour)
	r.clock.Set(t0)
	h := r.client.Session(id)
	if u, err := h.GetUser(t.Context()); u != nil || err != nil {
		t.Errorf("GetUser = %v, %v", u, err)
	}
	if _, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{}); !errors.Is(err, tokenward.ErrSessionExpired) {
		t.Errorf("GetAccessToken: %v", err)
	}
	r.advance(2 * time.Hour)
	if n := r.store.Ends(); n != 1 {
		t.Errorf("deletes = %d, want 1", n)
	}
}

// A clock that jumps back before the ceiling only puts it off.
func TestCeiling_clockJumpsBackBefore(t *testing.T) {
	r := newRig(t)
	id := r.login(until(time.Hour))
	r.advance(50 * time.Minute)
	r.clock.Set(t0)
	r.advance(time.Hour - 31*time.Second)
	if n := r.store.Ends(); n != 0 {
		t.Errorf("deletes before the ceiling = %d, want 0", n)
	}
	r.clock.Advance(time.Second)
	r.settle()
	if n := r.store.Ends(key(id)); n != 1 {
		t.Errorf("deletes = %d, want 1", n)
	}
}

// The ceiling wins over a token in the cache, and over one that is on its way.
func TestCeiling_winsOverTokens(t *testing.T) {
	t.Run("in the cache", func(t *testing.T) {
		r := newRig(t, withTenant(idptest.WithTokenLife(10*time.Hour)))
		id := r.login(until(time.Hour))
		h := r.client.Session(id)
		if _, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{}); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(time.Hour - 30*time.Second)
		if _, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{}); !errors.Is(err, tokenward.ErrSessionExpired) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("on its way", func(t *testing.T) {
		r := newRig(t)
		id := r.login(until(35 * time.Second)) // nearer than a request's deadline
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		done := make(chan error, 1)
		go func() {
			_, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: apiB}, tokenward.SessionID(id))
			done <- err
		}()
		if err := hold.Wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(5 * time.Second)
		wantError[*tokenward.AccessTokenError](t, "GetAccessToken", <-done, "session_expired")
		r.settle()
		hold.Release()
		r.settle()
		if r.memory.Len() != 0 || r.store.Updates() != 0 || r.store.Ends(key(id)) != 1 {
			t.Errorf("sessions %d, updates %d, deletes %d", r.memory.Len(), r.store.Updates(), r.store.Ends(key(id)))
		}
	})
}

// The largest ceiling, from the epoch on: more nanoseconds than a Duration holds.
func TestCeiling_furtherThanADurationReaches(t *testing.T) {
	r := newRig(t, func(c *rigConfig) { c.start = time.Unix(0, 0).UTC() })
	id := r.login(idptest.Claims{"session_expiry": 9_999_999_999})
	for _, at := range []int64{1, 3600, 9_223_372_035, 9_223_372_037, 9_223_372_040, 9_999_999_968} {
		r.clock.Set(time.Unix(at, 0))
		r.settle()
		if n := r.store.Ends(); n != 0 {
			t.Fatalf("deletes at %d = %d, want 0", at, n)
		}
	}
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u == nil || err != nil {
		t.Errorf("a second before: %v, %v", u, err)
	}
	r.clock.Advance(time.Second)
	r.settle()
	if n := r.store.Ends(key(id)); n != 1 {
		t.Errorf("deletes = %d, want 1", n)
	}
}

// A stored ceiling that is none was written by others, and counts as none.
func TestCeiling_storedByOthers(t *testing.T) {
	for _, stored := range []string{`"1"`, "0", "-1", "true", "null", "1e400", "1.5", "20000000000"} {
		r := newRig(t)
		k := key("theirs")
		s, err := session.DecodeState([]byte(`{"user":{"sub":"ada"},"refresh_token":"r","internal":{"sid":"s","created_at":1,"session_expires_at":` + stored + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		rec, err := r.codec().Encode(k, s, session.NewVersion(randomness{}), session.NewIncarnation(randomness{}))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.memory.Replace(t.Context(), k, rec, store.Options{}); err != nil {
			t.Fatal(err)
		}
		if u, err := r.client.GetUser(t.Context(), tokenward.SessionID("theirs")); u.Sub() != "ada" || err != nil {
			t.Errorf("session_expires_at %s: GetUser = %v, %v", stored, u, err)
		}
	}
}
