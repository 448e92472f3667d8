package test_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
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
			if n := r.store.Deletes(); n != 0 {
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
				r.clock.Advance(time.Hour + at)
				got, err := call(r.client.Session(id))
				if got != dead || err != nil {
					t.Errorf("%s at ceiling %v, timer late %v: gone %v, %v, want %v", name, at, late, got, err, dead)
				}
				if n := r.store.Deletes(key(id)); (n == 1) != dead {
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

// The ceiling ends the session with nobody asking, once.
func TestCeiling_endsTheSessionWithNobodyAsking(t *testing.T) {
	r := newRig(t)
	id := r.login(until(time.Hour))
	r.clock.Advance(time.Hour - 31*time.Second)
	r.settle()
	if n := r.store.Deletes(); n != 0 {
		t.Errorf("deletes a second before = %d, want 0", n)
	}
	r.clock.Advance(time.Second)
	r.settle()
	if n := r.store.Deletes(key(id)); n != 1 || r.memory.Len() != 0 {
		t.Errorf("deletes = %d, sessions = %d, want 1 and 0", n, r.memory.Len())
	}
	if o := r.store.LastOptions(storetest.OpDelete); !o.Background {
		t.Errorf("options of the deletion = %+v, want Background", o)
	}
	var gone *store.GoneError
	if _, err := r.memory.Load(t.Context(), key(id), store.Options{}); !errors.As(err, &gone) || gone.Reason != session.ReasonCeiling {
		t.Errorf("what is left says %v", err)
	}
	if n := r.client.Stats().Ceilings; n != 1 {
		t.Errorf("Stats.Ceilings = %d, want 1", n)
	}
	h := r.client.Session(id)
	if _, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{}); !errors.Is(err, tokenward.ErrSessionExpired) {
		t.Errorf("GetAccessToken: %v", err)
	}
	if u, err := h.GetUser(t.Context()); u != nil || err != nil {
		t.Errorf("GetUser = %v, %v", u, err)
	}
	r.clock.Advance(time.Hour)
	r.settle()
	if n := r.store.Deletes(); n != 1 {
		t.Errorf("deletes in the end = %d, want 1", n)
	}
}

// Many readers at the ceiling, and the timer: one deletion, and each reader returns after it.
func TestCeiling_manyReadersOneDeletion(t *testing.T) {
	for _, late := range []bool{false, true} {
		r := newRig(t)
		if late {
			r.restart(tokenward.WithClock(lateClock{r.clock}))
		}
		id := r.login(until(time.Hour))
		h := r.client.Session(id)
		gate := r.store.Hold(storetest.OpDelete)
		r.clock.Advance(time.Hour)
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				var err error
				gone := true
				switch i % 3 {
				case 0:
					var u tokenward.User
					u, err = h.GetUser(t.Context())
					gone = u == nil
				case 1:
					var s *tokenward.Session
					s, err = h.GetSession(t.Context())
					gone = s == nil
				default:
					if _, err = h.GetAccessToken(t.Context(), tokenward.TokenRequest{}); errors.Is(err, tokenward.ErrSessionExpired) {
						err = nil
					}
				}
				if err != nil || !gone {
					t.Errorf("reader %d: gone %v, %v", i, gone, err)
				}
				if r.memory.Len() != 0 {
					t.Errorf("reader %d returned before the deletion", i)
				}
			})
		}
		gate.Arrived(t, 1)
		gate.Release()
		wg.Wait()
		if n := r.store.Deletes(key(id)); n != 1 {
			t.Errorf("deletes = %d, want 1", n)
		}
	}
}

