package test_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store/storetest"
)

// P7: what ends or replaces a session while a request is on the wire, before the provider
// has acted or after. Deleted stays deleted, and nothing of the old session gets
// into a new one.

// points are the moments at which a request is held.
var points = map[string]idptest.Point{"before the grant": idptest.BeforeGrant, "after the grant": idptest.AfterGrant}

// eachPoint tells story once for each moment, with a refresh and a queued query
// in a session that has to refresh.
func eachPoint(t *testing.T, story func(t *testing.T, r *rig, f underWay), opts ...rigOption) {
	for name, p := range points {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				id := r.loginAs(tokenward.SessionID("the session"), idptest.Claims{"session_expiry": t0.Add(12 * time.Hour).Unix()})
				r.expire()
				f := underWay{id: id, hold: r.tenant.Hold(idptest.Spend, p)}
				f.flying = r.askAll(3, id, tokenward.TokenRequest{})
				r.rest()
				f.queued = r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(1)})
				r.rest()
				f.connection = r.exchange(context.Background(), id, "google-oauth2")
				r.rest()
				r.want("requests on the wire", f.hold.Held(), 1)
				story(t, r, f)
			}, opts...)
		})
	}
}

type underWay struct {
	id         string
	hold       *idptest.Hold
	flying     []*caller
	queued     *caller
	connection *exchanger
}

// wantAll checks that everyone has been answered with code, the connection's caller
// with missing_refresh_token.
func (f underWay) wantAll(r *rig, code tokenward.Code) {
	r.t.Helper()
	for _, c := range append(f.flying, f.queued) {
		if !c.answered() {
			r.t.Error("a caller is still waiting")
			continue
		}
		r.wantCode("caller", c.err, code)
	}
	_, err := f.connection.wait()
	r.wantConnectionCode("connection caller", err, "missing_refresh_token")
}

func TestGenerations_logoutDuringARefresh(t *testing.T) {
	eachPoint(t, func(t *testing.T, r *rig, f underWay) {
		done := r.logout(f.id)
		r.rest()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Logout: %v", err)
			}
		default:
			t.Error("Logout waits for the request on the wire")
		}
		f.wantAll(r, "missing_session")
		r.wantGone(f.id)
		r.wantCode("a later call", r.tokenErr(f.id, tokenward.TokenRequest{}), "missing_refresh_token")

		f.hold.Release()
		r.rest()
		r.wantGone(f.id)
		r.want("updates", r.store.Updates(), 0)
		r.want("requests", r.tenant.Requests(idptest.Spend), 1)
		if u, err := r.client.GetUser(context.Background(), tokenward.SessionID(f.id)); u != nil || err != nil {
			t.Errorf("GetUser = %v, %v, want nil, nil", u, err)
		}
		r.wantCode("a call after all", r.tokenErr(f.id, tokenward.TokenRequest{}), "missing_refresh_token")
	})
}

func TestGenerations_backchannelLogoutDuringARefresh(t *testing.T) {
	eachPoint(t, func(t *testing.T, r *rig, f underWay) {
		token := r.tenant.LogoutToken(idptest.Subject, r.tenant.Family(idptest.Subject).SID)
		if err := r.client.HandleBackchannelLogout(context.Background(), token, tokenward.StoreOptions{}); err != nil {
			t.Fatalf("HandleBackchannelLogout: %v", err)
		}
		r.rest()
		f.wantAll(r, "missing_session")
		f.hold.Release()
		r.rest()
		r.wantGone(f.id)
		r.want("updates", r.store.Updates(), 0)
		r.want("deletes", r.store.Ends(), 1)
		r.wantCode("a later call", r.tokenErr(f.id, tokenward.TokenRequest{}), "missing_refresh_token")
		_, err := r.exchange(context.Background(), f.id, "google-oauth2").wait()
		r.wantConnectionCode("a later connection call", err, "missing_refresh_token")
	})
}

func TestGenerations_ceilingDuringARefresh(t *testing.T) {
	eachPoint(t, func(t *testing.T, r *rig, f underWay) {
		r.clock.Set(t0.Add(12*time.Hour - session.CeilingLeeway))
		r.rest()
		f.wantAll(r, "session_expired")
		r.wantGone(f.id)
		r.want("deletes", r.store.Ends(), 1)
		f.hold.Release()
		r.rest()
		r.wantGone(f.id)
		r.want("updates", r.store.Updates(), 0)
		r.wantCode("a later call", r.tokenErr(f.id, tokenward.TokenRequest{}), "session_expired")
		if u, err := r.client.GetUser(context.Background(), tokenward.SessionID(f.id)); u != nil || err != nil {
			t.Errorf("GetUser = %v, %v, want nil, nil", u, err)
		}
		r.want("deletes", r.store.Ends(), 1)
	}, withClient(tokenward.WithLimits(tokenward.Limits{FlightTimeout: 24 * time.Hour})))
}

