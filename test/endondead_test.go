package test_test

import (
	"context"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// WithEndOnDeadToken ends a session in whichever way its refresh token is found dead, and not by the refusal of a connection
// exchange, which may be about the connection's own token.
func TestEndOnDeadToken_inEveryWay(t *testing.T) {
	ends := func(name string, story func(t *testing.T, r *rig, id string), opts ...rigOption) {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				id := r.login()
				story(t, r, id)
				r.rest()
				r.wantGone(id)
				r.wantCode("a caller afterwards", r.tokenErr(id, tokenward.TokenRequest{}), session.CodeMissingRefreshToken)
			}, append(opts, withClient(tokenward.WithEndOnDeadToken()))...)
		})
	}
	dead := idptest.OAuthError("invalid_grant", "")
	ends("a refresh after a refused exchange", func(_ *testing.T, r *rig, id string) {
		r.expire()
		r.tenant.Script(idptest.ConnectionExchange, dead)
		r.wantConnectionCode("the exchange", r.connectionErr(id, tokenward.ConnectionRequest{Connection: google}), session.CodeAPIError)
		r.rest()
		r.wantLiving(id)
		r.clock.Advance(idptest.TokenLife)
		r.tenant.Script(idptest.Refresh, dead)
		r.wantCode("the refresh", r.tokenErr(id, tokenward.TokenRequest{}), session.CodeRefreshTokenError)
	})
	ends("a refresh after a resource server refused the token", func(_ *testing.T, r *rig, id string) {
		token := r.token(id, tokenward.TokenRequest{})
		r.clock.Advance(time.Minute)
		r.tenant.Script(idptest.Refresh, dead)
		r.wantCode("the refresh", r.tokenErr(id, tokenward.TokenRequest{Refused: token.AccessToken}), session.CodeRefreshTokenError)
	})
	ends("a request that is sent again", func(t *testing.T, r *rig, id string) {
		r.expire()
		r.tenant.Script(idptest.Refresh, throttled(429, "1"), dead)
		c := r.ask(context.Background(), id, tokenward.TokenRequest{})
		r.rest()
		r.clock.Advance(2 * time.Second)
		if _, err := c.wait(); !tokenward.LoginRequired(err) {
			t.Errorf("the caller gets %v, want that a login is required", err)
		}
	}, retrying(tokenward.RetryPolicy{}, 0))
	t.Run("a recovery", func(t *testing.T) {
		inBubble(t, func(t *testing.T, r *rig) {
			id := r.login()
			r.expire()
			r.pass(30) // the hour may have overtaken a look for cut-off requests, which counts as an outage
			dying := r.another()
			r.crash(t, id, dying)
			r.tenant.Script(idptest.Refresh, dead)
			r.pass(15)
			r.wantGone(id)
			if u, err := r.client.GetUser(context.Background(), tokenward.SessionID(id)); u != nil || err != nil {
				t.Errorf("GetUser = %v, %v, want no session", u, err)
			}
		}, withClient(tokenward.WithEndOnDeadToken()), func(rc *rigConfig) { rc.memory = []store.MemoryOption{store.Shared()} })
	})
}
