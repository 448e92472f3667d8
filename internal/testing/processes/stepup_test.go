package processes_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// A user with many sessions is asked to sign in again, in each store. Half of the sessions are in memory, of two clients that share the
// store; some of those have a request for a token under way, which takes nothing away and keeps what it brings.
func TestStepUpEverywhere(t *testing.T) {
	eachHome(t, func(t *testing.T, h home) {
		tenant := idptest.NewTenant(t, idptest.WithClient(clientID, clientSecret), idptest.WithAudience("https://api.example"))
		states := h.openFor(t)
		a, b := clientAt(t, h, tenant), clientAt(t, h, tenant)
		const flights = 40
		var underWay []string
		for range flights {
			underWay = append(underWay, signIn(t, a, tenant, idptest.Claims{"sub": "ada"}))
		}
		other := signIn(t, b, tenant, idptest.Claims{"sub": "bob"})
		ids := plant(t, states, tenant.Issuer(), "ada", *signOutFlag-flights)
		resident(t, a, ids[:len(ids)/4])
		resident(t, b, ids[len(ids)/4:len(ids)/2])

		hold := tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		var answers sync.WaitGroup
		token := func(c *tokenward.Client, id string) {
			if _, err := c.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: "https://api.example"}, tokenward.SessionID(id)); err != nil {
				t.Errorf("a token: %v", err)
			}
		}
		for i, id := range underWay {
			answers.Go(func() { token([]*tokenward.Client{a, b}[i%2], id) })
		}
		must(t, hold.Wait(t.Context(), flights))
		q := tokenward.EndRequest{Issuer: tenant.Issuer(), Subject: "ada", BeganBy: clock.System().Now()}
		answers.Go(func() { hold.Release() }) // a session whose request another process has under way is asked after that
		began := clock.System().Now()
		n, err := a.AskStepUp(t.Context(), q, tokenward.StoreOptions{})
		if err != nil || n != *signOutFlag {
			t.Errorf("AskStepUp = %d, %v, want %d", n, err, *signOutFlag)
		}
		t.Logf("%d sessions were asked in %v", n, clock.System().Now().Sub(began).Round(time.Millisecond))
		answers.Wait()
		if n, err := b.AskStepUp(t.Context(), q, tokenward.StoreOptions{}); n != 0 || err != nil {
			t.Errorf("when the event came again: AskStepUp = %d, %v, want 0", n, err)
		}

		asked := func(c *tokenward.Client, id string) bool {
			u, err := c.GetUser(t.Context(), tokenward.SessionID(id))
			if err != nil || u == nil {
				t.Fatalf("GetUser = %v, %v", u, err)
			}
			return errors.As(c.CheckStepUp(u, tokenward.StepUp{}), new(*tokenward.StepUpError))
		}
		fresh := clientAt(t, h, tenant)
		for _, id := range append(ids, underWay...) {
			if !asked(fresh, id) {
				t.Fatal("a session is not asked by what the store has")
			}
			for _, c := range []*tokenward.Client{a, b} {
				eventually(t, "each process asks", func() bool { return asked(c, id) })
			}
		}
		refreshes := tenant.Requests(idptest.Refresh)
		for _, id := range underWay { // what was under way has brought a token, and lost none
			token(fresh, id)
		}
		if n := tenant.Requests(idptest.Refresh) - refreshes; n != 0 {
			t.Errorf("%d of %d tokens were lost", n, flights)
		}
		if asked(b, other) {
			t.Error("another user is asked")
		}
	})
}