// The connection's token is on its way when the ceiling comes: it arrives, stays as
// long as it lives, and nothing is written.
func TestGenerations_ceilingDuringAnExchange(t *testing.T) {
	for name, p := range points {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				end := t0.Add(time.Hour)
				id := r.login(idptest.Claims{"session_expiry": end.Unix()})
				r.clock.Set(end.Add(-session.CeilingLeeway - time.Second))
				hold := r.tenant.Hold(idptest.Spend, p)
				flying := r.exchange(context.Background(), id, "google-oauth2")
				r.rest()
				queued := r.exchange(context.Background(), id, "github")
				r.rest()
				r.rest()
				r.clock.Advance(time.Second)
				r.rest()
				r.wantGone(id)
				_, err := queued.wait()
				r.wantConnectionCode("queued", err, "missing_refresh_token")
				hold.Release()
				tok, err := flying.wait()
				if err != nil || tok.AccessToken == "" {
					t.Fatalf("on the wire: %v", err)
				}
				r.rest()
				r.want("updates", r.store.Updates(), 0)
				r.wantGone(id)

				again, err := r.exchange(context.Background(), id, "google-oauth2").wait()
				if err != nil || again != tok {
					t.Errorf("afterwards: the same token %v, err %v", again == tok, err)
				}
				_, err = r.exchange(context.Background(), id, "github").wait()
				r.wantConnectionCode("another connection", err, "missing_refresh_token")
				r.wantCode("access token", r.tokenErr(id, tokenward.TokenRequest{}), "session_expired")
				r.want("requests", r.tenant.Requests(idptest.Spend), 1)

				r.clock.Advance(idptest.ConnectionTokenLife)
				r.rest()
				_, err = r.exchange(context.Background(), id, "google-oauth2").wait()
				r.wantConnectionCode("once it expired", err, "missing_refresh_token")
			}, withTenant(idptest.WithExchangeRotation()))
		})
	}
}

// A logout after the ceiling takes the connection's tokens with it, those on their
// way included.
func TestGenerations_logoutAfterTheCeilingDuringAnExchange(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		end := t0.Add(time.Hour)
		id := r.login(idptest.Claims{"session_expiry": end.Unix()})
		if _, err := r.exchange(context.Background(), id, "github").wait(); err != nil {
			t.Fatal(err)
		}
		r.clock.Set(end.Add(-session.CeilingLeeway - time.Second))
		hold := r.tenant.Hold(idptest.Spend, idptest.AfterGrant)
		flying := r.exchange(context.Background(), id, "google-oauth2")
		r.rest()
		r.rest()
		r.clock.Advance(time.Second)
		r.rest()
		if err := <-r.logout(id); err != nil {
			t.Fatal(err)
		}
		_, err := flying.wait()
		r.wantConnectionCode("on the wire", err, "missing_refresh_token")
		hold.Release()
		r.rest()
		for _, c := range []string{"github", "google-oauth2"} {
			_, err := r.exchange(context.Background(), id, c).wait()
			r.wantConnectionCode(c, err, "missing_refresh_token")
		}
		r.wantCode("access token", r.tokenErr(id, tokenward.TokenRequest{}), "missing_refresh_token")
	})
}

