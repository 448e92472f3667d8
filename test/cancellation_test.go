package test_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/storetest"
)

// P8: a caller who gives up comes back at once, and hurts no other.
func TestCancellation_ofTheFirstCaller(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		ctx, cancel := context.WithCancel(context.Background())
		first := r.ask(ctx, id, tokenward.TokenRequest{})
		r.rest()
		others := r.askAll(9, id, tokenward.TokenRequest{})
		r.rest()

		cancel()
		if _, err := first.wait(); err != context.Canceled { //nolint:errorlint // as it is
			t.Errorf("err = %v, want %v", err, context.Canceled)
		}
		r.want("requests on the wire after the first left", hold.Held(), 1)
		hold.Release()
		for i, c := range others {
			if _, err := c.wait(); err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		}
		r.want("requests", r.tenant.Refreshes(), 1)
		r.want("updates", r.store.Updates(), 1)
		r.wantLiving(id)
	})
}

// The answer is kept although every caller has given up.
func TestCancellation_ofEveryCaller(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		before := r.refreshToken(id)
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		a, b := r.ask(ctx, id, tokenward.TokenRequest{}), r.ask(ctx, id, tokenward.TokenRequest{})
		for _, c := range []*caller{a, b} {
			if _, err := c.wait(); err != context.DeadlineExceeded { //nolint:errorlint // as it is
				t.Errorf("err = %v, want %v", err, context.DeadlineExceeded)
			}
		}
		hold.Release()
		r.rest()
		if r.refreshToken(id) == before {
			t.Error("the rotated refresh token was not stored")
		}
		r.want("updates", r.store.Updates(), 1)
		r.token(id, tokenward.TokenRequest{})
		r.want("requests", r.tenant.Refreshes(), 1)
		r.wantLiving(id)
	})
}

// A query whose only caller has left keeps its turn.
func TestCancellation_ofAQueuedCaller(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		first := r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(1)})
		r.rest()
		ctx, cancel := context.WithCancel(context.Background())
		queued := r.ask(ctx, id, tokenward.TokenRequest{Audience: audience(2)})
		r.rest()
		third := r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(3)})
		r.rest()
		cancel()
		if _, err := queued.wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("queued caller: err = %v", err)
		}
		hold.Release()
		for _, c := range []*caller{first, third} {
			if _, err := c.wait(); err != nil {
				t.Error(err)
			}
		}
		r.rest()
		r.want("requests", r.tenant.Refreshes(), 3)
		r.wantLiving(id)
	})
}

// A call whose context has ended already gets a cached token, and waits for nothing.
func TestCancellation_beforeTheCall(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := r.client.GetAccessToken(ctx, tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
			t.Errorf("cached: %v", err)
		}
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		if _, err := r.client.GetAccessToken(ctx, tokenward.TokenRequest{}, tokenward.SessionID(id)); err != context.Canceled { //nolint:errorlint // as it is
			t.Errorf("not cached: err = %v, want %v", err, context.Canceled)
		}
		hold.Release()
		r.rest()
		r.wantLiving(id)
	})
}

// A deletion lends its context from the caller who asks for it. When that one leaves it is done
// all the same, at once, and nothing has failed.
func TestCancellation_ofALogout(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		gate := r.store.Hold(storetest.OpEnd)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() {
			_, err := r.client.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(id))
			done <- err
		}()
		r.rest()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Logout = %v, want %v", err, context.Canceled)
		}
		gate.Release()
		r.rest()
		if r.lives(id) {
			t.Error("the record stays")
		}
		r.want("errors of the store", int(r.client.Stats().SaveErrors), 0)
	})
}

// The load of a session lends its context from one caller; the others load again
// when that one leaves.
func TestCancellation_ofTheCallerWhoseLoadIt(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.client = r.newClient() // to whom the session is not known yet
		loads := r.store.Loads()
		gate := r.store.Hold(storetest.OpLoad)
		ctx, cancel := context.WithCancel(context.Background())
		first := r.ask(ctx, id, tokenward.TokenRequest{})
		gate.Arrived(t, 1)
		others := r.askAll(9, id, tokenward.TokenRequest{})
		r.rest()
		cancel()
		if _, err := first.wait(); err != context.Canceled { //nolint:errorlint // as it is
			t.Errorf("err = %v, want %v", err, context.Canceled)
		}
		gate.Arrived(t, 2)
		gate.Release()
		for i, c := range others {
			if _, err := c.wait(); err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		}
		r.want("loads", r.store.Loads()-loads, 2)
	})
}

// A caller who waits for the load of another call can give up.
func TestCancellation_whileSomebodyElseLoads(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.client = r.newClient()
		loads := r.store.Loads()
		gate := r.store.Hold(storetest.OpLoad)
		first := r.ask(context.Background(), id, tokenward.TokenRequest{})
		gate.Arrived(t, 1)
		ctx, cancel := context.WithCancel(context.Background())
		second := r.ask(ctx, id, tokenward.TokenRequest{})
		r.rest()
		cancel()
		if _, err := second.wait(); err != context.Canceled { //nolint:errorlint // as it is
			t.Errorf("err = %v, want %v", err, context.Canceled)
		}
		gate.Release()
		if _, err := first.wait(); err != nil {
			t.Error(err)
		}
		r.want("loads", r.store.Loads()-loads, 1)
	})
}
