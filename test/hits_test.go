package test_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/storetest"
)

// P11: a cached token is handed out without an allocation, by id and by handle.
func TestHits_allocateNothing(t *testing.T) {
	r := newRig(t)
	ctx, id := context.Background(), r.login()
	handle := r.client.Session(id)
	o := tokenward.SessionID(id)
	for name, q := range map[string]tokenward.TokenRequest{
		"the usual query":           {},
		"an audience":               {Audience: audience(1)},
		"an audience and scopes":    {Audience: audience(1), Scope: "write read"},
		"the scopes in other words": {Audience: audience(1), Scope: "  read  write read "},
	} {
		for asked, ask := range map[string]func() (tokenward.Token, error){
			"by id":     func() (tokenward.Token, error) { return r.client.GetAccessToken(ctx, q, o) },
			"by handle": func() (tokenward.Token, error) { return handle.GetAccessToken(ctx, q) },
			"by a new id": func() (tokenward.Token, error) {
				return r.client.GetAccessToken(ctx, q, tokenward.SessionID(id))
			},
		} {
			if _, err := ask(); err != nil {
				t.Fatal(err)
			}
			if n := testing.AllocsPerRun(200, func() {
				if _, err := ask(); err != nil {
					t.Error(err)
				}
			}); n != 0 {
				t.Errorf("%s, %s: %v allocations, want 0", name, asked, n)
			}
		}
	}
}

// Strangers may ask what they like: nothing of it is kept, and a user's hit costs what it did.
func TestHits_strangersLeaveNothing(t *testing.T) {
	r := newRig(t, withLimits(tokenward.Limits{ArgumentBytes: 1 << 20}))
	ctx, id := t.Context(), r.login()
	scopes := func(n int) string {
		var b strings.Builder
		for i := range 10_000 {
			fmt.Fprintf(&b, "s%d.%d ", n, i)
		}
		return b.String()
	}
	before := heap()
	for i := range 40 {
		if _, err := r.client.GetAccessToken(ctx, tokenward.TokenRequest{Scope: scopes(i)}, tokenward.SessionID("made up")); !errors.Is(err, tokenward.ErrMissingRefreshToken) {
			t.Fatal(err)
		}
	}
	for i := range 10_000 { // each as long as one that is kept
		long := fmt.Sprintf("%s/%2000d", audience(1), i)
		_, _ = r.client.GetAccessToken(ctx, tokenward.TokenRequest{Audience: long}, tokenward.SessionID("made up"))
	}
	if after := heap(); after > before+8<<20 {
		t.Errorf("strangers' queries keep %d MiB", (after-before)>>20)
	}
	q := tokenward.TokenRequest{Audience: audience(1), Scope: "read"}
	ask := func() {
		if _, err := r.client.GetAccessToken(ctx, q, tokenward.SessionID(id)); err != nil {
			t.Error(err)
		}
	}
	ask()
	if n := testing.AllocsPerRun(200, ask); n != 0 {
		t.Errorf("a hit: %v allocations, want 0", n)
	}
}

// No query longer than 2,048 bytes is kept: to ask it again allocates.
func TestHits_longQueriesAreNotKept(t *testing.T) {
	r := newRig(t, withLimits(tokenward.Limits{ArgumentBytes: 1 << 20}))
	ctx, id := t.Context(), r.login()
	for length, kept := range map[int]bool{2048: true, 2049: false} {
		q := tokenward.TokenRequest{Audience: audience(1), Scope: strings.Repeat("s", length-len(audience(1)))}
		ask := func() {
			if _, err := r.client.GetAccessToken(ctx, q, tokenward.SessionID(id)); err != nil {
				t.Error(err)
			}
		}
		ask()
		if n := testing.AllocsPerRun(200, ask); (n == 0) != kept {
			t.Errorf("%d bytes: %v allocations", length, n)
		}
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A hit asks neither provider nor store, and waits for neither.
func TestHits_askNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		want := r.token(id, tokenward.TokenRequest{})
		r.tenant.Reset()
		loads := r.store.Loads()
		r.store.Down()
		hold := r.tenant.Hold(idptest.Any, idptest.BeforeGrant)
		together(100, func(int) {
			if got := r.token(id, tokenward.TokenRequest{}); got != want {
				t.Error("another token")
			}
		})
		r.want("requests", r.tenant.Requests(idptest.Any), 0)
		r.want("loads", r.store.Loads()-loads, 0)
		r.want("updates", r.store.Count(storetest.OpUpdate), 0)
		hold.Release()
		r.store.Heal()
	})
}

