package test_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// P2: any number of concurrent calls for one query cost one token request and one
// Update.
func TestGetAccessToken_oneRequestForAnyNumberOfCallers(t *testing.T) {
	for _, n := range []int{1, 10, 100, 1000, 10_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			oneRefresh(t, n)
		})
	}
}

func oneRefresh(t *testing.T, n int) {
	r := newRig(t)
	id := r.login()
	r.clock.Advance(idptest.TokenLife)
	r.tenant.Reset()
	requests := []tokenward.TokenRequest{{Scope: "openid profile read:x"}, {Scope: "  read:x  openid profile"}}
	tokens := make([]string, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			tok, err := r.client.GetAccessToken(t.Context(), requests[i%2], tokenward.SessionID(id))
			tokens[i], errs[i] = tok.AccessToken, err
		})
	}
	wg.Wait()
	for i := range n {
		if errs[i] != nil || tokens[i] == "" || tokens[i] != tokens[0] {
			t.Fatalf("caller %d: token equal to the first %v, err %v", i, tokens[i] == tokens[0], errs[i])
		}
	}
	if got := r.tenant.Refreshes(); got != 1 {
		t.Errorf("refreshes = %d, want 1", got)
	}
	if got := r.store.Updates(); got != 1 {
		t.Errorf("updates = %d, want 1", got)
	}
}

// The request is held until all are there: each caller that comes while it is on the wire
// joins it, and gets the very same answer.
func TestGetAccessToken_callersWhoComeWhileOneIsOnTheWireJoinIt(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		first := r.askAll(10, id, tokenward.TokenRequest{Scope: "a b"})
		r.rest()
		later := r.askAll(10, id, tokenward.TokenRequest{Scope: "b  a b"})
		r.rest()
		r.want("requests on the wire", hold.Held(), 1)
		hold.Release()
		want, err := first[0].wait()
		if err != nil || want.AccessToken == "" {
			t.Fatalf("first caller: %v", err)
		}
		for i, c := range append(first, later...) {
			if got, err := c.wait(); err != nil || got != want {
				t.Errorf("caller %d: %v, %v, want what the first got", i, got, err)
			}
		}
		r.want("refreshes", r.tenant.Refreshes(), 1)
		r.want("updates", r.store.Updates(), 1)
		r.wantLiving(id)
	})
}

// A failure is shared like an answer, and it is not cached.
func TestGetAccessToken_oneFailureForAllWhoJoined(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.tenant.Script(idptest.Refresh, idptest.Status(503))
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		callers := r.askAll(100, id, tokenward.TokenRequest{})
		r.rest()
		hold.Release()
		_, want := callers[0].wait()
		r.wantCode("first caller", want, "refresh_token_error")
		for i, c := range callers {
			if _, err := c.wait(); err != want { //nolint:errorlint // the very same
				t.Errorf("caller %d: err = %v, want the same as the first's, %v", i, err, want)
			}
		}
		r.rest()
		r.want("requests", r.tenant.Refreshes(), 1)
		r.want("updates", r.store.Updates(), 0)

		r.token(id, tokenward.TokenRequest{})
		r.want("requests after one more caller", r.tenant.Refreshes(), 2)
		r.wantLiving(id)
	})
}

// P9: a thousand sessions, ten callers each, cost a thousand requests.
func TestGetAccessToken_aThousandSessions(t *testing.T) {
	const sessions, callers = 1000, 10
	r := newRig(t, withTenant(idptest.WithOpaqueTokens()))
	ids := make([]string, sessions)
	for i := range ids {
		ids[i] = r.login()
	}
	r.expire()
	tokens := make([]string, sessions*callers)
	together(len(tokens), func(i int) {
		tok, err := r.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(ids[i%sessions]))
		if err != nil {
			t.Errorf("caller %d: %v", i, err)
		}
		tokens[i] = tok.AccessToken
	})
	distinct := map[string]bool{}
	for i, tok := range tokens {
		if tok != tokens[i%sessions] {
			t.Fatalf("caller %d has another token than the first caller of its session", i)
		}
		distinct[tok] = true
	}
	r.want("different tokens", len(distinct), sessions)
	r.want("requests", r.tenant.Refreshes(), sessions)
	r.want("updates", r.store.Updates(), sessions)
	r.want("requests of one session at once", r.tenant.PeakPerFamily(), 1)
	r.want("refresh tokens reused", r.tenant.Reuses(), 0)
	r.want("families revoked", r.tenant.RevokedFamilies(), 0)
}

// A session that waits for the provider keeps no other session waiting.
func TestGetAccessToken_sessionsDoNotWaitForEachOther(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		slow := r.login()
		r.tenant.SetUser("auth0|bob", nil)
		r.tenant.Set(idptest.WithDefaultUser("auth0|bob"))
		quick := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh.Of(idptest.Subject), idptest.BeforeGrant)
		held := r.ask(context.Background(), slow, tokenward.TokenRequest{})
		r.rest()
		r.token(quick, tokenward.TokenRequest{})
		if held.answered() {
			t.Error("the held caller was answered")
		}
		hold.Release()
		if _, err := held.wait(); err != nil {
			t.Error(err)
		}
	})
}