// A login under the same id puts the earlier timer out of force.
func TestCeiling_reloginDisarms(t *testing.T) {
	mine := tokenward.SessionID("mine")
	for name, claims := range map[string]idptest.Claims{"a later ceiling": until(5 * time.Hour), "no ceiling": {}} {
		r := newRig(t)
		r.loginAs(mine, until(time.Hour))
		r.clock.Advance(30 * time.Minute)
		r.settle()
		r.loginAs(mine, claims)
		r.clock.Advance(4 * time.Hour)
		r.settle()
		if n := r.store.Deletes(); n != 0 {
			t.Errorf("%s: deletes = %d, want 0", name, n)
		}
		if u, err := r.client.GetUser(t.Context(), mine); u == nil || err != nil {
			t.Errorf("%s: GetUser = %v, %v", name, u, err)
		}
		r.clock.Advance(time.Hour)
		r.settle()
		want := 0
		if len(claims) > 0 {
			want = 1
		}
		if n := r.store.Deletes(); n != want {
			t.Errorf("%s, at its end: deletes = %d, want %d", name, n, want)
		}
	}
}

// An earlier ceiling of the new login counts from then on.
func TestCeiling_reloginWithAnEarlierOne(t *testing.T) {
	r := newRig(t)
	mine := tokenward.SessionID("mine")
	r.loginAs(mine, until(5*time.Hour))
	r.loginAs(mine, until(time.Hour))
	r.clock.Advance(time.Hour)
	r.settle()
	if n := r.store.Deletes(); n != 1 {
		t.Errorf("deletes = %d, want 1", n)
	}
}

func TestCeiling_logoutDisarms(t *testing.T) {
	r := newRig(t)
	id := r.login(until(time.Hour))
	if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(2 * time.Hour)
	r.settle()
	if n := r.store.Deletes(); n != 1 {
		t.Errorf("deletes = %d, want the logout's one", n)
	}
	if n := r.client.Stats().Ceilings; n != 0 {
		t.Errorf("Stats.Ceilings = %d, want 0", n)
	}
}

// A clock that jumps back revives nothing.
func TestCeiling_clockJumpsBack(t *testing.T) {
	r := newRig(t)
	id := r.login(until(time.Hour))
	r.clock.Advance(time.Hour)
	r.settle()
	r.clock.Set(t0)
	h := r.client.Session(id)
	if u, err := h.GetUser(t.Context()); u != nil || err != nil {
		t.Errorf("GetUser = %v, %v", u, err)
	}
	if _, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{}); !errors.Is(err, tokenward.ErrSessionExpired) {
		t.Errorf("GetAccessToken: %v", err)
	}
	r.clock.Advance(2 * time.Hour)
	r.settle()
	if n := r.store.Deletes(); n != 1 {
		t.Errorf("deletes = %d, want 1", n)
	}
}

// A clock that jumps back before the ceiling only puts it off.
func TestCeiling_clockJumpsBackBefore(t *testing.T) {
	r := newRig(t)
	id := r.login(until(time.Hour))
	r.clock.Advance(50 * time.Minute)
	r.settle()
	r.clock.Set(t0)
	r.clock.Advance(time.Hour - 31*time.Second)
	r.settle()
	if n := r.store.Deletes(); n != 0 {
		t.Errorf("deletes before the ceiling = %d, want 0", n)
	}
	r.clock.Advance(time.Second)
	r.settle()
	if n := r.store.Deletes(key(id)); n != 1 {
		t.Errorf("deletes = %d, want 1", n)
	}
}