// P4: no cached token leaves at or after its expiry, none at or after the ceiling, to
// the nanosecond.
func TestHits_endInTime(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login(idptest.Claims{"session_expiry": t0.Add(90 * time.Minute).Unix()})
		first := r.token(id, tokenward.TokenRequest{})
		r.clock.Set(t0.Add(idptest.TokenLife - 1))
		if got := r.token(id, tokenward.TokenRequest{}); got != first {
			t.Error("just before its expiry the token is not served")
		}
		r.clock.Set(t0.Add(idptest.TokenLife))
		next := r.token(id, tokenward.TokenRequest{})
		if next.AccessToken == first.AccessToken {
			t.Error("the token was served at its expiry")
		}
		r.clock.Set(t0.Add(90*time.Minute - 30*time.Second - 1))
		if got := r.token(id, tokenward.TokenRequest{}); got != next {
			t.Error("just before the ceiling the token is not served")
		}
		r.clock.Set(t0.Add(90*time.Minute - 30*time.Second))
		r.wantCode("at the ceiling", r.tokenErr(id, tokenward.TokenRequest{}), "session_expired")
	})
}

// A refresh buffer makes tokens old before their time.
func TestHits_refreshBuffer(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		first := r.token(id, tokenward.TokenRequest{})
		r.tenant.Reset()
		r.clock.Set(t0.Add(idptest.TokenLife - time.Minute - 1))
		if got := r.token(id, tokenward.TokenRequest{}); got != first {
			t.Error("before the buffer begins the token is not served")
		}
		r.clock.Set(t0.Add(idptest.TokenLife - time.Minute))
		if got := r.token(id, tokenward.TokenRequest{}); got.AccessToken == first.AccessToken {
			t.Error("the token was served within the buffer")
		}
		r.want("requests", r.tenant.Refreshes(), 1)
	}, withClient(tokenward.WithRefreshBuffer(time.Minute)))
}

// Users and sessions are handed out as copies.
func TestHits_whatIsHandedOutIsACopy(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login(idptest.Claims{"roles": []string{"reader"}})
		u, err := r.client.GetUser(context.Background(), tokenward.SessionID(id))
		if err != nil {
			t.Fatal(err)
		}
		u["sub"] = "auth0|mallory"
		u["roles"].([]any)[0] = "admin"
		u, err = r.client.GetUser(context.Background(), tokenward.SessionID(id))
		if err != nil || u.Sub() != idptest.Subject || u["roles"].([]any)[0] != "reader" {
			t.Errorf("GetUser = %v, %v", u, err)
		}
		s, err := r.client.GetSession(context.Background(), tokenward.SessionID(id))
		if err != nil {
			t.Fatal(err)
		}
		s.User["sub"] = "auth0|mallory"
		s.TokenSets[0].AccessToken = "x"
		if got := r.token(id, tokenward.TokenRequest{}); got.AccessToken == "x" {
			t.Error("a caller has changed the cache")
		}
	})
}

// A handle outlives its session, and finds the next one.
func TestHandle_outlivesItsSession(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		h := r.client.Session(id)
		first, err := h.GetAccessToken(context.Background(), tokenward.TokenRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-r.logout(id); err != nil {
			t.Fatal(err)
		}
		_, err = h.GetAccessToken(context.Background(), tokenward.TokenRequest{})
		r.wantCode("after the logout", err, "missing_refresh_token")
		r.loginAs(tokenward.SessionID(id))
		next, err := h.GetAccessToken(context.Background(), tokenward.TokenRequest{})
		if err != nil || next.AccessToken == first.AccessToken {
			t.Errorf("after the next login: the old token %v, err %v", next.AccessToken == first.AccessToken, err)
		}
		r.rest()                          // or the supervisor does not know of the session yet
		r.clock.Advance(20 * time.Minute) // out of memory
		r.rest()
		r.wantResident(0)
		if again, err := h.GetAccessToken(context.Background(), tokenward.TokenRequest{}); err != nil || again != next {
			t.Errorf("after it was loaded again: same token %v, err %v", again == next, err)
		}
		r.clock.Advance(idptest.TokenLife)
		r.tenant.Reset()
		together(50, func(int) {
			if _, err := h.GetAccessToken(context.Background(), tokenward.TokenRequest{}); err != nil {
				t.Error(err)
			}
		})
		r.want("requests", r.tenant.Refreshes(), 1)
		src := h.TokenSource(context.Background(), tokenward.TokenRequest{})
		if tok, err := src.Token(); err != nil || !tok.Expiry.After(r.clock.Now()) {
			t.Errorf("TokenSource: %v", err)
		}
	})
}

// Hits go on, and never show a token that is over, while the session refreshes,
// leaves memory and comes back.
func TestHits_whileEverythingMoves(t *testing.T) {
	r := newRig(t)
	id := r.login()
	h := r.client.Session(id)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked := r.clock.Now()
				tok, err := h.GetAccessToken(context.Background(), tokenward.TokenRequest{})
				if err != nil {
					t.Error(err)
					return
				}
				if !tok.ExpiresAt.After(asked) {
					t.Errorf("at %v a token that expired at %v", asked, tok.ExpiresAt)
					return
				}
			}
		})
	}
	for range 40 {
		r.clock.Advance(20 * time.Minute)
		r.settle()
		r.token(id, tokenward.TokenRequest{})
	}
	close(stop)
	wg.Wait()
	r.want("refresh tokens reused", r.tenant.Reuses(), 0)
	r.want("requests at once", r.tenant.PeakPerFamily(), 1)
}