// A login under the same id while a refresh of the old session is on the wire.
func TestGenerations_loginDuringARefresh(t *testing.T) {
	eachPoint(t, func(t *testing.T, r *rig, f underWay) {
		old := r.tenant.Family(idptest.Subject).SID
		r.tenant.SetUser("auth0|bob", idptest.Claims{"session_expiry": idptest.Absent})
		r.tenant.Set(idptest.WithDefaultUser("auth0|bob"))
		if id := r.loginAs(tokenward.SessionID(f.id)); id != f.id {
			t.Fatalf("session id = %q, want %q", id, f.id)
		}
		r.rest()
		f.wantAll(r, "missing_session")
		r.want("replaces", r.store.Replaces(), 2)
		login := r.refreshToken(f.id)
		cached := r.token(f.id, tokenward.TokenRequest{})

		f.hold.Release()
		r.rest()
		s, err := r.stored(f.id)
		if err != nil {
			t.Fatal(err)
		}
		if s.User.Sub() != "auth0|bob" || s.RefreshToken != login || s.Internal.Ceiling != 0 || len(s.TokenSets) != 1 {
			t.Errorf("the new session has changed: sub %q, same refresh token %v, ceiling %v, %d token sets",
				s.User.Sub(), s.RefreshToken == login, s.Internal.Ceiling, len(s.TokenSets))
		}
		if got := r.token(f.id, tokenward.TokenRequest{}); got != cached {
			t.Error("the new session answers with another token than its own")
		}
		r.want("updates", r.store.Updates(), 0)

		// The old session's ceiling and tokens mean nothing to the new one.
		r.clock.Advance(24 * time.Hour)
		r.rest()
		r.token(f.id, tokenward.TokenRequest{})
		if got := r.tenant.Family(old); len(got.Seen) > 1 {
			t.Errorf("the old session's refresh tokens were presented %d times", len(got.Seen))
		}
		if got := r.tenant.Family("auth0|bob").Serials(); len(got) != 1 || got[0] != 0 {
			t.Errorf("the new session presented %v, want its own first token once", got)
		}
		r.wantLiving(f.id)
	})
}

// The same with an exchange on the wire, and one that rotates.
func TestGenerations_loginDuringAnExchange(t *testing.T) {
	for name, p := range points {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				id := r.login()
				hold := r.tenant.Hold(idptest.Spend, p)
				flying := r.exchange(context.Background(), id, "google-oauth2")
				r.rest()
				r.tenant.SetUser("auth0|bob", nil)
				r.tenant.Set(idptest.WithDefaultUser("auth0|bob"))
				r.loginAs(tokenward.SessionID(id))
				_, err := flying.wait()
				r.wantConnectionCode("on the wire", err, "missing_refresh_token")
				login := r.refreshToken(id)
				hold.Release()
				r.rest()
				if r.refreshToken(id) != login {
					t.Error("the new session's refresh token has changed")
				}
				r.tenant.Reset()
				if _, err := r.exchange(context.Background(), id, "google-oauth2").wait(); err != nil {
					t.Error(err)
				}
				r.want("exchanges of the new session", r.tenant.Requests(idptest.ConnectionExchange.Of("auth0|bob")), 1)
				r.wantLiving(id)
			}, withTenant(idptest.WithExchangeRotation()))
		})
	}
}

// A session lives on until the store has the login that replaces it, and when that
// fails.
func TestGenerations_aLoginThatCannotBeStored(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		cached := r.token(id, tokenward.TokenRequest{})
		r.store.Fail(storetest.OpReplace, 1)
		if _, err := r.tryLogin(tokenward.SessionID(id)); !errors.Is(err, tokenward.ErrStore) || !errors.Is(err, storetest.ErrFault) {
			t.Errorf("login: err = %v, want %v with its cause", err, tokenward.ErrStore)
		}
		r.rest()
		if got := r.token(id, tokenward.TokenRequest{}); got != cached {
			t.Error("the earlier session answers with another token")
		}
		r.expire()
		r.token(id, tokenward.TokenRequest{})
		r.want("requests", r.tenant.Refreshes(), 1)
	})
}

// An exchange and a refresh of one session do not overlap: neither loses what the
// other brings.
func TestGenerations_anExchangeDoesNotOverlapARefresh(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		hold := r.tenant.Hold(idptest.Spend, idptest.AfterGrant)
		a := r.exchange(context.Background(), id, "google-oauth2")
		r.rest()
		b := r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(1)})
		r.rest()
		c := r.exchange(context.Background(), id, "github")
		r.rest()
		for n := range 3 {
			r.want("requests on the wire", hold.Held(), 1)
			r.want("requests so far", r.tenant.Requests(idptest.Spend), n+1)
			hold.Next()
			r.rest()
		}
		if _, err := a.wait(); err != nil {
			t.Error(err)
		}
		if _, err := b.wait(); err != nil {
			t.Error(err)
		}
		if _, err := c.wait(); err != nil {
			t.Error(err)
		}
		s, err := r.stored(id)
		if err != nil {
			t.Fatal(err)
		}
		r.want("connection token sets", len(s.ConnectionTokenSets), 2)
		r.want("token sets", len(s.TokenSets), 2)
		hold.Release()
		r.wantLiving(id)
	}, withTenant(idptest.WithExchangeRotation()))
}