// A deletion that fails is tried again, later and later; meanwhile the session is gone.
func TestCeiling_deletionIsTriedAgain(t *testing.T) {
	r := newRig(t)
	id := r.login(until(time.Hour))
	h := r.client.Session(id)
	r.store.Fail(storetest.OpDelete, 8)
	r.clock.Advance(time.Hour - 30*time.Second)
	r.settle()
	wait, before := 50*time.Millisecond, time.Duration(0)
	for n := 1; n <= 8; n++ {
		if got := r.store.Deletes(key(id)); got != n {
			t.Fatalf("deletes = %d, want %d", got, n)
		}
		if u, err := h.GetUser(t.Context()); u != nil || err != nil {
			t.Errorf("GetUser = %v, %v", u, err)
		}
		if s, err := h.GetSession(t.Context()); s != nil || err != nil {
			t.Errorf("GetSession = %v, %v", s, err)
		}
		if _, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{}); !errors.Is(err, tokenward.ErrSessionExpired) {
			t.Errorf("GetAccessToken: %v", err)
		}
		if r.memory.Len() != 1 {
			t.Fatal("it was deleted although that failed")
		}
		if err := r.client.Ready(t.Context()); err == nil {
			t.Error("Ready says nothing of it")
		}
		step, waited := wait/20, time.Duration(0)
		for r.store.Deletes(key(id)) == n && waited < 2*wait {
			r.clock.Advance(step)
			r.settle()
			waited += step
		}
		// The try before came somewhere in the last step; a wait may be a quarter longer than it says.
		if waited < wait-before/20 || waited > wait+wait/4+step {
			t.Errorf("try %d came after %v, want %v", n+1, waited, wait)
		}
		wait, before = min(2*wait, 5*time.Second), wait
	}
	if got := r.store.Deletes(key(id)); got != 9 || r.memory.Len() != 0 {
		t.Errorf("deletes = %d, sessions = %d, want 9 and 0", got, r.memory.Len())
	}
	if err := r.client.Ready(t.Context()); err != nil {
		t.Errorf("Ready: %v", err)
	}
	r.clock.Advance(time.Hour)
	r.settle()
	if got := r.store.Deletes(key(id)); got != 9 {
		t.Errorf("deletes in the end = %d, want 9", got)
	}
}

// A login wins over the deletion of the session before, which is still being tried.
func TestCeiling_loginWhileTheDeletionFails(t *testing.T) {
	r := newRig(t)
	mine := tokenward.SessionID("mine")
	r.loginAs(mine, until(time.Hour))
	r.store.Fail(storetest.OpDelete, 3)
	r.clock.Advance(time.Hour)
	r.settle()
	r.loginAs(mine)
	r.clock.Advance(time.Minute)
	r.settle()
	if u, err := r.client.GetUser(t.Context(), mine); u == nil || err != nil {
		t.Errorf("GetUser = %v, %v", u, err)
	}
	if r.memory.Len() != 1 {
		t.Errorf("sessions = %d, want 1", r.memory.Len())
	}
}

// After a deletion that nobody saw, GetAccessToken says why for ten minutes.
func TestCeiling_isRememberedForTenMinutes(t *testing.T) {
	r := newRig(t)
	id := r.login(until(time.Hour))
	h := r.client.Session(id)
	r.clock.Advance(time.Hour - 30*time.Second)
	r.settle()
	for _, step := range []time.Duration{0, time.Minute, 8*time.Minute + 59*time.Second} {
		r.clock.Advance(step)
		r.settle()
		_, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{})
		wantError[*tokenward.AccessTokenError](t, "within ten minutes", err, "session_expired")
		if !errors.Is(err, &tokenward.SessionExpiredError{}) && !errors.Is(err, tokenward.ErrSessionExpired) {
			t.Errorf("%v is not ErrSessionExpired", err)
		}
	}
	r.clock.Advance(2 * time.Second)
	r.settle()
	_, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{})
	wantError[*tokenward.AccessTokenError](t, "after that", err, "missing_refresh_token")
}

