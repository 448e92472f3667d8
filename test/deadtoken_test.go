package test_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

// LoginRequired is true where the session or its refresh token is gone, and false for whatever
// may pass.
func TestLoginRequired(t *testing.T) {
	refresh := func(status int, code session.Code) error {
		return &tokenward.AccessTokenError{Code: session.CodeRefreshTokenError, Err: &tokenward.APIError{Code: code, Status: status}}
	}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"session_expired", &tokenward.AccessTokenError{Code: session.CodeSessionExpired}, true},
		{"a login that came too late", &tokenward.SessionExpiredError{}, true},
		{"missing_session", &tokenward.AccessTokenError{Code: session.CodeMissingSession}, true},
		{"missing_refresh_token", &tokenward.AccessTokenError{Code: session.CodeMissingRefreshToken}, true},
		{"a connection's missing_refresh_token", &tokenward.AccessTokenForConnectionError{Code: session.CodeMissingRefreshToken}, true},
		{"invalid_grant", refresh(403, "invalid_grant"), true},
		{"invalid_grant at 500", refresh(500, "invalid_grant"), true},
		{"Yahoo", refresh(400, "INVALID_REFRESH_TOKEN"), true},
		{"Slack", refresh(200, "token_revoked"), true},
		{"Dex", refresh(400, "invalid_request"), true},
		{"invalid_scope", refresh(400, "invalid_scope"), false},
		{"invalid_client", refresh(401, "invalid_client"), false},
		{"consent", refresh(400, "consent_required"), false},
		{"text", refresh(400, "token_error"), false},
		{"an outage", refresh(503, "temporarily_unavailable"), false},
		{"a rate limit", refresh(429, "too_many_requests"), false},
		{"a refused exchange", &tokenward.AccessTokenForConnectionError{Code: session.CodeAPIError, Err: &tokenward.APIError{Code: "invalid_grant", Status: 403}}, false},
		{"a refused code", &tokenward.APIError{Code: "token_error", Status: 403, Err: &tokenward.APIError{Code: "invalid_grant", Status: 403}}, false},
		{"the store", &tokenward.AccessTokenError{Code: session.CodeStoreError}, false},
		{"another error", errors.New("x"), false},
		{"none", nil, false},
	} {
		if got := tokenward.LoginRequired(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if c.err != nil && tokenward.LoginRequired(fmt.Errorf("in a handler: %w", c.err)) != c.want {
			t.Errorf("%s, wrapped: want %v", c.name, c.want)
		}
	}
}

// A user whose access was revoked at the provider: one refused refresh, which says that the user
// must sign in again, and none at the views that follow. The user and what has not expired stay.
func TestDeadToken_isDropped(t *testing.T) {
	for _, c := range refusedRefreshes {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			id := r.login()
			r.expire()
			kept := r.token(id, tokenward.TokenRequest{Audience: audience(1)})
			r.tenant.Reset()
			r.tenant.Script(idptest.Refresh, c.fault.Always())
			for range 3 {
				err := r.tokenErr(id, tokenward.TokenRequest{})
				if got := tokenward.LoginRequired(err); got != c.dead {
					t.Errorf("LoginRequired(%v) = %v, want %v", err, got, c.dead)
				}
			}
			switch {
			case c.dead, c.hold > 0:
				r.want("refused refreshes", r.tenant.Refreshes(), 1)
			default:
				r.want("refused refreshes", r.tenant.Refreshes(), 3)
			}
			if c.dead != (r.refreshToken(id) == "") {
				t.Errorf("the store has a refresh token: %v", r.refreshToken(id) != "")
			}
			if got := r.token(id, tokenward.TokenRequest{Audience: audience(1)}); got.AccessToken != kept.AccessToken {
				t.Error("the token that has not expired is another one now")
			}
			if u, err := r.client.GetUser(context.Background(), tokenward.SessionID(id)); u == nil || err != nil {
				t.Errorf("GetUser = %v, %v, want the user", u, err)
			}
			r.want("sessions lost in a crash", int(r.client.Stats().Lost), 0)
			r.tenant.Heal()
			r.loginAs(tokenward.SessionID(id))
			r.token(id, tokenward.TokenRequest{Audience: audience(2)})
		})
	}
}

