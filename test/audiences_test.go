package test_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// P1: all audiences spend one rotating refresh token, so they fly one at a time, and
// each presents what the one before returned. A provider without overlap notices
// everything else.
func TestAudiences_fiveTimesTwentyCallers(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		const audiences, callers = 5, 20
		id := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		all := make([][]*caller, audiences)
		for i := range callers {
			for a := range all {
				scopes := []string{"read write", "write read"}[i%2]
				all[a] = append(all[a], r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(a), Scope: scopes}))
			}
		}
		r.rest()
		r.want("requests on the wire", hold.Held(), 1)
		hold.Release()
		seen := map[string]bool{}
		for a, group := range all {
			want, err := group[0].wait()
			if err != nil {
				t.Fatalf("audience %d: %v", a, err)
			}
			if want.Audience != audience(a) {
				t.Errorf("audience = %q, want %q", want.Audience, audience(a))
			}
			seen[want.AccessToken] = true
			for i, c := range group {
				if got, err := c.wait(); err != nil || got != want {
					t.Errorf("audience %d, caller %d: %v, %v, want what the first got", a, i, got, err)
				}
			}
		}
		r.rest()
		r.want("different tokens", len(seen), audiences)
		r.want("requests", r.tenant.Refreshes(), audiences)
		r.want("updates", r.store.Updates(), audiences)
		r.want("requests at once", r.tenant.PeakPerFamily(), 1)
		if got, want := r.tenant.Family(idptest.Subject).Serials(), []int{0, 1, 2, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("refresh tokens presented, by serial = %v, want %v", got, want)
		}
		if !r.tenant.FamilyAlive(idptest.Subject) {
			t.Error("the provider has revoked the session")
		}
		r.wantLiving(id)
	})
}

func audience(i int) string { return fmt.Sprintf("https://api%d.example.com", i) }

// The same without holds: luck decides who comes when.
func TestAudiences_crowd(t *testing.T) {
	r := newRig(t)
	id := r.login()
	r.expire()
	together(500, func(i int) {
		tok, err := r.client.GetAccessToken(context.Background(), tokenward.TokenRequest{Audience: audience(i % 5)}, tokenward.SessionID(id))
		if err != nil || tok.Audience != audience(i%5) {
			t.Errorf("caller %d: audience %q, err %v", i, tok.Audience, err)
		}
	})
	r.want("requests", r.tenant.Refreshes(), 5)
	r.want("updates", r.store.Updates(), 5)
	r.want("requests at once", r.tenant.PeakPerFamily(), 1)
	r.wantLiving(id)
}

// A query that queued looks in the cache again before it is sent.
func TestAudiences_aWiderAnswerCoversWhoQueued(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		wide := r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(1), Scope: "read write"})
		r.rest()
		narrow := r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(1), Scope: "read"})
		r.rest()
		hold.Release()
		want, err := wide.wait()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := narrow.wait(); err != nil || got.AccessToken != want.AccessToken {
			t.Errorf("narrow query: same token %v, err %v", got.AccessToken == want.AccessToken, err)
		}
		r.want("requests", r.tenant.Refreshes(), 1)
		r.want("updates", r.store.Updates(), 1)
	})
}

// The answer that covers a query that queued may be on its way to the store still, where no rotated refresh token has to be
// saved first: the query waits for that.
func TestAudiences_anAnswerThatIsBeingSavedCoversWhoQueued(t *testing.T) {
	for _, shared := range []bool{false, true} {
		var opts []rigOption
		if shared {
			opts = append(opts, func(c *rigConfig) { c.memory = append(c.memory, store.Shared()) })
		}
		inBubble(t, func(t *testing.T, r *rig) {
			id := r.login()
			r.expire()
			hold, gate := r.tenant.Hold(idptest.Spend, idptest.BeforeGrant), r.store.Hold(storetest.OpUpdate)
			var refreshed []*caller
			for _, scope := range []string{"read write", "read", "write"} {
				refreshed = append(refreshed, r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(1), Scope: scope}))
				r.rest()
			}
			var exchanged []*exchanger
			for _, hint := range []string{"ada", "", "bob"} {
				exchanged = append(exchanged, r.exchangeFor(context.Background(), id, tokenward.ConnectionRequest{Connection: google, LoginHint: hint}))
				r.rest()
			}
			hold.Release()
			r.rest()
			gate.Release()
			want, err := refreshed[0].wait()
			for _, c := range refreshed {
				if got, failed := c.wait(); got.AccessToken != want.AccessToken || err != nil || failed != nil {
					t.Errorf("shared %v: same token %v, err %v, %v", shared, got.AccessToken == want.AccessToken, err, failed)
				}
			}
			for i, hint := range []string{"ada", "ada", "bob"} { // without a hint any account's will do
				if got, err := exchanged[i].wait(); got.LoginHint != hint || err != nil {
					t.Errorf("shared %v: the token of %q, %v, want that of %q", shared, got.LoginHint, err, hint)
				}
			}
			r.want("refreshes", r.tenant.Refreshes(), 1)
			r.want("exchanges", r.tenant.Requests(idptest.ConnectionExchange), 2)
			r.want("updates", r.store.Updates(), 3)
		}, append(opts, withTenant(idptest.WithoutRotation()))...)
	}
}

