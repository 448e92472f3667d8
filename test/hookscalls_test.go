package test_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A hook may call the client, also about the session that it is told of.
func TestHooks_callTheClient(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		const id = "ann's"
		o := tokenward.SessionID(id)
		called := make(map[string]int) // one at a time: the hooks of one session
		client := r.client
		call := func(ctx context.Context, hook string, living bool) {
			called[hook]++
			user, err := client.GetUser(ctx, o)
			_, tokenErr := client.GetAccessToken(ctx, tokenward.TokenRequest{}, o)
			updateErr := client.UpdateSession(ctx, count, o)
			if err != nil || (user != nil) != living || (tokenErr == nil) != living || (updateErr == nil) != living {
				t.Errorf("in %s: user %v, %v, %v, %v; want a living session: %v", hook, user != nil, err, tokenErr, updateErr, living)
			}
		}
		client = r.newClient(tokenward.WithHooks(tokenward.Hooks{
			AfterLogin: func(ctx context.Context, _ *tokenward.Login) error {
				call(ctx, "AfterLogin", called["AfterLogin"] > 0) // the first finds no session, the second that of the first
				return nil
			},
			AfterRefresh: func(ctx context.Context, _ tokenward.Refreshed) { call(ctx, "AfterRefresh", true) },
			RefreshFailed: func(ctx context.Context, _ tokenward.RefreshFailure) {
				called["RefreshFailed"]++
				if _, err := client.Logout(ctx, tokenward.LogoutRequest{}, o); err != nil {
					t.Error(err)
				}
			},
			SessionEnded: func(ctx context.Context, e tokenward.SessionEnd) {
				if e.Reason == session.ReasonLogout { // where a login replaced it, the new one may be on its way still
					call(ctx, "SessionEnded", false)
				}
			},
		}))
		r.client = client
		r.loginAs(o)
		r.loginAs(o)
		r.rest()
		r.expire()
		r.token(id, tokenward.TokenRequest{})
		r.rest()
		r.expire()
		r.tenant.Script(idptest.Refresh, idptest.Status(503))
		if err := r.tokenErr(id, tokenward.TokenRequest{}); tokenward.CodeOf(err) != "refresh_token_error" {
			t.Error(err)
		}
		r.rest()
		for hook, want := range map[string]int{"AfterLogin": 2, "AfterRefresh": 1, "RefreshFailed": 1, "SessionEnded": 1} {
			r.want("calls of "+hook, called[hook], want)
		}
	})
}

// A BeforeSave that asks for the token whose refresh waits for it holds that up for a second, and no longer.
func TestHooks_beforeSaveWaitsForItself(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := ""
		client := r.client
		client = r.newClient(tokenward.WithUserUpdates(), tokenward.WithHooks(tokenward.Hooks{
			BeforeSave: func(ctx context.Context, u tokenward.User) (tokenward.User, error) {
				if id != "" {
					_, _ = client.GetAccessToken(context.WithoutCancel(ctx), tokenward.TokenRequest{}, tokenward.SessionID(id))
				}
				return u, nil
			},
		}))
		r.client = client
		id = r.login()
		r.expire()
		c := r.ask(t.Context(), id, tokenward.TokenRequest{})
		r.rest()
		r.clock.Advance(time.Second)
		if _, err := c.wait(); err != nil {
			t.Error(err)
		}
		r.rest()
		r.want("refreshes", r.tenant.Refreshes(), 1)
	})
}

// A hook that closes the client, and one that never returns, are given a second by Close.
func TestHooks_close(t *testing.T) {
	for name, closes := range map[string]bool{"closes": true, "never returns": false} {
		inBubble(t, func(t *testing.T, r *rig) {
			over, done := make(chan struct{}), make(chan error, 1)
			defer close(over)
			client := r.client
			client = r.newClient(tokenward.WithHooks(tokenward.Hooks{SessionEnded: func(context.Context, tokenward.SessionEnd) {
				if closes {
					done <- client.Close(context.Background())
					return
				}
				<-over
			}}))
			r.client = client
			if err := <-r.logout(r.login()); err != nil {
				t.Error(err)
			}
			r.rest()
			if !closes {
				done = r.closeIn(t.Context())
				r.rest()
			}
			r.clock.Advance(time.Second)
			r.rest()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("a hook that %s: Close = %v", name, err)
				}
			default:
				t.Errorf("Close waits for a hook that %s", name)
			}
		})
	}
}

// A hook that ends its goroutine, as t.FailNow does in a host's tests, costs neither later events nor a refresh nor Close.
func TestHooks_endTheirGoroutine(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		ends, signedIn := 0, false
		r.client = r.newClient(tokenward.WithUserUpdates(), tokenward.WithHooks(tokenward.Hooks{
			SessionEnded: func(context.Context, tokenward.SessionEnd) { ends++; runtime.Goexit() },
			BeforeSave: func(_ context.Context, u tokenward.User) (tokenward.User, error) {
				if signedIn {
					runtime.Goexit()
				}
				return u, nil
			},
		}))
		o := tokenward.SessionID("ann's")
		for range 3 {
			r.loginAs(o) // each but the first replaces one
		}
		r.rest()
		signedIn = true
		r.expire()
		c := r.ask(t.Context(), "ann's", tokenward.TokenRequest{})
		r.rest()
		if !c.answered() {
			t.Error("the refresh waits for a goroutine that has ended")
		}
		if err := <-r.logout("ann's"); err != nil {
			t.Error(err)
		}
		closed := r.closeIn(t.Context())
		r.rest()
		r.want("ends", ends, 3)
		select {
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("Close waits for a goroutine that has ended")
			r.clock.Advance(time.Second)
		}
	})
}

// A refresh token that a crash has cost is said to be lost, also where no caller asks.
func TestHooks_lost(t *testing.T) {
	h := &heard{}
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.crash(t, id, r.another())
		r.pass(60)
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.failures) != 1 || !h.failures[0].Lost || h.failures[0].Err == nil {
			t.Errorf("told of %+v, want one refresh token that is lost", h.failures)
		}
	}, withClient(tokenward.WithHooks(h.hooks())), func(rc *rigConfig) { rc.memory = []store.MemoryOption{store.Shared()} })
}

// However logins, logouts and ceilings meet, the end of each login is told once.
func TestHooks_eachEndOnce(t *testing.T) {
	var ends atomic.Int64
	r := newRig(t, withClient(tokenward.WithHooks(tokenward.Hooks{SessionEnded: func(context.Context, tokenward.SessionEnd) { ends.Add(1) }})))
	const logins = 60
	for i := range logins {
		o := tokenward.SessionID([]string{"ann's", "bob's"}[i%2])
		if i%5 == 0 {
			r.clock.Advance(time.Minute) // to the ceiling of some
		}
		r.loginAs(o, idptest.Claims{"session_expiry": r.clock.Now().Add(time.Duration(i%4)*time.Minute + 40*time.Second).Unix()})
		if i%3 == 0 {
			continue
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if _, err := r.client.Logout(context.Background(), tokenward.LogoutRequest{}, o); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() { r.clock.Advance(time.Second) })
			all.Go(func() {
				_, err := r.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, o)
				if err != nil && !errors.Is(err, tokenward.ErrSessionExpired) && !tokenward.LoginRequired(err) && tokenward.CodeOf(err) != "missing_session" {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	r.clock.Advance(24 * time.Hour)
	for _, id := range []string{"ann's", "bob's"} {
		r.logOut(tokenward.SessionID(id))
	}
	r.settle()
	r.want("ends", int(ends.Load()), logins)
}
