package idptest_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/tokenward/tokenward/idp/idptest"
)

// wait waits until n requests are held.
func (a *app) wait(h *idptest.Hold, n int) {
	a.Helper()
	if err := h.Wait(a.Context(), n); err != nil {
		a.Fatal(err)
	}
}

func TestHold_beforeTheGrantNothingHasHappened(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		h := a.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		done := make(chan answer)
		go func() { done <- a.refresh(token) }()
		a.wait(h, 1)
		if f := a.tenant.Family(idptest.Subject); len(f.Seen) != 0 || f.InFlight != 1 {
			t.Errorf("while held: %+v, want it in flight and nothing presented", f)
		}
		h.Release()
		if r := <-done; r.status != 200 {
			t.Errorf("released = %d %s, %v", r.status, r.raw, r.err)
		}
	})
}

func TestHold_afterTheGrantTheTokenIsSpent(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		h := a.tenant.Hold(idptest.Spend, idptest.AfterGrant)
		done := make(chan answer)
		go func() { done <- a.refresh(token) }()
		a.wait(h, 1)
		if f := a.tenant.Family(idptest.Subject); len(f.Seen) != 1 {
			t.Errorf("while held: %+v, want one presentation", f)
		}
		h.Release()
		r := <-done
		if r = a.refresh(r.str("refresh_token")); r.status != 200 || h.Held() != 0 {
			t.Errorf("after Release = %d %s, held %d; want 200, 0", r.status, r.raw, h.Held())
		}
	})
}

func TestHold_holdsOneUserWhileOthersPass(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		ada, grace := a.login(nil).str("refresh_token"), a.login(nil, "login_hint", "grace").str("refresh_token")
		h := a.tenant.Hold(idptest.Refresh.Of(idptest.Subject), idptest.BeforeGrant)
		done := make(chan answer)
		go func() { done <- a.refresh(ada) }()
		a.wait(h, 1)
		if r := a.refresh(grace); r.status != 200 {
			t.Errorf("the other = %d %s, %v", r.status, r.raw, r.err)
		}
		h.Release()
		<-done
	})
}

func TestHold_nextLetsTheEarliestGo(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		h := a.tenant.Hold(idptest.Discovery, idptest.BeforeGrant)
		var order []int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				a.get(a.tenant.URL("/.well-known/openid-configuration"))
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			a.wait(h, i+1)
		}
		if n := a.tenant.Peak(idptest.Discovery); n != 3 {
			t.Errorf("peak = %d, want 3", n)
		}
		if !h.Next() || h.Held() != 2 {
			t.Errorf("held = %d, want 2", h.Held())
		}
		h.Release()
		wg.Wait()
		if h.Next() {
			t.Error("Next let one go after Release")
		}
	})
}

func TestHold_endsWithTheClient(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		h := a.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan answer)
		go func() { done <- a.refreshWith(ctx, token) }()
		a.wait(h, 1)
		cancel()
		if r := <-done; !errors.Is(r.err, context.Canceled) {
			t.Errorf("err = %v, want %v", r.err, context.Canceled)
		}
		a.tenant.Close() // waits until the tenant has noticed, over the socket
		if h.Held() != 0 || len(a.tenant.Family(idptest.Subject).Seen) != 0 {
			t.Error("want nothing held, and nothing granted")
		}
	})
}

func TestHold_endsWithTheTenant(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		h := a.tenant.Hold(idptest.Token, idptest.AfterGrant)
		done := make(chan answer)
		go func() { done <- a.refresh(token) }()
		a.wait(h, 1)
		a.tenant.Close()
		if r := <-done; r.err == nil {
			t.Errorf("answer = %d %s, want an error", r.status, r.raw)
		}
		if r := a.refresh(token); r.err == nil {
			t.Errorf("after Close = %d %s, want an error", r.status, r.raw)
		}
	})
}

func TestHoldWait_saysHowManyThereWere(t *testing.T) {
	a := inProcess(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.tenant.Hold(idptest.Any, idptest.BeforeGrant).Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want %v", err, context.Canceled)
	}
	if err := a.tenant.WaitRequests(ctx, idptest.Any, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want %v", err, context.Canceled)
	}
}
