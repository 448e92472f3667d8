package test_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
)

const early = 5 * time.Minute

// withEarly keeps sessions in memory.
func withEarly(d time.Duration, more ...tokenward.Option) rigOption {
	return withClient(append([]tokenward.Option{tokenward.WithEarlyRefresh(d), tokenward.WithLimits(tokenward.Limits{PassivateAfter: 24 * time.Hour})}, more...)...)
}

// left has a caller ask for the session's token, and returns how long that is good for.
func (r *rig) left(id string) time.Duration {
	r.t.Helper()
	return r.token(id, tokenward.TokenRequest{}).ExpiresAt.Sub(r.clock.Now())
}

// Callers of ten token lifetimes, with a provider that takes 200 ms of the clock: after the first token none of ten thousand
// waits, and each token is refreshed once.
func TestEarly_noCallerWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.left(id)
		r.tenant.Reset()
		const callers = 10_000
		handle := r.client.Session(id)
		end, step := r.clock.Now().Add(10*idptest.TokenLife), 10*idptest.TokenLife/callers
		asked, waited := 0, 0
		ask := func() {
			asked++
			gone, cancel := context.WithCancel(t.Context())
			cancel() // a hit needs no context; who joins or misses would wait, and so fails
			if _, err := handle.GetAccessToken(gone, tokenward.TokenRequest{}); err != nil {
				waited++
			}
		}
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		for r.clock.Now().Before(end) {
			ask()
			r.rest()
			if hold.Held() > 0 { // two callers come while the provider works
				r.clock.Advance(100 * time.Millisecond)
				ask()
				r.clock.Advance(100 * time.Millisecond)
				ask()
				hold.Next()
				r.rest()
			}
			r.clock.Advance(step)
			r.settle()
		}
		hold.Release()
		if asked < callers || waited != 0 {
			t.Errorf("%d of %d callers joined a refresh or missed, want 0", waited, asked)
		}
		if n := r.tenant.Refreshes(); n < 10 || n > 11 {
			t.Errorf("%d refreshes in ten lives, want one for each", n)
		}
		r.wantLiving(id)
	}, withEarly(early))
}

// A token is refreshed once it is due and asked for, by one of many hits, and not where no call asks.
func TestEarly_onlyWhereATokenIsInUse(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		used, unused := r.login(), r.login()
		r.left(used)
		r.left(unused)
		r.tenant.Reset()
		r.clock.Advance(idptest.TokenLife - early - time.Second)
		r.settle()
		r.left(used)
		r.rest()
		r.want("refreshes before it is due", r.tenant.Refreshes(), 0)
		r.clock.Advance(early/4 + time.Second) // the part by which sessions differ
		r.settle()
		r.rest()
		r.want("refreshes of what is not asked for", r.tenant.Refreshes(), 0)
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		old := r.token(used, tokenward.TokenRequest{})
		r.rest()
		for range 1000 {
			if got := r.token(used, tokenward.TokenRequest{}); got != old {
				t.Fatal("another token while the refresh is under way")
			}
		}
		r.want("requests at the provider", hold.Held(), 1)
		hold.Release()
		r.rest()
		r.want("refreshes", r.tenant.Refreshes(), 1)
		if got := r.token(used, tokenward.TokenRequest{}); got == old {
			t.Error("the old token once the refresh is over")
		}
	}, withEarly(early))
}

// Sessions that began at the same time are refreshed over a quarter of the time, and not all at once.
func TestEarly_isSpread(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		const sessions = 200
		ids := make([]string, sessions)
		for i := range ids {
			ids[i] = r.login()
			r.left(ids[i])
		}
		r.tenant.Reset()
		r.clock.Advance(idptest.TokenLife - early)
		r.settle()
		busy := 0
		for range 16 { // parts of the quarter
			before := r.tenant.Refreshes()
			for _, id := range ids {
				r.left(id)
			}
			r.rest()
			n := r.tenant.Refreshes() - before
			if n > sessions/4 {
				t.Errorf("%d of %d sessions at once", n, sessions)
			}
			if n > 0 {
				busy++
			}
			r.clock.Advance(early / 4 / 15)
			r.settle()
		}
		r.want("refreshes", r.tenant.Refreshes(), sessions)
		if busy < 12 {
			t.Errorf("in %d of 16 parts, want most of them", busy)
		}
	}, withEarly(early))
}

// An early refresh that fails is not noticed: the old token serves while it lasts. Another is tried after half a minute.
func TestEarly_failuresAreNotNoticed(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		old := r.token(id, tokenward.TokenRequest{})
		r.tenant.Reset()
		r.tenant.Script(idptest.Refresh, idptest.Status(503), idptest.Status(503))
		r.clock.Advance(idptest.TokenLife - 3*early/4)
		for second := range 70 {
			r.settle()
			got := r.token(id, tokenward.TokenRequest{})
			r.rest()
			want := 1 + second/30
			r.want(fmt.Sprintf("refreshes after %d s", second), r.tenant.Refreshes(), want)
			if got != old && want < 3 {
				t.Fatal("another token")
			}
			r.clock.Advance(time.Second)
		}
		if got := r.token(id, tokenward.TokenRequest{}); got == old {
			t.Error("the third try brought nothing")
		}
		r.wantLiving(id)
	}, withEarly(early))
}

