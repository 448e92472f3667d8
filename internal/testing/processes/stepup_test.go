package processes_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// A user with many sessions is asked to sign in again, in each store. A request that is under way takes nothing away and keeps what
// it brings.
func TestStepUpEverywhere(t *testing.T) {
	eachHome(t, func(t *testing.T, h home) {
		c := newCrowd(t, h, func(err error) {
			if err != nil {
				t.Errorf("a token: %v", err)
			}
		})
		other := signIn(t, c.b, c.tenant, idptest.Claims{"sub": "bob"})
		q := tokenward.EndRequest{Issuer: c.tenant.Issuer(), Subject: "ada", BeganBy: clock.System().Now()}
		c.answers.Go(func() { c.hold.Release() }) // a session whose request another process has under way is asked after that
		began := clock.System().Now()
		n, err := c.a.AskStepUp(t.Context(), q, tokenward.StoreOptions{})
		if err != nil || n != *signOutFlag {
			t.Errorf("AskStepUp = %d, %v, want %d", n, err, *signOutFlag)
		}
		t.Logf("%d sessions were asked in %v", n, clock.System().Now().Sub(began).Round(time.Millisecond))
		c.answers.Wait()
		if n, err := c.b.AskStepUp(t.Context(), q, tokenward.StoreOptions{}); n != 0 || err != nil {
			t.Errorf("when the event came again: AskStepUp = %d, %v, want 0", n, err)
		}

		asked := func(at *tokenward.Client, id string) bool {
			u, err := at.GetUser(t.Context(), tokenward.SessionID(id))
			if err != nil || u == nil {
				t.Fatalf("GetUser = %v, %v", u, err)
			}
			return errors.As(at.CheckStepUp(u, tokenward.StepUp{}), new(*tokenward.StepUpError))
		}
		fresh := clientAt(t, h, c.tenant)
		for _, id := range append(c.ids, c.underWay...) {
			if !asked(fresh, id) {
				t.Fatal("a session is not asked by what the store has")
			}
			for _, at := range []*tokenward.Client{c.a, c.b} {
				eventually(t, "each process asks", func() bool { return asked(at, id) })
			}
		}
		refreshes := c.tenant.Requests(idptest.Refresh)
		for _, id := range c.underWay { // each flight under way has brought a token, and lost none
			_, err := fresh.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: "https://api.example"}, tokenward.SessionID(id))
			must(t, err)
		}
		if n := c.tenant.Requests(idptest.Refresh) - refreshes; n != 0 {
			t.Errorf("%d of %d tokens were lost", n, len(c.underWay))
		}
		if asked(c.b, other) {
			t.Error("another user is asked")
		}
	})
}
