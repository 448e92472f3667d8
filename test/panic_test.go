package test_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/storetest"
)

// trap is a clock that panics when a session asks it for the time: a defect in the
// middle of a message.
type trap struct {
	clock.Clock
	armed atomic.Int32 // how many panics are to come
}

func (c *trap) Now() time.Time {
	if c.armed.Load() > 0 {
		pcs := make([]uintptr, 16)
		frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
		for {
			f, more := frames.Next()
			if strings.HasSuffix(f.Function, "actors.(*Session).handle") {
				if c.armed.Add(-1) >= 0 {
					panic("a defect that knows a secret: rt_0_0_0123456789abcdef")
				}
				c.armed.Add(1)
			}
			if !more {
				break
			}
		}
	}
	return c.Clock.Now()
}

// withTrap tells story with a client whose sessions panic when the trap is armed.
func withTrap(t *testing.T, story func(t *testing.T, r *rig, c *trap, log *bytes.Buffer), opts ...rigOption) {
	t.Helper()
	inBubble(t, func(t *testing.T, r *rig) {
		c := &trap{Clock: r.clock}
		var log bytes.Buffer
		logger := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(zapcore.AddSync(&log)), zap.DebugLevel))
		r.replaceClient(tokenward.WithClock(c), tokenward.WithLogger(logger))
		story(t, r, c, &log)
		r.rest()
		if leaks := r.tenant.SecretsIn(log.String()); leaks != nil || strings.Contains(log.String(), "rt_0_0") {
			t.Errorf("the log gives away %v: %s", leaks, log.String())
		}
	}, opts...)
}

// P3, P5: a defect while the provider's answer is handled answers everyone, and the new
// refresh token gets to the store all the same.
func TestPanic_whileAnAnswerIsHandled(t *testing.T) {
	withTrap(t, func(t *testing.T, r *rig, c *trap, _ *bytes.Buffer) {
		id := r.login()
		r.expire()
		before := r.refreshToken(id)
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		callers := r.askAll(5, id, tokenward.TokenRequest{})
		r.rest()
		callers = append(callers, r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(1)}))
		r.rest()
		conn := r.exchange(context.Background(), id, "google-oauth2")
		r.rest()
		c.armed.Store(1)
		hold.Release()
		for _, c := range callers {
			_, err := c.wait()
			r.wantCode("caller", err, "internal_error")
			if !errors.Is(err, tokenward.ErrInternal) {
				t.Errorf("err = %v, want %v", err, tokenward.ErrInternal)
			}
		}
		_, err := conn.wait()
		r.wantConnectionCode("connection caller", err, "internal_error")
		r.rest()
		if r.refreshToken(id) == before {
			t.Error("the rotated refresh token was lost")
		}
		r.want("defects", int(r.client.Stats().Failures), 1)
		r.token(id, tokenward.TokenRequest{})
		r.wantLiving(id)
	})
}

// A defect in any other message: a question, a saved write, a login, a logout.
func TestPanic_elsewhere(t *testing.T) {
	withTrap(t, func(t *testing.T, r *rig, c *trap, _ *bytes.Buffer) {
		id := r.login()
		r.expire()
		r.inMemory(id)
		c.armed.Store(1)
		r.wantCode("a question", r.tokenErr(id, tokenward.TokenRequest{}), "internal_error")
		r.rest()
		r.token(id, tokenward.TokenRequest{})

		r.expire()
		r.inMemory(id)
		gate := r.store.HoldAfter(storetest.OpUpdate)
		callers := r.askAll(3, id, tokenward.TokenRequest{})
		r.rest()
		c.armed.Store(1)
		gate.Release()
		for _, c := range callers {
			_, err := c.wait()
			r.wantCode("a saved write", err, "internal_error")
		}
		r.rest()
		r.token(id, tokenward.TokenRequest{})
		r.want("refresh tokens spent", r.tenant.Refreshes(), 1)

		r.clock.Advance(2 * time.Minute)
		r.rest() // the session gives its actor back
		c.armed.Store(1)
		if _, err := r.tryLogin(tokenward.SessionID(id)); !errors.Is(err, tokenward.ErrInternal) {
			t.Errorf("login: err = %v, want %v", err, tokenward.ErrInternal)
		}
		r.rest()
		r.token(id, tokenward.TokenRequest{})
		r.wantLiving(id)
	})
}

