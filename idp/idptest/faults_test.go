package idptest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

// seen says what became of a request, in a few words.
func seen(r answer) string {
	switch {
	case errors.Is(r.err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(r.err, io.ErrUnexpectedEOF):
		return "cut"
	case r.err != nil:
		return r.err.Error()
	case r.body == nil:
		return http.StatusText(r.status) + ", no JSON"
	case r.str("error") != "":
		return r.str("error")
	}
	return http.StatusText(r.status)
}

func TestFaults_areWhatTheClientSees(t *testing.T) {
	tests := []struct {
		name  string
		fault idptest.Fault
		want  string
	}{
		{"none", idptest.OK(), "OK"},
		{"status", idptest.Status(503), "Service Unavailable, no JSON"},
		{"no content", idptest.Status(204), "No Content, no JSON"},
		{"OAuth error", idptest.OAuthError("invalid_request", "no"), "invalid_request"},
		{"second factor", idptest.MFARequired("token", []string{"otp"}), "mfa_required"},
		{"reset", idptest.ResetConn(), "reset"},
		{"cut", idptest.Cut(), "cut"},
		{"truncated", idptest.Truncated(), "OK, no JSON"},
		{"garbage", idptest.Garbage(), "OK, no JSON"},
		{"a list", idptest.Respond(200, "application/json", "[]"), "OK, no JSON"},
		{"redirect", idptest.Redirect(307, ""), "Temporary Redirect, no JSON"},
	}
	overBoth(t, func(t *testing.T, a *app) {
		for _, tt := range tests {
			token := a.login(nil).str("refresh_token")
			a.tenant.Script(idptest.Refresh, tt.fault, tt.fault.AfterGrant())
			if got := seen(a.refresh(token)); got != tt.want {
				t.Errorf("%s, before the grant: seen %q, want %q", tt.name, got, tt.want)
			}
			if tt.name == "none" {
				token = a.login(nil).str("refresh_token")
			}
			if got := seen(a.refresh(token)); got != tt.want {
				t.Errorf("%s, after the grant: seen %q, want %q", tt.name, got, tt.want)
			}
			if !a.tenant.FamilyAlive(idptest.Subject) {
				t.Errorf("%s: before the grant it spent the token", tt.name)
			}
			if got := seen(a.refresh(token)); got != "invalid_grant" {
				t.Errorf("%s: after the grant it did not spend the token: seen %q", tt.name, got)
			}
		}
	})
}

func TestFaults_ofAnyEndpoint(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		a.tenant.Script(idptest.Any, idptest.ResetConn().Always())
		for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/jwks.json", "/authorize", "/oauth/token", "/v2/logout"} {
			if got := seen(a.get(a.tenant.URL(path))); got != "reset" {
				t.Errorf("%s: seen %q, want reset", path, got)
			}
		}
		a.tenant.Heal()
		a.tenant.Script(idptest.Discovery, idptest.Edit(func(body map[string]any) { delete(body, "token_endpoint") }))
		for i, want := range []bool{false, true} {
			_, has := a.get(a.tenant.URL("/.well-known/openid-configuration")).body["token_endpoint"]
			if has != want {
				t.Errorf("discovery %d: has token_endpoint = %v, want %v", i, has, want)
			}
		}
	})
}

func TestScript_isFollowedInOrder(t *testing.T) {
	a := inProcess(t)
	token := a.login(nil).str("refresh_token")
	a.login(nil, "login_hint", "grace")
	a.tenant.Script(idptest.Refresh.Of("grace"), idptest.Status(500).Always())
	a.tenant.Script(idptest.Refresh,
		idptest.Status(429).With("Retry-After", "2").Times(2),
		idptest.Status(500).When(func(f url.Values) bool { return f.Get("audience") == "b" }),
		idptest.Status(502),
	)
	for i, want := range []int{429, 429, 502, 200} {
		r := a.refresh(token)
		if r.status != want || (r.header.Get("Retry-After") == "2") != (want == 429) {
			t.Errorf("answer %d = %d, Retry-After %q, want %d", i, r.status, r.header.Get("Retry-After"), want)
		}
		if r.status == 200 {
			token = r.str("refresh_token")
		}
	}
	if r := a.refresh(token, "audience", "b"); r.status != 500 {
		t.Errorf("audience b = %d, want 500", r.status)
	}
	if r := a.refresh(token); r.status != 200 {
		t.Errorf("in the end = %d, want 200", r.status)
	}
}

