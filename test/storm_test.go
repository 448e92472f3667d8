package test_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/storetest"
)

// Everything at once, on few sessions, with little room, a clock that runs and a store and
// a provider that fail now and then: every call returns, no refresh token is spent
// twice or two at a time, and afterwards every session that is left works.
func TestStorm(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { storm(t, seed) })
	}
}

func storm(t *testing.T, seed uint64) {
	const sessions, workers, calls = 6, 8, 60
	r := newRig(t, withClient(tokenward.WithLimits(tokenward.Limits{
		Resident: 4, PassivateAfter: 5 * time.Second, ProviderRequests: 2,
		FlightTimeout: 24 * time.Hour, StoreTimeout: 24 * time.Hour, // the clock runs fast
	})))
	name := func(n int) tokenward.StoreOptions { return tokenward.SessionID(fmt.Sprint("s", n%sessions)) }
	for n := range sessions {
		r.loginAs(name(n))
	}
	var wg sync.WaitGroup
	for w := range workers {
		random := rand.New(rand.NewPCG(seed, uint64(w)))
		wg.Go(func() {
			for i := range calls {
				what, err := r.something(random, name(random.IntN(sessions)))
				if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, tokenward.ErrInternal) {
					t.Errorf("worker %d, call %d, %s: %v", w, i, what, err)
				}
			}
		})
	}
	over := make(chan struct{})
	go func() {
		wg.Wait()
		close(over)
	}()
	random := rand.New(rand.NewPCG(seed, 99))
	for running := true; running; {
		r.clock.Advance(time.Duration(random.IntN(20_000)) * time.Millisecond)
		switch random.IntN(6) {
		case 0:
			r.store.Fail([]storetest.Op{storetest.OpUpdate, storetest.OpEnd, storetest.OpReplace, storetest.OpLoad, storetest.OpClaimDue}[random.IntN(5)], 1)
		case 1:
			r.store.FailAfter([]storetest.Op{storetest.OpUpdate, storetest.OpEnd, storetest.OpReplace}[random.IntN(3)], 1)
		case 2:
			r.tenant.Script(idptest.Refresh, idptest.Status(503))
		}
		select {
		case <-over:
			running = false
		case <-time.After(time.Millisecond): //nolint:forbidigo // paces the storm, decides nothing
		}
	}

	r.store.Heal()
	r.tenant.Heal()
	for range 10 {
		r.settle()
		r.clock.Advance(5 * time.Second)
	}
	r.settle()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for n := range sessions {
		user, err := r.client.GetUser(ctx, name(n))
		if err != nil {
			t.Errorf("session %d: %v", n, err)
		}
		if user == nil {
			continue
		}
		if _, err := r.client.GetAccessToken(ctx, tokenward.TokenRequest{Scope: "openid last"}, name(n)); err != nil {
			t.Errorf("session %d lives, but: %v", n, err)
		}
	}
	if n := r.tenant.Reuses(); n != 0 {
		t.Errorf("refresh tokens used again = %d", n)
	}
	if n := r.tenant.PeakPerFamily(); n > 1 {
		t.Errorf("requests of one session at once = %d", n)
	}
	if s := r.client.Stats(); s.Failures != 0 || s.Unsaved != 0 {
		t.Errorf("defects %d, sessions unsaved %d", s.Failures, s.Unsaved)
	}
}

// something makes a random call. Some give up early.
func (r *rig) something(random *rand.Rand, o tokenward.StoreOptions) (what string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if random.IntN(5) == 0 {
		var giveUp context.CancelFunc
		ctx, giveUp = context.WithCancel(ctx)
		go giveUp()
	}
	switch n := random.IntN(20); {
	case n < 9:
		_, err = r.client.GetAccessToken(ctx, tokenward.TokenRequest{Scope: fmt.Sprint("openid x", random.IntN(3))}, o)
		return "GetAccessToken", err
	case n < 13:
		_, err = r.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: fmt.Sprint("c", random.IntN(2))}, o)
		return "GetAccessTokenForConnection", err
	case n < 16:
		_, err = r.client.GetUser(ctx, o)
		return "GetUser", err
	case n < 17:
		_, err = r.client.Logout(ctx, tokenward.LogoutRequest{}, o)
		return "Logout", err
	}
	claims := idptest.Claims{}
	if random.IntN(2) == 0 {
		claims["session_expiry"] = r.clock.Now().Add(2 * time.Minute).Unix()
	}
	to, err := r.client.StartInteractiveLogin(ctx, tokenward.LoginRequest{}, o)
	if err != nil {
		return "StartInteractiveLogin", err
	}
	back, err := r.tenant.Authorize(to, claims)
	if err != nil {
		return "Authorize", nil //nolint:nilerr // the tenant's, which knows no contexts
	}
	_, err = r.client.CompleteInteractiveLogin(ctx, back, o)
	return "CompleteInteractiveLogin", err
}
