package test_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

func TestLogout_revokesTheRefreshTokenWhenAsked(t *testing.T) {
	for _, revoke := range []bool{false, true} {
		var opts []tokenward.Option
		if revoke {
			opts = append(opts, tokenward.WithRevocation())
		}
		r := newRig(t, withClient(opts...))
		id := r.login()
		if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
		want := 0
		if revoke {
			want = 1
			if err := r.tenant.WaitRequests(t.Context(), idptest.Revocation, 1); err != nil {
				t.Fatal(err)
			}
		}
		r.close()
		if n := r.tenant.Requests(idptest.Revocation); n != want {
			t.Errorf("revocations = %d, want %d", n, want)
		}
		if alive := r.tenant.FamilyAlive(idptest.Subject); alive == revoke {
			t.Errorf("with revocation %v the family is alive: %v", revoke, alive)
		}
	}
}

func TestLogout_revokesWhatIsBeingRotated(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithRevocation()))
	id := r.login()
	r.clock.Advance(idptest.TokenLife)
	hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id))
		if code := tokenward.CodeOf(err); code != "missing_session" {
			t.Errorf("the caller of the refresh got %v, want missing_session", err)
		}
	})
	if err := hold.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		t.Fatal(err)
	}
	if n := r.tenant.Requests(idptest.Revocation); n != 0 {
		t.Errorf("revocations before the refresh was answered = %d, want 0", n)
	}
	hold.Release()
	if err := r.tenant.WaitRequests(t.Context(), idptest.Revocation, 1); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	r.close()
	if n := r.tenant.Requests(idptest.Revocation); n != 1 || r.tenant.FamilyAlive(idptest.Subject) {
		t.Errorf("revocations = %d, family alive %v, want 1 and not", n, r.tenant.FamilyAlive(idptest.Subject))
	}
}

func TestLogout_doesNotFailWhereRevocationDoes(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithRevocation()))
	id := r.login()
	r.tenant.Script(idptest.Revocation, idptest.Status(503))
	if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
		t.Error(err)
	}
	if err := r.tenant.WaitRequests(t.Context(), idptest.Revocation, 1); err != nil {
		t.Fatal(err)
	}
	r.close()
	if n := r.tenant.Requests(idptest.Revocation); n != 1 {
		t.Errorf("revocations = %d, want 1", n)
	}
}

func TestBackchannelLogout_aRepeatedTokenEndsNothing(t *testing.T) {
	r := newRig(t)
	r.login()
	token := r.tenant.LogoutToken(idptest.Subject, "", func(d *idptest.Draft) { d.Claims["jti"] = "once"; d.Claims["iat"] = t0.Unix() - 1 })
	if err := r.client.HandleBackchannelLogout(t.Context(), token, tokenward.StoreOptions{}); err != nil {
		t.Fatal(err)
	}
	again := r.login()
	if err := r.client.HandleBackchannelLogout(t.Context(), token, tokenward.StoreOptions{}); err != nil {
		t.Errorf("the token once more: %v, want success", err)
	}
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(again)); u == nil || err != nil {
		t.Errorf("a later login was ended by it: %v, %v", u, err)
	}
}

// close closes the client: requests under way complete first.
func (r *rig) close() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.client.Close(ctx); err != nil {
		r.t.Errorf("Close: %v", err)
	}
}
