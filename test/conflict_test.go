package test_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// twoClients tells story with two clients, a and b, on one shared store that has
// neither leases nor a feed. What they know of the session is its state after the login,
// and its token has expired.
func twoClients(t *testing.T, story func(t *testing.T, r *rig, a, b *tokenward.Client, id string), opts ...rigOption) {
	t.Helper()
	inBubble(t, func(t *testing.T, r *rig) {
		shared := tokenward.WithStateStore(storetest.Without[store.Leaser](storetest.Without[store.ChangeFeed](r.store)))
		r.replaceClient(shared)
		id := r.login()
		other := r.newClient(shared)
		r.expire()
		for _, c := range []*tokenward.Client{r.client, other} {
			if u, err := c.GetUser(context.Background(), tokenward.SessionID(id)); u == nil || err != nil {
				t.Fatalf("GetUser = %v, %v", u, err)
			}
		}
		story(t, r, r.client, other, id)
	}, append([]rigOption{func(c *rigConfig) { c.memory = append(c.memory, store.Shared()) }}, opts...)...)
}

// Neither spent a refresh token: what both won is kept.
func TestConflict_bothAdd(t *testing.T) {
	twoClients(t, func(t *testing.T, r *rig, a, b *tokenward.Client, id string) {
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		ca := askOf(context.Background(), a, id, tokenward.TokenRequest{Audience: audience(1)})
		cb := askOf(context.Background(), b, id, tokenward.TokenRequest{Audience: audience(2)})
		r.rest()
		r.want("requests on the wire", hold.Held(), 2)
		hold.Release()
		for _, c := range []*caller{ca, cb} {
			if _, err := c.wait(); err != nil {
				t.Error(err)
			}
		}
		r.rest()
		s, err := r.stored(id)
		if err != nil {
			t.Fatal(err)
		}
		r.want("token sets", len(s.TokenSets), 3)
		r.want("requests", r.tenant.Refreshes(), 2)
		r.want("updates: two, and the one that met the other", r.store.Updates(), 3)
		for _, c := range []*tokenward.Client{a, b} {
			if err := c.Ready(context.Background()); err != nil {
				t.Errorf("Ready = %v", err)
			}
		}
	}, withTenant(idptest.WithoutRotation()))
}

// Only one rotated: its refresh token stays, in whichever order the two wrote.
func TestConflict_oneRotates(t *testing.T) {
	for _, first := range []string{"the exchange", "the refresh"} {
		t.Run(first, func(t *testing.T) {
			twoClients(t, func(t *testing.T, r *rig, a, b *tokenward.Client, id string) {
				refreshes := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
				exchanges := r.tenant.Hold(idptest.ConnectionExchange, idptest.AfterGrant)
				before := r.refreshToken(id)
				r.client = a
				ca := r.exchange(context.Background(), id, "google-oauth2") // does not rotate
				r.rest()
				cb := askOf(context.Background(), b, id, tokenward.TokenRequest{})
				r.rest()
				order := []*idptest.Hold{exchanges, refreshes}
				if first == "the refresh" {
					order[0], order[1] = order[1], order[0]
				}
				for _, h := range order {
					h.Release()
					r.rest()
				}
				if _, err := ca.wait(); err != nil {
					t.Error(err)
				}
				if _, err := cb.wait(); err != nil {
					t.Error(err)
				}
				s, err := r.stored(id)
				if err != nil {
					t.Fatal(err)
				}
				if s.RefreshToken == before {
					t.Error("the rotated refresh token was lost")
				}
				r.want("token sets", len(s.TokenSets), 1)
				r.client = b
				r.tenant.Reset() // two at once are what this is about
				r.wantLiving(id)
			})
		})
	}
}

// Both spent the same refresh token within the provider's overlap: one child stays,
// and both clients go on with it.
func TestConflict_bothRotate(t *testing.T) {
	twoClients(t, func(t *testing.T, r *rig, a, b *tokenward.Client, id string) {
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		ca := askOf(context.Background(), a, id, tokenward.TokenRequest{})
		r.rest()
		cb := askOf(context.Background(), b, id, tokenward.TokenRequest{})
		r.rest()
		r.want("requests on the wire", hold.Held(), 2)
		hold.Next()
		r.rest()
		kept := r.refreshToken(id)
		hold.Release()
		ta, err := ca.wait()
		if err != nil {
			t.Fatal(err)
		}
		tb, err := cb.wait()
		if err != nil {
			t.Fatal(err)
		}
		if ta.AccessToken != tb.AccessToken {
			t.Error("the second client does not answer from what the first has stored")
		}
		r.rest()
		if r.refreshToken(id) != kept {
			t.Error("the stored refresh token has changed")
		}
		r.want("requests", r.tenant.Refreshes(), 2)
		r.tenant.Set(idptest.WithOverlap(0))
		r.client = b
		r.tenant.Reset() // two at once are what this is about
		r.wantLiving(id)
	}, withTenant(idptest.WithOverlap(time.Hour)))
}