// A logout that meets a defect says so, and is done all the same.
func TestPanic_whileALogoutIsHandled(t *testing.T) {
	withTrap(t, func(t *testing.T, r *rig, c *trap, _ *bytes.Buffer) {
		id := r.login()
		c.armed.Store(1)
		if err := <-r.logout(id); !errors.Is(err, tokenward.ErrInternal) {
			t.Errorf("Logout: err = %v, want %v", err, tokenward.ErrInternal)
		}
		r.rest()
		r.wantGone(id)
		r.wantCode("afterwards", r.tokenErr(id, tokenward.TokenRequest{}), "missing_refresh_token")
	})
}

// After the third defect in a minute the session is left alone for half a minute. What
// is cached is served on, and a logout ends it at once.
func TestPanic_quarantine(t *testing.T) {
	quarantined := func(t *testing.T, r *rig, c *trap) string {
		t.Helper()
		id := r.login()
		r.inMemory(id)
		for range 3 {
			c.armed.Store(1)
			r.wantCode("a defect", r.tokenErr(id, tokenward.TokenRequest{Audience: audience(1)}), "internal_error")
			r.rest()
		}
		r.tenant.Reset()
		return id
	}
	t.Run("ends", func(t *testing.T) {
		withTrap(t, func(t *testing.T, r *rig, c *trap, _ *bytes.Buffer) {
			id := quarantined(t, r, c)
			r.clock.Advance(30*time.Second - 1)
			r.rest()
			r.wantCode("within the half minute", r.tokenErr(id, tokenward.TokenRequest{Audience: audience(1)}), "internal_error")
			r.token(id, tokenward.TokenRequest{}) // a hit
			r.want("requests", r.tenant.Refreshes(), 0)
			r.clock.Advance(time.Second)
			r.rest()
			r.token(id, tokenward.TokenRequest{Audience: audience(1)})
			r.wantLiving(id)
		})
	})
	t.Run("logout", func(t *testing.T) {
		withTrap(t, func(t *testing.T, r *rig, c *trap, _ *bytes.Buffer) {
			id := quarantined(t, r, c)
			if err := <-r.logout(id); !errors.Is(err, tokenward.ErrInternal) {
				t.Errorf("Logout: err = %v, want %v", err, tokenward.ErrInternal)
			}
			r.rest()
			if u, err := r.client.GetUser(context.Background(), tokenward.SessionID(id)); u != nil || err != nil {
				t.Errorf("GetUser = %v, %v, want nil, nil", u, err)
			}
			r.wantCode("a call after the logout", r.tokenErr(id, tokenward.TokenRequest{}), "missing_refresh_token")
			r.pass(60)
			r.wantGone(id)
		})
	})
	t.Run("close", func(t *testing.T) {
		withTrap(t, func(t *testing.T, r *rig, c *trap, _ *bytes.Buffer) {
			id := quarantined(t, r, c)
			if err := r.client.Close(context.Background()); err != nil {
				t.Errorf("Close: %v", err)
			}
			r.client = r.newClient()
			r.wantLiving(id)
		})
	})
}

// A hook that panics where it hears of a failed save brings nothing down.
func TestPanic_inSaveFailed(t *testing.T) {
	inBubble(t, func(_ *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.store.Fail(storetest.OpUpdate, 1)
		r.token(id, tokenward.TokenRequest{})
		r.rest()
		r.clock.Advance(time.Second)
		r.rest()
		r.wantLiving(id)
		r.want("panics counted", int(r.client.Stats().Failures), 1)
	}, withClient(tokenward.WithHooks(tokenward.Hooks{SaveFailed: func(context.Context, tokenward.Key, error) { panic("the host's defect") }})))
}