func TestCeiling_rememberedUntilLogoutOrLogin(t *testing.T) {
	mine := tokenward.SessionID("mine")
	t.Run("logout", func(t *testing.T) {
		r := newRig(t)
		r.loginAs(mine, until(time.Hour))
		r.clock.Advance(time.Hour)
		r.settle()
		if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, mine); err != nil {
			t.Fatal(err)
		}
		_, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, mine)
		wantError[*tokenward.AccessTokenError](t, "after a logout", err, "missing_refresh_token")
		r.clock.Advance(5 * time.Second)
		_, err = r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, mine)
		wantError[*tokenward.AccessTokenError](t, "a little later", err, "missing_refresh_token")
	})
	t.Run("login", func(t *testing.T) {
		r := newRig(t)
		r.loginAs(mine, until(time.Hour))
		r.clock.Advance(time.Hour)
		r.settle()
		r.loginAs(mine)
		if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, mine); err != nil {
			t.Errorf("after a login: %v", err)
		}
		r.clock.Advance(11 * time.Minute)
		r.settle()
		if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, mine); err != nil {
			t.Errorf("when the marker's time is over: %v", err)
		}
	})
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
		if r.memory.Len() != 0 || r.store.Updates() != 0 || r.store.Deletes(key(id)) != 1 {
			t.Errorf("sessions %d, updates %d, deletes %d", r.memory.Len(), r.store.Updates(), r.store.Deletes(key(id)))
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
		if n := r.store.Deletes(); n != 0 {
			t.Fatalf("deletes at %d = %d, want 0", at, n)
		}
	}
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u == nil || err != nil {
		t.Errorf("a second before: %v, %v", u, err)
	}
	r.clock.Advance(time.Second)
	r.settle()
	if n := r.store.Deletes(key(id)); n != 1 {
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

// What a process left behind that died before the ceiling ends on time in the next.
func TestCeiling_ofSessionsLeftBehind(t *testing.T) {
	r := newRig(t)
	past, soon, far := r.login(until(time.Hour)), r.login(until(3*time.Hour)), r.login(until(9*time.Hour))
	closeClient(t, r.client)
	r.clock.Advance(90 * time.Minute)
	r.client = r.newClient()
	r.settle()
	if n := r.store.Deletes(); n != 1 || r.store.Deletes(key(past)) != 1 {
		t.Errorf("deletes at the start = %d, want the past one's", n)
	}
	for range 100 { // windows of five minutes are asked for every two
		r.clock.Advance(time.Minute)
		r.settle()
	}
	if n := r.store.Deletes(key(soon)); n != 1 {
		t.Errorf("deletes of the next = %d, want 1", n)
	}
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(far)); u == nil || err != nil {
		t.Errorf("the one that may live on: %v, %v", u, err)
	}
}

// A session that is out of memory ends to the second.
func TestCeiling_ofASleepingSession(t *testing.T) {
	for name, wrap := range map[string]func(store.StateStore) store.StateStore{
		"with an index":    func(s store.StateStore) store.StateStore { return s },
		"without an index": storetest.Without[store.Index],
	} {
		r := newRig(t)
		r.restart(tokenward.WithStateStore(wrap(r.store)))
		id := r.login(until(2 * time.Hour))
		for range 119 {
			r.clock.Advance(time.Minute)
			r.settle()
		}
		if n := r.client.Stats().Resident; n != 0 {
			t.Errorf("%s: resident = %d, want 0", name, n)
		}
		r.clock.Advance(29 * time.Second)
		r.settle()
		if n := r.store.Deletes(); n != 0 {
			t.Errorf("%s: deletes a second before = %d, want 0", name, n)
		}
		r.clock.Advance(time.Second)
		r.settle()
		if n := r.store.Deletes(key(id)); n != 1 || r.memory.Len() != 0 {
			t.Errorf("%s: deletes = %d, sessions = %d, want 1 and 0", name, n, r.memory.Len())
		}
		r.clock.Advance(10 * time.Minute)
		r.settle()
		if n := r.store.Deletes(key(id)); n != 1 {
			t.Errorf("%s: deletes in the end = %d, want 1", name, n)
		}
	}
}