// While the provider asks to wait, no early refresh is sent.
func TestEarly_waitsWhereTheProviderAsksTo(t *testing.T) {
	inBubble(t, func(_ *testing.T, r *rig) {
		id := r.login()
		r.left(id)
		r.token(id, tokenward.TokenRequest{Audience: audience(1)})
		r.tenant.Reset()
		r.clock.Advance(idptest.TokenLife - 3*early/4)
		r.settle()
		r.tenant.Script(idptest.Refresh, throttled(429, "45"))
		r.wantCode("a call for another audience", r.tokenErr(id, tokenward.TokenRequest{Audience: audience(2)}), "refresh_token_error")
		for range 44 {
			r.left(id)
			r.rest()
			r.clock.Advance(time.Second)
			r.settle()
		}
		r.want("requests within the wait", r.tenant.Refreshes(), 1)
		r.clock.Advance(30 * time.Second)
		r.settle()
		r.left(id)
		r.rest()
		r.want("requests after it", r.tenant.Refreshes(), 2)
	}, withEarly(early))
}

// A caller who misses while an early refresh is under way joins it.
func TestEarly_isJoinedByACallerWhoMisses(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.left(id)
		r.tenant.Reset()
		r.clock.Advance(idptest.TokenLife - 5*time.Second)
		r.settle()
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		r.left(id)
		r.rest()
		r.clock.Advance(5 * time.Second)
		c := r.ask(t.Context(), id, tokenward.TokenRequest{})
		r.rest()
		hold.Release()
		if _, err := c.wait(); err != nil {
			t.Error(err)
		}
		r.want("requests", r.tenant.Refreshes(), 1)
	}, withEarly(early))
}

// A token that would outlive its session is left alone: a new one would be of no use.
func TestEarly_notBeforeACeiling(t *testing.T) {
	inBubble(t, func(_ *testing.T, r *rig) {
		ceiling := r.clock.Now().Add(idptest.TokenLife + 20*time.Second)
		id := r.login(idptest.Claims{"session_expiry": ceiling.Unix()})
		r.tenant.Reset()
		for end := ceiling.Add(-31 * time.Second); r.clock.Now().Before(end); r.clock.Advance(5 * time.Second) {
			r.left(id)
			r.rest()
		}
		r.want("refreshes", r.tenant.Refreshes(), 0)
	}, withEarly(early))
}

// A time that is longer than tokens live has each refreshed about once in half of its life, and not again and again.
func TestEarly_longerThanTokensLive(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.tenant.Reset()
		for range 10 * 60 {
			r.left(id)
			r.rest()
			r.clock.Advance(idptest.TokenLife / 60)
			r.settle()
		}
		if n := r.tenant.Refreshes(); n < 10 || n > 20 {
			t.Errorf("%d refreshes in ten lives", n)
		}
	}, withEarly(100*idptest.TokenLife))
}

// With a refresh buffer a token is refreshed before that begins.
func TestEarly_beforeTheRefreshBuffer(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		old := r.token(id, tokenward.TokenRequest{})
		r.tenant.Reset()
		r.clock.Advance(idptest.TokenLife - 10*time.Minute - 3*early/4)
		r.settle()
		if got := r.token(id, tokenward.TokenRequest{}); got != old {
			t.Error("a caller waits, or gets another token")
		}
		r.rest()
		r.want("refreshes", r.tenant.Refreshes(), 1)
	}, withEarly(early, tokenward.WithRefreshBuffer(10*time.Minute)))
}

// Early refreshes use a quarter of the permits of signed-in users at most. What finds none is left for later, unless a
// caller has joined it.
func TestEarly_withinAShareOfThePermits(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		const sessions, share = 20, 3 // of 16 requests, 12 are for users
		var ids []string
		for range sessions {
			ids = append(ids, r.login())
			r.left(ids[len(ids)-1])
		}
		r.tenant.Reset()
		r.clock.Advance(idptest.TokenLife - 3*early/4)
		r.settle()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		for _, id := range ids {
			r.left(id)
			r.rest()
		}
		r.want("early refreshes at the provider", hold.Held(), share)
		c := r.ask(t.Context(), ids[sessions-1], tokenward.TokenRequest{MinRemaining: early})
		r.rest()
		r.want("requests with that of a caller who waits", hold.Held(), share+1)
		hold.Release()
		if _, err := c.wait(); err != nil {
			t.Error(err)
		}
		r.rest()
		r.clock.Advance(30 * time.Second)
		r.settle()
		for _, id := range ids {
			r.left(id)
			r.rest()
		}
		r.want("refreshes half a minute later", r.tenant.Refreshes(), sessions)
	}, withEarly(early, tokenward.WithLimits(tokenward.Limits{ProviderRequests: 16, PassivateAfter: 24 * time.Hour})))
}

