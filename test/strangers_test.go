package test_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// madeUpCallback begins a login as anybody can, and returns the URL that comes back with a code that the
// provider never issued.
func (r *rig) madeUpCallback() string {
	r.t.Helper()
	to, err := r.client.StartInteractiveLogin(context.Background(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.cfg.RedirectURI + "?code=made-up&state=" + url.QueryEscape(u.Query().Get("state"))
}

// strange is a call of a stranger, under way.
func (r *rig) strange(call func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	return done
}

// makeUp has a stranger call back with a made-up code.
func (r *rig) makeUp() <-chan error {
	to := r.madeUpCallback()
	return r.strange(func() error {
		_, err := r.client.CompleteInteractiveLogin(context.Background(), to, tokenward.StoreOptions{})
		return err
	})
}

// wantRefused waits for the answer to a made-up code.
func (r *rig) wantRefused(done <-chan error) {
	r.t.Helper()
	if err := <-done; tokenward.CodeOf(err) != "token_error" {
		r.t.Errorf("a made-up code: %v, want token_error", err)
	}
}

func withPAR() rigOption {
	return withClient(withProvider(tokenward.ProviderConfig{PushedAuthorization: true}))
}

// Of the requests at the provider at once, a quarter may be caused by strangers. Users do not wait
// behind them.
func TestStrangers_haveAQuarterOfThePermits(t *testing.T) {
	for limit, want := range map[int]struct{ strangers, users int }{
		1: {1, 1}, 2: {1, 1}, 3: {1, 2}, 4: {1, 3}, 8: {2, 6}, 50: {12, 38},
	} {
		inBubble(t, func(t *testing.T, r *rig) {
			ids := make([]string, want.users+1)
			for i := range ids {
				ids[i] = r.login()
			}
			r.expire()
			exchanges := r.tenant.Hold(idptest.CodeExchange, idptest.BeforeGrant)
			refreshes := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
			var strangers []<-chan error
			for range 3 * limit {
				strangers = append(strangers, r.makeUp())
			}
			r.rest()
			r.want("requests of strangers", exchanges.Held(), want.strangers)
			callers := make([]*caller, len(ids))
			for i := range callers {
				callers[i] = r.ask(context.Background(), ids[i], tokenward.TokenRequest{})
			}
			r.rest()
			r.want("requests of users beside them", refreshes.Held(), want.users)
			refreshes.Release()
			for _, c := range callers { // while those of the strangers hang
				if _, err := c.wait(); err != nil {
					t.Error(err)
				}
			}
			exchanges.Release()
			for _, done := range strangers {
				r.wantRefused(done)
			}
			r.want("requests of strangers at once", r.tenant.Peak(idptest.CodeExchange), want.strangers)
			r.want("requests of strangers", r.tenant.Requests(idptest.CodeExchange), 3*limit)
		}, withLimits(tokenward.Limits{ProviderRequests: limit}))
	}
}

// Pushed requests take the permits of strangers too: code exchanges and they share a quarter.
func TestStrangers_pushedRequestsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.PAR, idptest.BeforeGrant)
		var strangers []<-chan error
		for range 100 {
			strangers = append(strangers, r.strange(func() error {
				_, err := r.client.StartInteractiveLogin(context.Background(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
				return err
			}))
		}
		r.rest()
		r.want("requests of strangers", hold.Held(), 2)
		r.token(id, tokenward.TokenRequest{})
		hold.Release()
		for _, done := range strangers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		r.want("requests of strangers at once", r.tenant.Peak(idptest.PAR), 2)
	}, withPAR(), withLimits(tokenward.Limits{ProviderRequests: 8}))
}

// A thousand strangers wait, the next one is told to come again. Nothing was sent for it.
func TestStrangers_overloaded(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		hold := r.tenant.Hold(idptest.CodeExchange, idptest.BeforeGrant)
		var waiting []<-chan error
		for range 1001 {
			waiting = append(waiting, r.makeUp())
		}
		r.rest()
		err := <-r.makeUp()
		var api *tokenward.APIError
		if !errors.Is(err, tokenward.ErrOverloaded) || tokenward.CodeOf(err) != "overloaded" || !errors.As(err, &api) || api.RetryAfter <= 0 {
			t.Errorf("one more: %v, want overloaded and when to come again", err)
		}
		r.want("requests", r.tenant.Requests(idptest.CodeExchange), 1)
		hold.Release()
		for _, done := range waiting {
			r.wantRefused(done)
		}
		r.want("requests at once", r.tenant.Peak(idptest.CodeExchange), 1)
		r.login() // there is room again
	}, withLimits(tokenward.Limits{ProviderRequests: 4}))
}

// A person whose callback is turned away is still signing in: the same callback completes it later.
func TestStrangers_turnedAwayKeepsTheLogin(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		to, err := r.client.StartInteractiveLogin(ctx, tokenward.LoginRequest{}, tokenward.StoreOptions{})
		if err != nil {
			t.Fatal(err)
		}
		back, err := r.tenant.Authorize(to)
		if err != nil {
			t.Fatal(err)
		}
		hold := r.tenant.Hold(idptest.CodeExchange, idptest.BeforeGrant)
		var waiting []<-chan error
		for range 1001 {
			waiting = append(waiting, r.makeUp())
		}
		r.rest()
		if _, err := r.client.CompleteInteractiveLogin(ctx, back, tokenward.StoreOptions{}); !errors.Is(err, tokenward.ErrOverloaded) {
			t.Fatalf("err = %v, want overloaded", err)
		}
		hold.Release()
		for _, done := range waiting {
			r.wantRefused(done)
		}
		if _, err := r.client.CompleteInteractiveLogin(ctx, back, tokenward.StoreOptions{}); err != nil {
			t.Errorf("the same callback later: %v", err)
		}
	}, withLimits(tokenward.Limits{ProviderRequests: 4}))
}

