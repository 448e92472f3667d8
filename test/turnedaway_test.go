package test_test

import (
	"errors"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// A sign-in that is turned away because too many strangers wait has lost nothing: the same callback
// completes it later, once, however often it is loaded at the same time.
func TestCallback_turnedAway(t *testing.T) {
	for name, opts := range map[string][]rigOption{"memory": nil, "a shared store": {withShared()}} {
		inBubble(t, func(t *testing.T, r *rig) {
			b := newBrowser(r)
			back := b.startAs(r.client, tokenward.LoginRequest{AppState: "kept"})
			hold := r.tenant.Hold(idptest.CodeExchange, idptest.BeforeGrant)
			var waiting []<-chan error
			for range 1001 {
				waiting = append(waiting, r.makeUp())
			}
			r.rest()
			for range 3 {
				_, err := b.complete(r.client, back)
				var api *tokenward.APIError
				if !errors.Is(err, tokenward.ErrOverloaded) || !errors.As(err, &api) || api.RetryAfter <= 0 {
					t.Errorf("%s: %v, want overloaded and when to come again", name, err)
				}
			}
			hold.Release()
			for _, done := range waiting {
				r.wantRefused(done)
			}
			sent := r.tenant.Requests(idptest.CodeExchange)

			var reloads []<-chan error
			for range 10 {
				o := b.copy().options()
				reloads = append(reloads, r.strange(func() error {
					_, err := r.client.CompleteInteractiveLogin(t.Context(), back, o)
					return err
				}))
			}
			won := 0
			for _, done := range reloads {
				if err := <-done; err == nil {
					won++
				} else {
					wantError[*tokenward.MissingTransactionError](t, name+": reloaded", err, "missing_transaction_error")
				}
			}
			r.want(name+": logins completed", won, 1)
			r.want(name+": codes sent", r.tenant.Requests(idptest.CodeExchange)-sent, 1)
		}, append(opts, withLimits(tokenward.Limits{ProviderRequests: 4}))...)
	}
}