// A session that has left memory, and is read again, counts its token's life from when that came: the refresh comes when it
// would have come.
func TestEarly_afterTheSessionLeftMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		atLogin, refreshed := r.login(), r.login()
		r.tenant.Reset()
		for _, id := range []string{atLogin, refreshed} {
			left := idptest.TokenLife
			if id == refreshed {
				r.clock.Advance(idptest.TokenLife) // its token has expired
				r.settle()
				r.left(id)
				r.tenant.Reset()
			}
			err := r.client.UpdateSession(t.Context(), func(d tokenward.SessionData) error { return d.Set("n", id) }, tokenward.SessionID(id))
			if err != nil {
				t.Fatal(err)
			}
			for left > 33*time.Minute { // 16 minutes unused, again and again: read, and written by another call
				loads := r.client.Stats().Loads
				r.clock.Advance(16 * time.Minute)
				r.settle()
				left -= 16 * time.Minute
				r.want("time left", int(r.left(id)/time.Second), int(left/time.Second))
				r.rest()
				r.want("loads", int(r.client.Stats().Loads-loads), 1)
				err := r.client.UpdateSession(t.Context(), func(d tokenward.SessionData) error { return d.Set("n", left) }, tokenward.SessionID(id))
				if err != nil {
					t.Fatal(err)
				}
			}
			r.want("refreshes before it is due", r.tenant.Refreshes(), 0)
			loads := r.client.Stats().Loads
			r.clock.Advance(left - 10*time.Second) // more than PassivateAfter
			r.settle()
			r.want("time left", int(r.left(id)/time.Second), 10)
			r.rest()
			r.want("loads", int(r.client.Stats().Loads-loads), 1)
			r.want("refreshes by the first call with 10 s left", r.tenant.Refreshes(), 1)
			r.want("time left", int(r.left(id)/time.Second), int(idptest.TokenLife/time.Second))
		}
	}, withClient(tokenward.WithEarlyRefresh(early)))
}

// Of several processes that serve a session, one refreshes its token early, and the others find it.
func TestEarly_onceForAllProcesses(t *testing.T) {
	opts := []tokenward.Option{tokenward.WithEarlyRefresh(early), tokenward.WithLimits(tokenward.Limits{PassivateAfter: 24 * time.Hour})}
	inBubble(t, func(t *testing.T, r *rig) {
		all := []*tokenward.Client{r.client, r.newClient(opts...), r.newClient(opts...)}
		id := r.login()
		ask := func() {
			t.Helper()
			for _, p := range all {
				if _, err := p.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
					t.Fatal(err)
				}
			}
			r.rest()
		}
		r.rest()
		ask()
		r.tenant.Reset()
		r.clock.Advance(idptest.TokenLife - 3*early/4)
		r.rest()
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		ask()
		r.want("requests at the provider", hold.Held(), 1)
		hold.Release()
		r.rest()
		r.pass(10)
		ask()
		r.want("refreshes", r.tenant.Refreshes(), 1)
	}, withClient(opts...), func(c *rigConfig) { c.memory = append(c.memory, store.Shared()) })
}

// The hits after the one that has a token refreshed allocate nothing, like those before.
func TestEarly_hitsAllocateNothing(t *testing.T) {
	r := newRig(t, withEarly(early))
	id := r.login()
	o, ctx := tokenward.SessionID(id), t.Context()
	r.left(id)
	hits := func(when string) {
		if n := testing.AllocsPerRun(200, func() { _, _ = r.client.GetAccessToken(ctx, tokenward.TokenRequest{}, o) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", when, n)
		}
	}
	hits("long before")
	r.clock.Advance(idptest.TokenLife - early)
	hits("when it is about to be due")
	hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
	r.clock.Advance(early / 4)
	r.left(id)
	if err := hold.Wait(ctx, 1); err != nil {
		t.Fatal(err)
	}
	hits("while it is refreshed")
	hold.Release()
}

// Sessions in cookies are refused: the refresh token that an early refresh brings would reach no browser.
func TestEarly_notForSessionsInCookies(t *testing.T) {
	r := newRig(t)
	for name, opts := range map[string][]tokenward.Option{
		"cookies":  {tokenward.WithEarlyRefresh(early), tokenward.WithStatelessSessions()},
		"negative": {tokenward.WithEarlyRefresh(-1)},
	} {
		var invalid *tokenward.ConfigurationError
		if _, err := tokenward.New(r.cfg, opts...); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
