//go:build !race

package test_test

import (
	"context"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// P2, with more callers than the race detector has room for: all of them are waiting
// when the one request is answered.
func TestHundredThousandCallers(t *testing.T) {
	const callers = 100_000
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		all := r.askAll(callers, id, tokenward.TokenRequest{Audience: audience(1), Scope: "read write"})
		r.rest()
		r.want("requests on the wire", hold.Held(), 1)
		hold.Release()
		want, err := all[0].wait()
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range all {
			if got, err := c.wait(); err != nil || got != want {
				t.Fatalf("caller %d: same token %v, err %v", i, got == want, err)
			}
		}
		r.rest()
		r.want("requests", r.tenant.Refreshes(), 1)
		r.want("updates", r.store.Updates(), 1)
		if u, err := r.client.GetUser(context.Background(), tokenward.SessionID(id)); u == nil || err != nil {
			t.Errorf("GetUser = %v, %v", u, err)
		}
	})
}
