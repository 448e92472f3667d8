package idptest_test

import (
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/tokenward/tokenward/idp/idptest"
)

func TestRequests_areCountedByKind(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		r := a.login(nil)
		a.connection(r.str("refresh_token"), "x")
		a.refresh(r.str("refresh_token"))
		a.refresh("nonsense")
		a.get(a.tenant.URL("/.well-known/jwks.json"))
		for k, want := range map[idptest.Kind]int{
			idptest.Any: 6, idptest.Authorize: 1, idptest.Token: 4, idptest.CodeExchange: 1, idptest.Refresh: 2,
			idptest.ConnectionExchange: 1, idptest.Spend: 3, idptest.JWKS: 1, idptest.Discovery: 0,
			idptest.Refresh.Of(idptest.Subject): 1, idptest.Refresh.Of("grace"): 0,
		} {
			if got := a.tenant.Requests(k); got != want {
				t.Errorf("%s: %d requests, want %d", k, got, want)
			}
		}
		if n := a.tenant.Refreshes(); n != 2 {
			t.Errorf("refreshes = %d, want 2", n)
		}
	})
}

func TestPeak_isTheMostAtOnce(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		h := a.tenant.Hold(idptest.Spend, idptest.BeforeGrant)
		var wg sync.WaitGroup
		wg.Go(func() { a.refresh(token) })
		wg.Go(func() { a.connection(token, "x") })
		a.wait(h, 2)
		if n := a.tenant.InFlight(idptest.Spend); n != 2 {
			t.Errorf("in flight = %d, want 2", n)
		}
		h.Release()
		wg.Wait()
		for name, n := range map[string]int{
			"peak": a.tenant.Peak(idptest.Spend), "of the user": a.tenant.Peak(idptest.Token.Of(idptest.Subject)),
			"per family": a.tenant.PeakPerFamily(), "of the family": a.tenant.Family(idptest.Subject).Peak,
		} {
			if n != 2 {
				t.Errorf("%s = %d, want 2", name, n)
			}
		}
		if n := a.tenant.InFlight(idptest.Any); n != 0 {
			t.Errorf("in flight = %d, want 0", n)
		}
	})
}

func TestPeak_ofOneAfterAnotherIsOne(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		for range 50 {
			token = a.refresh(token).str("refresh_token")
		}
		if n := a.tenant.PeakPerFamily(); n != 1 {
			t.Errorf("peak = %d, want 1", n)
		}
	}, idptest.WithOpaqueTokens())
}

func TestLastForm_isExactlyWhatWasSent(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		if f := a.tenant.LastForm(idptest.Refresh); f != nil {
			t.Errorf("before any: %v, want nil", f)
		}
		token := a.login(nil).str("refresh_token")
		a.refresh(token, "audience", "b", "scope", "x y")
		want := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "audience": {"b"}, "scope": {"x y"}}
		got := a.tenant.LastForm(idptest.Refresh)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("form = %v, want %v", got, want)
		}
		got["audience"][0] = "changed"
		if a.tenant.LastForm(idptest.Spend).Get("audience") != "b" {
			t.Error("a change to what LastForm returned changed the record")
		}
		if f := a.tenant.LastForm(idptest.Authorize); f.Get("state") != "the-state" {
			t.Errorf("authorize: %v", f)
		}
	})
}

func TestReset_forgetsWhatWasCounted(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		h := a.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		done := make(chan answer)
		go func() { done <- a.refresh(token) }()
		a.wait(h, 1)
		a.tenant.Reset()
		if n, now := a.tenant.Requests(idptest.Any), a.tenant.InFlight(idptest.Refresh); n != 0 || now != 1 {
			t.Errorf("requests, in flight = %d, %d, want 0, 1", n, now)
		}
		h.Release()
		r := <-done
		if n := a.tenant.InFlight(idptest.Any); n != 0 {
			t.Errorf("in flight = %d, want 0", n)
		}
		if f := a.tenant.Family(idptest.Subject); len(f.Seen) != 0 || !f.Alive {
			t.Errorf("family = %+v, want it alive and nothing seen", f)
		}
		if r = a.refresh(r.str("refresh_token")); r.status != 200 || a.tenant.Refreshes() != 1 {
			t.Errorf("refresh = %d, counted %d, want 200, 1", r.status, a.tenant.Refreshes())
		}
	})
}

func TestSecretsIn_findsWhatALogMustNotHold(t *testing.T) {
	a := inProcess(t)
	r := a.login(nil)
	ct := a.connection(r.str("refresh_token"), "google-oauth2", "login_hint", "x@y.example").str("access_token")
	code := a.code(nil)
	a.tenant.Set(idptest.WithOpaqueTokens())
	at := a.refresh(r.str("refresh_token")).str("access_token")
	tests := []struct{ text, want string }{
		{"nothing to see: client, code, sid_1", ""},
		{"rt " + r.str("refresh_token"), "refresh token"},
		{url.Values{"code": {code}}.Encode(), "code"},
		{`{"access_token":"` + at, "access token"},
		{"Bearer " + r.str("access_token")[:120], "JWT"},
		{ct, "connection token"},
		{"secret=" + idptest.ClientSecret, "client secret"},
		{verifier, "verifier"},
	}
	for _, tt := range tests {
		if got := strings.Join(a.tenant.SecretsIn("msg="+tt.text+" end"), ", "); got != tt.want {
			t.Errorf("SecretsIn(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}
