package idptest_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

func TestRotation_eachTokenIsWhatTheAnswerBeforeReturned(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		r := a.login(nil)
		for range 3 {
			next := a.refresh(r.str("refresh_token"))
			if next.status != 200 || next.str("refresh_token") == r.str("refresh_token") {
				t.Fatalf("refresh = %d %s, want a new refresh token", next.status, next.raw)
			}
			r = next
		}
		f := a.tenant.Family(idptest.Subject)
		if got, want := f.Serials(), []int{0, 1, 2}; !slices.Equal(got, want) {
			t.Errorf("presented = %v, want %v", got, want)
		}
		if n := a.tenant.PeakPerFamily(); n != 1 || f.Peak != 1 || f.InFlight != 0 {
			t.Errorf("at once = %d, of the family %d, now %d; want 1, 1, 0", n, f.Peak, f.InFlight)
		}
	})
}

func TestRotation_aTokenUsedAgainRevokesTheFamily(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		first := a.login(nil).str("refresh_token")
		other := a.login(nil, "login_hint", "grace").str("refresh_token")
		second := a.refresh(first).str("refresh_token")

		if r := a.refresh(first); r.status != 403 || r.str("error") != "invalid_grant" {
			t.Errorf("used again = %d %s, want invalid_grant", r.status, r.raw)
		}
		if r := a.refresh(second); r.str("error") != "invalid_grant" {
			t.Errorf("the newest of a revoked family = %d %s, want invalid_grant", r.status, r.raw)
		}
		if r := a.refresh(first); r.str("error") != "invalid_grant" {
			t.Errorf("used a third time = %d %s, want invalid_grant", r.status, r.raw)
		}
		if r := a.refresh(other); r.status != 200 {
			t.Errorf("another user's = %d %s, want 200", r.status, r.raw)
		}
		if a.tenant.FamilyAlive(idptest.Subject) || !a.tenant.FamilyAlive("grace") {
			t.Error("want the family dead, the other alive")
		}
		if r, n := a.tenant.Reuses(), a.tenant.RevokedFamilies(); r != 2 || n != 1 {
			t.Errorf("reuses, revoked = %d, %d, want 2, 1", r, n)
		}
		want := []idptest.Presentation{
			{Kind: idptest.Refresh, Serial: 0, Accepted: true},
			{Kind: idptest.Refresh, Serial: 0, Reused: true},
			{Kind: idptest.Refresh, Serial: 1},
			{Kind: idptest.Refresh, Serial: 0, Reused: true},
		}
		f := a.tenant.Families()[0]
		if !slices.Equal(f.Seen, want) || f.Reuses != 2 {
			t.Errorf("presented = %v, %d of them reuses, want %v, 2", f.Seen, f.Reuses, want)
		}
	})
}

func TestOverlap_thePreviousTokenHasOneMoreChild(t *testing.T) {
	clk := clock.NewFake(t0)
	a := inProcess(t, idptest.WithClock(clk), idptest.WithOverlap(10*time.Second))
	zero := a.login(nil).str("refresh_token")
	one := a.refresh(zero).str("refresh_token")

	clk.Advance(10*time.Second - 1)
	again := a.refresh(zero)
	if again.status != 200 || again.str("refresh_token") == one {
		t.Fatalf("the previous one = %d %s, want a new child", again.status, again.raw)
	}
	if r := a.refresh(again.str("refresh_token")); r.status != 200 {
		t.Errorf("that child = %d %s, want 200", r.status, r.raw)
	}
	if n := a.tenant.Reuses(); n != 0 {
		t.Errorf("reuses = %d, want 0", n)
	}
}

func TestOverlap_isOverAtItsEnd(t *testing.T) {
	clk := clock.NewFake(t0)
	a := inProcess(t, idptest.WithClock(clk), idptest.WithOverlap(10*time.Second))
	zero := a.login(nil).str("refresh_token")
	a.refresh(zero)

	clk.Advance(10 * time.Second)
	if r := a.refresh(zero); r.str("error") != "invalid_grant" || a.tenant.FamilyAlive(idptest.Subject) {
		t.Errorf("after the overlap = %d %s, want the family revoked", r.status, r.raw)
	}
}

func TestOverlap_isOfThePreviousTokenOnly(t *testing.T) {
	a := inProcess(t, idptest.WithClock(clock.NewFake(t0)), idptest.WithOverlap(time.Hour))
	zero := a.login(nil).str("refresh_token")
	one := a.refresh(zero).str("refresh_token")
	a.refresh(one)

	if r := a.refresh(zero); r.str("error") != "invalid_grant" || a.tenant.FamilyAlive(idptest.Subject) {
		t.Errorf("the one before the previous = %d %s, want the family revoked", r.status, r.raw)
	}
}

func TestWithoutRotation_aTokenIsGoodAnyNumberOfTimes(t *testing.T) {
	a := inProcess(t, idptest.WithoutRotation())
	token := a.login(nil).str("refresh_token")
	for range 3 {
		if r := a.refresh(token); r.status != 200 || r.str("refresh_token") != "" {
			t.Errorf("refresh = %d %s, want 200 without a refresh token", r.status, r.raw)
		}
	}
}

func TestRevocation(t *testing.T) {
	revoke := map[string]func(a *app, token, sid string) error{
		"by the user": func(a *app, _, _ string) error { return a.tenant.Revoke(idptest.Subject) },
		"by the sid":  func(a *app, _, sid string) error { return a.tenant.Revoke(sid) },
		"by the client": func(a *app, token, _ string) error {
			a.form("/oauth/revoke", "token", token)
			return nil
		},
	}
	for name, by := range revoke {
		t.Run(name, func(t *testing.T) {
			a := inProcess(t)
			r := a.login(nil)
			sid, _ := claims(t, r.str("id_token"))["sid"].(string)
			if err := a.tenant.Revoke("eve"); err == nil {
				t.Error("of a user who has not signed in: no error")
			}
			if err := by(a, r.str("refresh_token"), sid); err != nil {
				t.Error(err)
			}
			if r := a.refresh(r.str("refresh_token")); r.str("error") != "invalid_grant" {
				t.Errorf("refresh = %d %s, want invalid_grant", r.status, r.raw)
			}
			if n := a.tenant.Reuses(); n != 0 {
				t.Errorf("reuses = %d, want 0", n)
			}
		})
	}
}

func TestRefreshToken_isOfItsTenantAndClientOnly(t *testing.T) {
	a := inProcess(t, idptest.WithClient("other", "other-secret"))
	token := a.login(nil).str("refresh_token")
	for name, r := range map[string]answer{
		"made up":        a.refresh("rt_0_0_00000000000000000000000000000000"),
		"empty":          a.refresh(""),
		"another tenant": inProcess(t).refresh(token),
		"another client": a.refresh(token, "client_id", "other", "client_secret", "other-secret"),
	} {
		if r.str("error") != "invalid_grant" {
			t.Errorf("%s = %d %s, want invalid_grant", name, r.status, r.raw)
		}
	}
	if !a.tenant.FamilyAlive(idptest.Subject) {
		t.Error("the family is dead, want it alive")
	}
}

func TestWithoutOfflineAccess_noRefreshToken(t *testing.T) {
	a := inProcess(t)
	if r := a.login(nil, "scope", "openid"); r.str("refresh_token") != "" {
		t.Errorf("login = %s, want no refresh token", r.raw)
	}
	if f := a.tenant.Family(idptest.Subject); f.Alive {
		t.Errorf("family = %+v, want none", f)
	}
}
