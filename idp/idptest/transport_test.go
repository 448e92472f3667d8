package idptest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

func TestTransport_aBubbleComesToRestWhileARequestIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inProcess(t)
		token := a.login(nil).str("refresh_token")
		h := a.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		done := make(chan answer, 1)
		go func() { done <- a.refresh(token) }()
		synctest.Wait()
		if h.Held() != 1 || len(done) != 0 {
			t.Fatalf("held, done = %d, %d, want 1, 0", h.Held(), len(done))
		}
		h.Release()
		synctest.Wait()
		if r := <-done; r.status != 200 {
			t.Errorf("released = %d %s, %v", r.status, r.raw, r.err)
		}
	})
}

func TestTransport_timeInABubbleIsTheTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := clock.System()
		a := inProcess(t, idptest.WithClock(clk), idptest.WithLatency(time.Minute))
		start := clk.Now()
		r := a.login(nil)
		a.tenant.Script(idptest.Refresh, idptest.SlowBody(len(r.raw)/10, time.Second), idptest.Delay(time.Hour))
		r = a.refresh(r.str("refresh_token"))
		if d := clk.Now().Sub(start).Truncate(10 * time.Second); r.status != 200 || d < 2*time.Minute {
			t.Errorf("two requests, one slow = %d after %s", r.status, d)
		}
		r = a.refresh(r.str("refresh_token"))
		if d := clk.Now().Sub(start); r.status != 200 || d < time.Hour {
			t.Errorf("a delayed one = %d after %s", r.status, d)
		}
	})
}

func TestTransport_theCallersContextEndsEveryWait(t *testing.T) {
	waits := map[string]func(*idptest.Tenant){
		"latency":     func(tn *idptest.Tenant) { tn.Set(idptest.WithLatency(time.Hour)) },
		"held before": func(tn *idptest.Tenant) { tn.Hold(idptest.Refresh, idptest.BeforeGrant) },
		"held after":  func(tn *idptest.Tenant) { tn.Hold(idptest.Refresh, idptest.AfterGrant) },
		"hangs":       func(tn *idptest.Tenant) { tn.Script(idptest.Refresh, idptest.Hang()) },
		"delay":       func(tn *idptest.Tenant) { tn.Script(idptest.Refresh, idptest.Delay(time.Hour)) },
		"slow body":   func(tn *idptest.Tenant) { tn.Script(idptest.Refresh, idptest.SlowBody(1, time.Hour)) },
	}
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := inProcess(t)
				token := a.login(nil).str("refresh_token")
				wait(a.tenant)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if r := a.refreshWith(ctx, token); !errors.Is(r.err, context.DeadlineExceeded) {
					t.Errorf("err = %v, want %v", r.err, context.DeadlineExceeded)
				}
				if n := a.tenant.InFlight(idptest.Any); n != 0 {
					t.Errorf("in flight = %d, want 0", n)
				}
			})
		})
	}
}

func TestTransport_theTenantsEndEndsEveryWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inProcess(t)
		token := a.login(nil).str("refresh_token")
		a.tenant.Script(idptest.Refresh, idptest.SlowBody(1, time.Hour))
		done := make(chan answer, 1)
		go func() { done <- a.refresh(token) }()
		synctest.Wait()
		a.tenant.Close()
		if r := <-done; !errors.Is(r.err, syscall.ECONNRESET) {
			t.Errorf("err = %v, want %v", r.err, syscall.ECONNRESET)
		}
		if r := a.refresh(token); !errors.Is(r.err, syscall.ECONNREFUSED) {
			t.Errorf("after Close: err = %v, want %v", r.err, syscall.ECONNREFUSED)
		}
	})
}

func TestTransport_reachesItsOwnTenantOnly(t *testing.T) {
	a := inProcess(t, idptest.WithIssuer("https://other.example/tenants/7/"))
	if got, want := a.tenant.Issuer(), "https://other.example/tenants/7/"; got != want {
		t.Errorf("issuer = %s, want %s", got, want)
	}
	if r := a.get(a.tenant.URL("/.well-known/openid-configuration")); r.str("token_endpoint") != "https://other.example/tenants/7/oauth/token" {
		t.Errorf("token_endpoint = %q", r.str("token_endpoint"))
	}
	a.login(nil)
	if r := a.get("https://tenant.example/authorize"); r.err == nil {
		t.Errorf("another host = %d, want an error", r.status)
	}
}

func TestTransport_aClosedBodyCannotBeRead(t *testing.T) {
	a := inProcess(t)
	resp, err := a.http.Get(a.tenant.URL("/.well-known/openid-configuration"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("err = %v, want another", err)
	}
}

func TestTransport_anEndedContextSendsNothing(t *testing.T) {
	a := inProcess(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.tenant.URL("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.tenant.Transport().RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want %v", err, context.Canceled)
	}
	if n := a.tenant.Requests(idptest.Any); n != 0 {
		t.Errorf("requests = %d, want 0", n)
	}
}

func TestSlowBody_theSocketHonoursAClientThatLeaves(t *testing.T) {
	a := &app{t, idptest.NewTenant(t, idptest.WithClock(clock.NewFake(t0))), &http.Client{Transport: &http.Transport{}}}
	token := a.login(nil).str("refresh_token")
	a.tenant.Script(idptest.Refresh, idptest.SlowBody(1, time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan answer)
	go func() { done <- a.refreshWith(ctx, token) }()
	a.await(idptest.Refresh, 1)
	cancel()
	if r := <-done; !errors.Is(r.err, context.Canceled) {
		t.Errorf("err = %v, want %v", r.err, context.Canceled)
	}
	a.tenant.Close() // returns only when nothing waits any more
}

func TestNew_saysWhatItCannotDo(t *testing.T) {
	taken := idptest.NewTenant(t)
	for name, opts := range map[string][]idptest.Option{
		"address in use": {idptest.WithAddress(taken.URL("")[len("http://"):])},
		"no issuer":      {idptest.WithIssuer("tenant")},
	} {
		if tenant, err := idptest.New(opts...); err == nil {
			tenant.Close()
			t.Errorf("%s: New succeeded", name)
		}
	}
}