// The provider refuses a refresh token that another process has rotated: the record is
// read again, once, and what it has is used.
func TestConflict_invalidGrant(t *testing.T) {
	twoClients(t, func(t *testing.T, r *rig, a, b *tokenward.Client, id string) {
		ta, err := askOf(context.Background(), a, id, tokenward.TokenRequest{}).wait()
		if err != nil {
			t.Fatal(err)
		}
		// The same query: answered from what the other has stored.
		r.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_grant", ""))
		loads := r.store.Loads()
		tb, err := askOf(context.Background(), b, id, tokenward.TokenRequest{}).wait()
		if err != nil || ta.AccessToken != tb.AccessToken {
			t.Errorf("same query: same token %v, err %v", ta.AccessToken == tb.AccessToken, err)
		}
		if n := r.store.Loads() - loads; n > 1 {
			t.Errorf("loads = %d, want 1", n)
		}
		r.wantLiving(id)
	})
}

func TestConflict_invalidGrantForAnotherQuery(t *testing.T) {
	twoClients(t, func(t *testing.T, r *rig, a, b *tokenward.Client, id string) {
		if _, err := askOf(context.Background(), a, id, tokenward.TokenRequest{}).wait(); err != nil {
			t.Fatal(err)
		}
		r.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_grant", ""))
		if _, err := askOf(context.Background(), b, id, tokenward.TokenRequest{Audience: audience(1)}).wait(); err != nil {
			t.Errorf("another query: %v", err)
		}
		r.want("requests", r.tenant.Refreshes(), 3)
		r.client = b
		r.wantLiving(id)
	})
}

// A refusal that stands is told, and asked for once only: the refresh token is dropped, and the
// session stays.
func TestConflict_invalidGrantThatStands(t *testing.T) {
	twoClients(t, func(t *testing.T, r *rig, a, _ *tokenward.Client, id string) {
		r.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_grant", "").Always())
		_, err := askOf(context.Background(), a, id, tokenward.TokenRequest{}).wait()
		r.wantCode("caller", err, "refresh_token_error")
		r.want("requests", r.tenant.Refreshes(), 1)
		if u, err := a.GetUser(context.Background(), tokenward.SessionID(id)); u == nil || err != nil {
			t.Errorf("GetUser = %v, %v: the session must stay", u, err)
		}
		r.client = a
		r.wantCode("a caller afterwards", r.tokenErr(id, tokenward.TokenRequest{}), "missing_refresh_token")
		r.want("requests", r.tenant.Refreshes(), 1)
		if r.refreshToken(id) != "" {
			t.Error("the store keeps a refresh token that is dead")
		}
	})
}

// While the record cannot be read again the refusal is told as it is.
func TestConflict_invalidGrantWhileTheStoreIsDown(t *testing.T) {
	twoClients(t, func(t *testing.T, r *rig, a, _ *tokenward.Client, id string) {
		r.tenant.Script(idptest.Refresh, idptest.OAuthError("invalid_grant", ""))
		r.store.Inject(storetest.Fault{Op: storetest.OpLoad, Err: storetest.ErrFault})
		_, err := askOf(context.Background(), a, id, tokenward.TokenRequest{}).wait()
		if code := tokenward.CodeOf(err); code != "refresh_token_error" && code != "store_error" {
			t.Errorf("err = %v", err)
		}
		r.store.Heal()
		r.wantLiving(id)
	})
}

