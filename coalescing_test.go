package tokenward_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// P2: any number of concurrent calls for one question cost one token request and one
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
