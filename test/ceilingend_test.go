package test_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// The ceiling ends the session without a call, once.
func TestCeiling_endsTheSessionWithNobodyAsking(t *testing.T) {
	r := newRig(t)
	id := r.login(until(time.Hour))
	r.advance(time.Hour - 31*time.Second)
	if n := r.store.Ends(); n != 0 {
		t.Errorf("deletes a second before = %d, want 0", n)
	}
	r.clock.Advance(time.Second)
	r.settle()
	if n := r.store.Ends(key(id)); n != 1 || r.memory.Len() != 0 {
		t.Errorf("deletes = %d, sessions = %d, want 1 and 0", n, r.memory.Len())
	}
	if o := r.store.LastOptions(storetest.OpEnd); !o.Background {
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
	if n := r.store.Ends(); n != 1 {
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
		gate := r.store.Hold(storetest.OpEnd)
		r.clock.Advance(time.Hour - session.CeilingLeeway) // and no further: a deletion has a deadline
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
		if n := r.store.Ends(key(id)); n != 1 {
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
		r.advance(30 * time.Minute)
		r.loginAs(mine, claims)
		r.advance(4 * time.Hour)
		if n := r.store.Ends(); n != 0 {
			t.Errorf("%s: deletes = %d, want 0", name, n)
		}
		if u, err := r.client.GetUser(t.Context(), mine); u == nil || err != nil {
			t.Errorf("%s: GetUser = %v, %v", name, u, err)
		}
		r.advance(time.Hour)
		want := 0
		if len(claims) > 0 {
			want = 1
		}
		if n := r.store.Ends(); n != want {
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
	r.advance(time.Hour)
	if n := r.store.Ends(); n != 1 {
		t.Errorf("deletes = %d, want 1", n)
	}
}

func TestCeiling_logoutDisarms(t *testing.T) {
	r := newRig(t)
	id := r.login(until(time.Hour))
	if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		t.Fatal(err)
	}
	r.advance(2 * time.Hour)
	if n := r.store.Ends(); n != 1 {
		t.Errorf("deletes = %d, want the logout's one", n)
	}
	if n := r.client.Stats().Ceilings; n != 0 {
		t.Errorf("Stats.Ceilings = %d, want 0", n)
	}
}

// A deletion that fails is tried again, later and later; the session is gone from the first try on.
func TestCeiling_deletionIsTriedAgain(t *testing.T) {
	r := newRig(t, withLimits(tokenward.Limits{PassivateAfter: 2 * time.Hour})) // in memory
	id := r.login(until(time.Hour))
	h := r.client.Session(id)
	r.store.Fail(storetest.OpEnd, 8)
	r.clock.Advance(time.Hour - 30*time.Second)
	r.settle()
	wait, before := 50*time.Millisecond, time.Duration(0)
	for n := 1; n <= 8; n++ {
		if got := r.store.Ends(key(id)); got != n {
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
		for r.store.Ends(key(id)) == n && waited < 2*wait {
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
	if got := r.store.Ends(key(id)); got != 9 || r.memory.Len() != 0 {
		t.Errorf("deletes = %d, sessions = %d, want 9 and 0", got, r.memory.Len())
	}
	if err := r.client.Ready(t.Context()); err != nil {
		t.Errorf("Ready: %v", err)
	}
	r.clock.Advance(time.Hour)
	r.settle()
	if got := r.store.Ends(key(id)); got != 9 {
		t.Errorf("deletes in the end = %d, want 9", got)
	}
}

// A login wins over the deletion of the session before, which is still being tried.
func TestCeiling_loginWhileTheDeletionFails(t *testing.T) {
	r := newRig(t)
	mine := tokenward.SessionID("mine")
	r.loginAs(mine, until(time.Hour))
	r.store.Fail(storetest.OpEnd, 3)
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

// After an end without a call, GetAccessToken says why for as long as a browser's session could have lived, also to a first
// caller who comes the next morning.
func TestCeiling_isSaidTheNextMorning(t *testing.T) {
	r := newRig(t)
	id := r.login(until(time.Hour))
	h := r.client.Session(id)
	r.clock.Advance(time.Hour - 30*time.Second)
	r.settle()
	for _, step := range []time.Duration{0, 10 * time.Minute, 14 * time.Hour, 57 * time.Hour} {
		r.clock.Advance(step)
		r.settle()
		_, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{})
		wantError[*tokenward.AccessTokenError](t, "within three days", err, "session_expired")
		if !errors.Is(err, &tokenward.SessionExpiredError{}) && !errors.Is(err, tokenward.ErrSessionExpired) {
			t.Errorf("%v is not ErrSessionExpired", err)
		}
	}
	r.clock.Advance(time.Hour)
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