// Another process has ended the session while a request was on the wire.
func TestConflict_loggedOutElsewhere(t *testing.T) {
	for name, p := range points {
		t.Run(name, func(t *testing.T) {
			twoClients(t, func(t *testing.T, r *rig, a, b *tokenward.Client, id string) {
				hold := r.tenant.Hold(idptest.Refresh, p)
				c := askOf(context.Background(), b, id, tokenward.TokenRequest{})
				r.rest()
				if _, err := a.Logout(context.Background(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
					t.Fatal(err)
				}
				hold.Release()
				_, err := c.wait()
				r.wantCode("caller", err, "missing_session")
				r.rest()
				r.wantGone(id)
				_, err = askOf(context.Background(), b, id, tokenward.TokenRequest{}).wait()
				r.wantCode("a later call", err, "missing_refresh_token")
				if u, err := b.GetUser(context.Background(), tokenward.SessionID(id)); u != nil || err != nil {
					t.Errorf("GetUser = %v, %v", u, err)
				}
			})
		})
	}
}

// Another process has reached the ceiling first: the tombstone says why.
func TestConflict_ceilingElsewhere(t *testing.T) {
	twoClients(t, func(t *testing.T, r *rig, _, b *tokenward.Client, id string) {
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		c := askOf(context.Background(), b, id, tokenward.TokenRequest{})
		r.rest()
		if err := r.memory.End(context.Background(), key(id), session.Incarnation{}, store.Ending{Reason: session.ReasonCeiling}, store.Options{}); err != nil {
			t.Fatal(err)
		}
		hold.Release()
		_, err := c.wait()
		r.wantCode("caller", err, "session_expired")
		r.rest()
		r.wantGone(id)
	}, withTenant(idptest.WithUser(idptest.Subject, until(idptest.TokenLife+session.CeilingLeeway+time.Second))))
}

// Another process has signed a user in under the same id.
func TestConflict_loginElsewhere(t *testing.T) {
	for name, p := range points {
		t.Run(name, func(t *testing.T) {
			twoClients(t, func(t *testing.T, r *rig, _, b *tokenward.Client, id string) {
				hold := r.tenant.Hold(idptest.Refresh, p)
				c := askOf(context.Background(), b, id, tokenward.TokenRequest{})
				r.rest()
				r.tenant.SetUser("auth0|bob", nil)
				r.tenant.Set(idptest.WithDefaultUser("auth0|bob"))
				r.loginAs(tokenward.SessionID(id))
				login := r.refreshToken(id)
				hold.Release()
				_, err := c.wait()
				r.wantCode("caller", err, "missing_session")
				r.rest()
				if r.refreshToken(id) != login {
					t.Error("the new session's refresh token has changed")
				}
				u, err := b.GetUser(context.Background(), tokenward.SessionID(id))
				if err != nil || u.Sub() != "auth0|bob" {
					t.Errorf("GetUser = %v, %v, want bob", u, err)
				}
				r.client = b
				r.wantLiving(id)
			})
		})
	}
}

// A refresh token that could not be saved is merged into the record that another process has written since.
func TestConflict_anUnsavedRefreshTokenSurvives(t *testing.T) {
	twoClients(t, func(t *testing.T, r *rig, a, b *tokenward.Client, id string) {
		before := r.refreshToken(id)
		r.store.Fail(storetest.OpUpdate, 1)
		if _, err := askOf(context.Background(), a, id, tokenward.TokenRequest{}).wait(); err != nil {
			t.Fatal(err)
		}
		r.rest()
		if r.refreshToken(id) != before {
			t.Fatal("the save did not fail")
		}
		r.tenant.Set(idptest.WithOverlap(time.Hour)) // an exchange with the old one is let through
		r.client = b
		if _, err := r.exchange(context.Background(), id, "google-oauth2").wait(); err != nil {
			t.Fatal(err)
		}
		r.pass(10)
		s, err := r.stored(id)
		if err != nil {
			t.Fatal(err)
		}
		if s.RefreshToken == before {
			t.Error("the rotated refresh token was lost")
		}
		r.want("connection token sets", len(s.ConnectionTokenSets), 1)
		r.tenant.Set(idptest.WithOverlap(0))
		r.client = a
		r.wantLiving(id)
	}, withTenant(idptest.WithOverlap(time.Hour)))
}

// A login whose write has an unknown outcome: the record decides whose session it is.
func TestConflict_aLoginOfUnknownOutcome(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.tenant.SetUser("auth0|bob", nil)
		r.tenant.Set(idptest.WithDefaultUser("auth0|bob"))
		r.store.FailAfter(storetest.OpReplace, 1)
		if _, err := r.tryLogin(tokenward.SessionID(id)); !errors.Is(err, tokenward.ErrStore) {
			t.Errorf("login: err = %v, want %v", err, tokenward.ErrStore)
		}
		r.rest()
		s, err := r.stored(id)
		u, uerr := r.client.GetUser(context.Background(), tokenward.SessionID(id))
		if uerr != nil {
			t.Fatal(uerr)
		}
		switch {
		case err != nil && u != nil:
			t.Errorf("the store has no session, the client has one of %v", u.Sub())
		case err == nil && (u == nil || u.Sub() != s.User.Sub()):
			t.Errorf("the store has a session of %v, the client one of %v", s.User.Sub(), u.Sub())
		}
	})
}