// One who waits leaves with its context, or when it has waited as long as a request may take.
func TestStrangers_waitIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		hold := r.tenant.Hold(idptest.CodeExchange, idptest.BeforeGrant)
		first := r.makeUp()
		r.rest()
		r.clock.Advance(5 * time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		to := r.madeUpCallback()
		leaves := r.strange(func() error {
			_, err := r.client.CompleteInteractiveLogin(ctx, to, tokenward.StoreOptions{})
			return err
		})
		r.rest()
		second := r.makeUp()
		r.rest()
		third := r.makeUp()
		r.rest()
		cancel()
		if err := <-leaves; !errors.Is(err, context.Canceled) {
			t.Errorf("one who left: %v", err)
		}
		r.clock.Advance(5 * time.Second) // the first one's request is over, the second one's begins
		r.wantRefused(first)
		r.rest()
		r.want("requests", r.tenant.Requests(idptest.CodeExchange), 2)
		r.clock.Advance(5 * time.Second)
		if err := <-third; tokenward.CodeOf(err) != "overloaded" {
			t.Errorf("the third: %v, want overloaded", err)
		}
		hold.Release()
		r.wantRefused(second)
		r.want("requests", r.tenant.Requests(idptest.CodeExchange), 2)
	}, withLimits(tokenward.Limits{ProviderRequests: 1}))
}

// Closing turns away those who wait, and leaves nothing behind.
func TestStrangers_close(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.client = r.newClient(tokenward.WithLimits(tokenward.Limits{ProviderRequests: 1}))
		hold := r.tenant.Hold(idptest.CodeExchange, idptest.BeforeGrant)
		first := r.makeUp()
		r.rest()
		waits := r.makeUp()
		r.rest()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.client.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := <-waits; !errors.Is(err, tokenward.ErrClosed) {
			t.Errorf("one who waited: %v, want closed", err)
		}
		hold.Release()
		r.wantRefused(first)
	})
}

// A refresh needs metadata that a stranger's discovery waits for a permit to ask for: it is asked for
// at once, with the permit of the refresh.
func TestStrangers_discoveryIsPromotedForARefresh(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		hold := r.tenant.Hold(idptest.CodeExchange, idptest.BeforeGrant)
		first := r.makeUp()
		r.rest()
		r.clock.Advance(24*time.Hour + 10*time.Minute) // the metadata is of no more use
		r.tenant.Reset()
		second := r.strange(func() error {
			_, err := r.client.StartInteractiveLogin(context.Background(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
			return err
		})
		r.rest()
		r.want("requests while strangers wait", r.tenant.Requests(idptest.Any), 0)
		r.token(id, tokenward.TokenRequest{})
		r.want("requests of metadata", r.tenant.Requests(idptest.Discovery), 1)
		if err := <-second; err != nil {
			t.Errorf("the stranger that joined: %v", err)
		}
		hold.Release()
		r.wantRefused(first)
	}, withLimits(tokenward.Limits{ProviderRequests: 1, FlightTimeout: 48 * time.Hour}))
}

// Discovery that hangs for half an hour of the clock delays no refresh, whatever the limit.
func TestDiscovery_hangsAndNoRefreshWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		hold := r.tenant.Hold(idptest.Discovery, idptest.BeforeGrant)
		r.clock.Advance(10 * time.Minute)
		r.tenant.Reset()
		refreshes := 0
		for range 180 {
			r.clock.Advance(10 * time.Second)
			r.token(id, tokenward.TokenRequest{Scope: fmt.Sprintf("read:%d", refreshes)}) // else it is cached; no clock moves here
			refreshes++
			r.rest()
		}
		r.want("refreshes", r.tenant.Refreshes(), refreshes)
		if n := r.tenant.Requests(idptest.Discovery); n < 2 || n > 46 { // one in 40 seconds
			t.Errorf("requests of metadata = %d, want 2 to 46", n)
		}
		r.want("requests of metadata at once", r.tenant.Peak(idptest.Discovery), 1)
		r.settle() // a renewal on the wire is not waited for
		hold.Release()
	}, withLimits(tokenward.Limits{ProviderRequests: 1}))
}

// A renewal on the wire ends when the client closes.
func TestDiscovery_renewalEndsWithTheClient(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.client = mustNew(t, r)
		id := r.login()
		hold := r.tenant.Hold(idptest.Discovery, idptest.BeforeGrant)
		r.clock.Advance(10 * time.Minute)
		r.token(id, tokenward.TokenRequest{Scope: "read:x"})
		r.rest()
		r.want("renewals", hold.Held(), 1)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.client.Close(ctx); err != nil {
			t.Error(err)
		}
		r.rest()
		r.want("renewals after Close", hold.Held(), 0)
	})
}