// A logout that comes while a session is being loaded voids the load.
func TestGenerations_logoutDuringALoad(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.client = r.newClient()
		gate := r.store.HoldAfter(storetest.OpLoad) // the record is read, and on its way
		c := r.ask(context.Background(), id, tokenward.TokenRequest{})
		gate.Arrived(t, 1)
		if err := <-r.logout(id); err != nil {
			t.Fatal(err)
		}
		r.wantGone(id)
		gate.Release()
		_, err := c.wait()
		if code := tokenward.CodeOf(err); code != "missing_refresh_token" && code != "missing_session" {
			t.Errorf("the caller who loaded: err = %v", err)
		}
		r.rest()
		r.wantCode("a later call", r.tokenErr(id, tokenward.TokenRequest{}), "missing_refresh_token")
	})
}

// A login that comes while the session is being loaded wins.
func TestGenerations_loginDuringALoad(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.client = r.newClient()
		gate := storetest.NewGate()
		r.store.Inject(storetest.Fault{Op: storetest.OpLoad, Times: 1, After: true, Gate: gate}) // the login's own read is none of it
		c := r.ask(context.Background(), id, tokenward.TokenRequest{})
		gate.Arrived(t, 1)
		r.tenant.SetUser("auth0|bob", nil)
		r.tenant.Set(idptest.WithDefaultUser("auth0|bob"))
		r.loginAs(tokenward.SessionID(id))
		gate.Release()
		if _, err := c.wait(); err != nil {
			t.Error(err)
		}
		r.rest()
		u, err := r.client.GetUser(context.Background(), tokenward.SessionID(id))
		if err != nil || u.Sub() != "auth0|bob" {
			t.Errorf("GetUser = %v, %v, want bob", u, err)
		}
		r.want("different tokens", r.tenant.Refreshes(), 0)
	})
}

// Many readers at the ceiling cause one deletion.
func TestGenerations_manyReadersAtTheCeiling(t *testing.T) {
	inBubble(t, func(_ *testing.T, r *rig) {
		id := r.login(idptest.Claims{"session_expiry": t0.Add(time.Hour).Unix()})
		gate := r.store.Hold(storetest.OpEnd)
		r.clock.Set(t0.Add(time.Hour - session.CeilingLeeway))
		callers := r.askAll(50, id, tokenward.TokenRequest{})
		r.rest()
		gate.Release()
		for _, c := range callers {
			_, err := c.wait()
			r.wantCode("caller", err, "session_expired")
		}
		r.rest()
		r.want("deletes", r.store.Ends(), 1)
		r.wantGone(id)
	})
}

// A deletion that fails is tried again until it succeeds; the session is over from the first try on.
func TestGenerations_aDeletionThatFails(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.store.Fail(storetest.OpEnd, 3)
		if err := <-r.logout(id); !errors.Is(err, tokenward.ErrStore) {
			t.Errorf("Logout: err = %v, want %v", err, tokenward.ErrStore)
		}
		r.wantCode("meanwhile", r.tokenErr(id, tokenward.TokenRequest{}), "missing_refresh_token")
		if u, err := r.client.GetUser(context.Background(), tokenward.SessionID(id)); u != nil || err != nil {
			t.Errorf("GetUser = %v, %v", u, err)
		}
		r.rest()
		if err := r.client.Ready(context.Background()); err == nil {
			t.Error("Ready says nothing of it")
		}
		for _, wait := range []time.Duration{50, 100, 200} { // each up to a quarter more
			if _, err := r.stored(id); err != nil {
				t.Fatal("deleted too early")
			}
			r.rest()
			r.clock.Advance(wait * time.Millisecond * 5 / 4)
			r.rest()
		}
		r.wantGone(id)
		r.want("deletes", r.store.Ends(), 4)
		if err := r.client.Ready(context.Background()); err != nil {
			t.Errorf("Ready: %v", err)
		}
	})
}

// A login while a failed deletion waits for its next try: the new session stays.
func TestGenerations_aLoginAfterADeletionThatFailed(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.store.Fail(storetest.OpEnd, 1)
		if err := <-r.logout(id); err == nil {
			t.Error("Logout succeeded")
		}
		r.loginAs(tokenward.SessionID(id))
		r.pass(10)
		r.token(id, tokenward.TokenRequest{})
		r.want("deletes", r.store.Ends(), 1)
		if err := r.client.Ready(context.Background()); err != nil {
			t.Errorf("Ready: %v", err)
		}
		r.wantLiving(id)
	})
}