func TestShapes_ofTheGoodAnswer(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		refresh := func(f idptest.Fault) answer {
			a.tenant.Script(idptest.Refresh, f)
			r := a.refresh(token)
			token = r.str("refresh_token")
			return r
		}
		for _, tt := range []struct {
			expiresIn any
			want      string
		}{
			{"3600", `"3600"`}, {-1, `-1`}, {json.Number("59.9"), `59.9`}, {json.RawMessage(`1e400`), `1e400`}, {nil, `null`},
		} {
			if r := refresh(idptest.ExpiresIn(tt.expiresIn)); !strings.Contains(r.raw, `"expires_in":`+tt.want+`,`) {
				t.Errorf("expires_in %v: %s", tt.expiresIn, r.raw)
			}
		}
		if _, has := refresh(idptest.ExpiresIn(idptest.Absent)).body["expires_in"]; has {
			t.Error("expires_in is there, want it absent")
		}
		if _, has := refresh(idptest.NoScope()).body["scope"]; has {
			t.Error("scope is there, want it absent")
		}
		if r := refresh(idptest.HugeBody(2 << 20)); len(r.raw) != 2<<20 || r.str("access_token") == "" {
			t.Errorf("huge body: %d bytes", len(r.raw))
		}
		if r := refresh(idptest.SlowBody(100, time.Nanosecond)); r.status != 200 || r.str("access_token") == "" {
			t.Errorf("slow body: %d %s, %v", r.status, r.raw, r.err)
		}
	})
}

func TestMFARequired_leavesOutWhatIsNotThere(t *testing.T) {
	a := inProcess(t)
	token := a.login(nil).str("refresh_token")
	a.tenant.Script(idptest.Refresh, idptest.MFARequired("m-1", map[string]any{"challenge": []string{"otp"}}), idptest.MFARequired("", nil))
	if r := a.refresh(token); r.status != 403 || r.str("mfa_token") != "m-1" || r.body["mfa_requirements"] == nil {
		t.Errorf("answer = %d %s", r.status, r.raw)
	}
	if r := a.refresh(token); r.str("error") != "mfa_required" || len(r.body) != 2 {
		t.Errorf("answer = %d %s, want no token", r.status, r.raw)
	}
}

func TestRedirect_tellsWhatFollowedIt(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		a.tenant.Script(idptest.Refresh, idptest.Redirect(http.StatusTemporaryRedirect, "").Always())
		a.refresh(token)
		if got := a.tenant.Spilled(); len(got) != 0 {
			t.Errorf("not followed: spilled %v", got)
		}
		a.http.CheckRedirect = nil
		a.refresh(token)
		if got := strings.Join(a.tenant.Spilled(), " "); got != "Authorization refresh_token" {
			t.Errorf("followed: spilled %q", got)
		}
		if n := a.tenant.Requests(idptest.Trap); n != 1 {
			t.Errorf("requests that were trapped = %d, want 1", n)
		}
	})
}

func TestHang_endsWithTheClient(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		a.tenant.Script(idptest.Refresh, idptest.Hang())
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gave up")
		done := make(chan answer)
		go func() { done <- a.refreshWith(ctx, token) }()
		a.await(idptest.Refresh, 1)
		cancel(gone)
		if r := <-done; !errors.Is(r.err, gone) {
			t.Errorf("err = %v, want %v", r.err, gone)
		}
		a.tenant.Close()
		if n := a.tenant.InFlight(idptest.Refresh); n != 0 {
			t.Errorf("in flight = %d, want 0", n)
		}
	})
}

func TestHeal_letsGoOfWhatHangs(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		a.tenant.Script(idptest.Refresh, idptest.Hang())
		done := make(chan answer)
		go func() { done <- a.refresh(token) }()
		a.await(idptest.Refresh, 1)
		a.tenant.Heal()
		if got := seen(<-done); got != "reset" {
			t.Errorf("seen %q, want reset", got)
		}
		if r := a.refresh(token); r.status != 200 {
			t.Errorf("afterwards = %d %s, want 200", r.status, r.raw)
		}
	})
}

func TestLatency_passesOnTheTenantsClock(t *testing.T) {
	clk := clock.NewFake(t0)
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("refresh_token")
		a.tenant.Set(idptest.WithLatency(time.Second))
		done := make(chan answer)
		go func() { done <- a.refresh(token) }()
		if err := clk.WaitTimers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		clk.Advance(time.Second)
		if r := <-done; r.status != 200 {
			t.Errorf("answer = %d %s, %v", r.status, r.raw, r.err)
		}
	}, idptest.WithClock(clk))
}