// A hundred thousand sessions whose ceilings spread over an hour, few of them in memory:
// each is deleted once, none early, none late.
func TestCeiling_aHundredThousandSessions(t *testing.T) {
	const (
		sessions = 100_000
		resident = 3_000
		woken    = 5_000 // so that some have to leave again
		spread   = 3_600 // seconds
	)
	if testing.Short() {
		t.Skip("it takes long")
	}
	r := newRig(t, withClient(tokenward.WithLimits(tokenward.Limits{Resident: resident, PassivateAfter: 2 * time.Hour})))
	ceilingOf := func(i int) int64 { return t0.Unix() + 600 + int64(i*7919%spread) }
	deadlineOf := func(i int) int { return int(ceilingOf(i) - 30 - t0.Unix()) } // seconds from now
	name := func(i int) string { return fmt.Sprint("session ", i) }
	due := make([]int, 600+spread) // how many ceilings come with each second
	at := make([]int, 600+spread)  // one of them
	for i := range sessions {
		due[deadlineOf(i)]++
		at[deadlineOf(i)] = i
	}
	keys := make(map[session.Key]int, sessions)
	for i := range sessions {
		keys[key(name(i))] = i
		opened := i < woken || at[deadlineOf(i)] == i
		r.plant(name(i), session.Ceiling(ceilingOf(i)), opened)
	}
	for i := range woken {
		if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(name(i))); u == nil || err != nil {
			t.Fatalf("session %d: %v, %v", i, u, err)
		}
	}
	r.settle()

	var mu sync.Mutex
	deleted := make([]int, sessions)
	early, total := 0, 0
	r.store.OnCall(func(c storetest.Call) {
		if c.Op != storetest.OpDelete {
			return
		}
		i, now := keys[c.Key], r.clock.Now().Unix()
		mu.Lock()
		defer mu.Unlock()
		deleted[i]++
		total++
		if now < ceilingOf(i)-30 {
			early++
		}
	})
	defer r.store.OnCall(nil)
	gone := 0
	for second := 1; second < len(due); second++ {
		r.clock.Advance(time.Second)
		gone += due[second]
		if due[second] > 0 && second%10 == 0 { // before anything has come to rest
			_, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(name(at[second])))
			if !errors.Is(err, tokenward.ErrSessionExpired) {
				t.Fatalf("a session at its ceiling: err = %v", err)
			}
		}
		r.settle()
		if total != gone || second%300 == 0 && r.memory.Len() != sessions-gone {
			t.Fatalf("after %d s: deletes = %d, sessions = %d, want %d, %d", second, total, r.memory.Len(), gone, sessions-gone)
		}
	}
	if gone != sessions || early != 0 {
		t.Errorf("due %d, early %d, want %d, 0", gone, early, sessions)
	}
	for i, n := range deleted {
		if n != 1 {
			t.Fatalf("session %d: deletes = %d, want 1", i, n)
		}
	}
	if n := r.client.Stats().Ceilings; n != sessions {
		t.Errorf("Stats.Ceilings = %d, want %d", n, sessions)
	}
}

// plant puts a session into the store. One that will not be opened has no contents.
func (r *rig) plant(id string, c session.Ceiling, opened bool) {
	r.t.Helper()
	rec := store.Record{
		Version: session.NewVersion(randomness{}), Incarnation: session.NewIncarnation(randomness{}),
		Ceiling: c, Sealed: []byte("never opened"),
	}
	if opened {
		now := r.clock.Now().Unix()
		var err error
		rec, err = r.codec().Encode(key(id), &session.State{
			User: session.User{"sub": "ada"}, RefreshToken: "r", Domain: r.tenant.Issuer(),
			TokenSets: []session.TokenSet{{Audience: "default", AccessToken: "a", ExpiresAt: now + 100_000}},
			Internal:  session.Internal{SID: id, CreatedAt: now, Ceiling: c},
		}, rec.Version, rec.Incarnation)
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if err := r.memory.Replace(r.t.Context(), key(id), rec, store.Options{}); err != nil {
		r.t.Fatal(err)
	}
}