// The error of a user who has signed out speaks of the session; that of a session whose refresh token is gone names the scope that
// brings one.
func TestMissingRefreshToken_saysWhatIsMissing(t *testing.T) {
	r := newRig(t)
	out, dead := r.login(), r.login()
	r.logOut(tokenward.SessionID(out))
	r.expire()
	r.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_grant", "").Always())
	r.wantCode("the refused refresh", r.tokenErr(dead, tokenward.TokenRequest{}), "refresh_token_error")
	never := "never begun"
	for _, c := range []struct {
		id     string
		scoped bool
	}{{out, false}, {never, false}, {dead, true}} {
		token := r.tokenErr(c.id, tokenward.TokenRequest{})
		r.wantCode(c.id, token, "missing_refresh_token")
		connection := r.connectionErr(c.id, tokenward.ConnectionRequest{Connection: google})
		r.wantConnectionCode(c.id, connection, "missing_refresh_token")
		for _, err := range []error{token, connection} {
			if !errors.Is(err, tokenward.ErrMissingRefreshToken) || strings.Contains(err.Error(), "offline_access") != c.scoped {
				t.Errorf("%q, of a session that lives: %v", err, c.scoped)
			}
		}
	}
}

// A refused exchange may be about the connection's own token: nothing is dropped, and the next
// refresh tells.
func TestDeadToken_isNotForAnExchangeToSay(t *testing.T) {
	r := newRig(t)
	id := r.login()
	r.expire()
	r.tenant.Script(idptest.ConnectionExchange, idptest.OAuthError("invalid_grant", ""))
	err := r.connectionErr(id, tokenward.ConnectionRequest{Connection: google})
	r.wantConnectionCode("the exchange", err, session.CodeAPIError)
	if tokenward.LoginRequired(err) {
		t.Errorf("LoginRequired(%v)", err)
	}
	r.token(id, tokenward.TokenRequest{})
}

// Another process has rotated the token that was refused: what it has is looked at, and then
// tried, once.
func TestDeadToken_whereAnotherProcessHasRotatedIt(t *testing.T) {
	for _, c := range refusedRefreshes {
		if !c.dead {
			continue
		}
		twoClients(t, func(t *testing.T, r *rig, a, b *tokenward.Client, id string) {
			if _, err := askOf(context.Background(), a, id, tokenward.TokenRequest{}).wait(); err != nil {
				t.Fatal(err)
			}
			r.tenant.Script(idptest.Refresh, c.fault)
			if _, err := askOf(context.Background(), b, id, tokenward.TokenRequest{Audience: audience(1)}).wait(); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			r.want("requests", r.tenant.Refreshes(), 3)
			r.client = b
			r.wantLiving(id)
		})
	}
}

// With the option the session ends in every process, and only then.
func TestDeadToken_endsTheSessionWhereToldTo(t *testing.T) {
	for _, c := range refusedRefreshes {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, withClient(tokenward.WithEndOnDeadToken()))
			id := r.login()
			r.expire()
			r.tenant.Script(idptest.Refresh, c.fault.Always())
			err := r.tokenErr(id, tokenward.TokenRequest{})
			r.wantCode("who met the refusal", err, session.CodeRefreshTokenError)
			if got := tokenward.LoginRequired(err); got != c.dead {
				t.Errorf("LoginRequired(%v) = %v, want %v", err, got, c.dead)
			}
			r.settle()
			if !c.dead {
				r.inMemory(id)
				return
			}
			r.wantGone(id)
			err = r.tokenErr(id, tokenward.TokenRequest{})
			r.wantCode("a caller afterwards", err, session.CodeMissingRefreshToken)
			r.want("refused refreshes", r.tenant.Refreshes(), 1)
		})
	}
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		ending := r.newClientToCut(tokenward.WithStateStore(p[0].store), tokenward.WithHTTPClient(r.tenant.Client()),
			tokenward.WithProvider(tokenward.ProviderConfig{EndSession: tokenward.Never}), tokenward.WithEndOnDeadToken())
		t.Cleanup(func() { _ = ending.Close(context.Background()) })
		r.rest()
		r.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_grant", ""))
		one := askOf(context.Background(), ending, id, tokenward.TokenRequest{})
		two := askOf(context.Background(), ending, id, tokenward.TokenRequest{Audience: audience(1)})
		for _, c := range []*caller{one, two} {
			if _, err := c.wait(); !tokenward.LoginRequired(err) {
				t.Errorf("a caller: %v, want one for which a login is required", err)
			}
		}
		r.rest()
		r.want("refused refreshes", r.tenant.Refreshes(), 1)
		if u, err := p[1].GetUser(context.Background(), tokenward.SessionID(id)); u != nil || err != nil {
			t.Errorf("GetUser elsewhere = %v, %v, want no session", u, err)
		}
	})
}