// A flight fails the callers who joined it and no others.
func TestAudiences_aFailureFailsNoOtherQuery(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.tenant.Script(idptest.Refresh, idptest.Status(503))
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		fails := r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(1)})
		r.rest()
		queued := r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(2)})
		r.rest()
		hold.Release()
		_, err := fails.wait()
		r.wantCode("first query", err, "refresh_token_error")
		if _, err := queued.wait(); err != nil {
			t.Errorf("queued query: %v", err)
		}
		r.want("requests", r.tenant.Refreshes(), 2)
		r.wantLiving(id)
	})
}

// Reads and other cached audiences are served while a request is on the wire.
func TestAudiences_readsDoNotWaitForAFlight(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		cached := r.token(id, tokenward.TokenRequest{Audience: audience(1)})
		r.tenant.Reset()
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		held := r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(2)})
		r.rest()

		if u, err := r.client.GetUser(context.Background(), tokenward.SessionID(id)); err != nil || u.Sub() != idptest.Subject {
			t.Errorf("GetUser = %v, %v", u, err)
		}
		if s, err := r.client.GetSession(context.Background(), tokenward.SessionID(id)); err != nil || s == nil {
			t.Errorf("GetSession = %v, %v", s, err)
		}
		if got := r.token(id, tokenward.TokenRequest{Audience: audience(1)}); got != cached {
			t.Error("the cached audience was not answered from the cache")
		}
		if held.answered() {
			t.Error("the held caller was answered")
		}
		hold.Release()
		if _, err := held.wait(); err != nil {
			t.Error(err)
		}
		r.want("requests", r.tenant.Refreshes(), 1)
	})
}

// A token that the provider issued for a narrower scope than asked for answers the
// same query again.
func TestAudiences_narrowedGrantsAreFoundAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.tenant.Reset()
		want := r.token(id, tokenward.TokenRequest{Audience: audience(1), Scope: "read write"})
		got := r.token(id, tokenward.TokenRequest{Audience: audience(1), Scope: "write read"})
		if got != want {
			t.Error("the second call got another token")
		}
		r.token(id, tokenward.TokenRequest{Audience: audience(1), Scope: "admin read"})
		if got := r.token(id, tokenward.TokenRequest{Audience: audience(1), Scope: "read write"}); got != want {
			t.Error("after another narrowed query the first got another token")
		}
		r.want("requests", r.tenant.Refreshes(), 2)
	}, withTenant(idptest.WithPolicy(map[string]string{audience(1): "read"})))
}

// With tokens that cannot be cached every call flies; those who are there together
// still share.
func TestAudiences_aTokenWithoutALifeIsHandedOutOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.tenant.Script(idptest.Refresh, idptest.ExpiresIn(0).Always())
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		callers := r.askAll(10, id, tokenward.TokenRequest{})
		r.rest()
		hold.Release()
		for _, c := range callers {
			if tok, err := c.wait(); err != nil || !tok.ExpiresAt.Equal(r.clock.Now()) {
				t.Errorf("token expires %v, err %v; want now, %v", tok.ExpiresAt, err, r.clock.Now())
			}
		}
		r.want("requests", r.tenant.Refreshes(), 1)
		r.token(id, tokenward.TokenRequest{})
		r.want("requests after one more call", r.tenant.Refreshes(), 2)
		r.wantLiving(id)
	})
}
