package test_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/storetest"
)

func withLimits(l tokenward.Limits) rigOption { return withClient(tokenward.WithLimits(l)) }

// One session queues a limited number of different queries.
func TestLimits_queuedQueries(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.Spend, idptest.BeforeGrant)
		var waiting []*caller
		for i := range 4 { // one on the wire, three queued
			waiting = append(waiting, r.askAll(5, id, tokenward.TokenRequest{Audience: audience(i)})...)
			r.rest()
		}
		r.wantCode("one query more", r.tokenErr(id, tokenward.TokenRequest{Audience: audience(9)}), "overloaded")
		_, err := r.exchange(context.Background(), id, "google-oauth2").wait()
		r.wantConnectionCode("a connection more", err, "overloaded")
		// A call for a token that is queued for already still joins.
		waiting = append(waiting, r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(2)}))
		r.rest()
		hold.Release()
		for i, c := range waiting {
			if _, err := c.wait(); err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		}
		r.want("requests", r.tenant.Requests(idptest.Spend), 4)
		r.token(id, tokenward.TokenRequest{Audience: audience(9)})
		r.wantLiving(id)
	}, withLimits(tokenward.Limits{QueuedQueries: 3}))
}

// The provider is asked by a limited number at once; a limited number queues.
func TestLimits_providerRequests(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		ids := make([]string, 6)
		for i := range ids {
			ids[i] = r.login()
		}
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		callers := make([]*caller, 5)
		for i := range callers {
			callers[i] = r.ask(context.Background(), ids[i], tokenward.TokenRequest{})
			r.rest()
		}
		r.want("requests at the provider", hold.Held(), 2)
		r.wantCode("one session more", r.tokenErr(ids[5], tokenward.TokenRequest{}), "overloaded")
		for i := range callers {
			r.want("requests so far", r.tenant.Refreshes(), min(i+2, 5))
			hold.Next()
			r.rest()
		}
		for i, c := range callers {
			if _, err := c.wait(); err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		}
		r.want("requests at once", r.tenant.Peak(idptest.Refresh), 2)
		hold.Release()
		r.token(ids[5], tokenward.TokenRequest{})
	}, withLimits(tokenward.Limits{ProviderRequests: 3, QueuedFlights: 3})) // one of them is for strangers
}

// A session that ends while it waits for its turn at the provider gives the turn back.
func TestLimits_whoEndsWhileItWaitsForATurn(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		a, b, c := r.login(), r.login(), r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		first := r.ask(context.Background(), a, tokenward.TokenRequest{})
		r.rest()
		second := r.ask(context.Background(), b, tokenward.TokenRequest{})
		r.rest()
		third := r.ask(context.Background(), c, tokenward.TokenRequest{})
		r.rest()
		if err := <-r.logout(b); err != nil {
			t.Fatal(err)
		}
		_, err := second.wait()
		r.wantCode("the one that ended", err, "missing_session")
		hold.Release()
		for _, c := range []*caller{first, third} {
			if _, err := c.wait(); err != nil {
				t.Error(err)
			}
		}
		r.rest()
		r.want("requests", r.tenant.Refreshes(), 2)
		r.wantGone(b)
	}, withLimits(tokenward.Limits{ProviderRequests: 1}))
}

// A dynamic scope for every call does not let the session grow without bound.
func TestLimits_tokenSets(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		for i := range 10 {
			r.token(id, tokenward.TokenRequest{Scope: fmt.Sprintf("read:%d", i)})
			r.clock.Advance(time.Second)
		}
		s, err := r.stored(id)
		if err != nil {
			t.Fatal(err)
		}
		r.want("token sets", len(s.TokenSets), 4)
		r.tenant.Reset()
		for i := 6; i < 10; i++ {
			r.token(id, tokenward.TokenRequest{Scope: fmt.Sprintf("read:%d", i)})
		}
		r.want("requests for the newest four", r.tenant.Refreshes(), 0)
	}, withLimits(tokenward.Limits{TokenSets: 4}))
}

// The store's work is bounded in time, attempt by attempt, by our clock.
func TestLimits_storeTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.store.Hang(storetest.OpEnd, 1)
		done := r.logout(id)
		r.rest()
		r.clock.Advance(time.Second - 1)
		r.rest()
		select {
		case err := <-done:
			t.Fatalf("Logout came back early: %v", err)
		default:
		}
		r.clock.Advance(1)
		if err := <-done; err == nil {
			t.Error("Logout succeeded although the store did not answer")
		}
		r.rest()
		r.clock.Advance(time.Second)
		r.rest()
		r.wantGone(id)
	}, withLimits(tokenward.Limits{StoreTimeout: time.Second}))
}
