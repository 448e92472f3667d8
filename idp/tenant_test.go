package idp_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

// visit is a client and a tenant with loopback HTTP between them.
type visit struct {
	t      *testing.T
	clock  *clock.Fake
	tenant *idptest.Tenant
	client *idp.Client
}

func newVisit(t *testing.T, opts ...idptest.Option) *visit {
	t.Helper()
	v := &visit{t: t, clock: clock.NewFake(t0)}
	v.tenant = idptest.NewTenant(t, append([]idptest.Option{idptest.WithClock(v.clock)}, opts...)...)
	v.client = must(idp.New(idp.Config{
		ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret, Clock: v.clock, Leeway: 30 * time.Second,
	}))
	t.Cleanup(v.client.Close)
	return v
}

// login signs in as a browser would, and exchanges the code.
func (v *visit) login() session.TokenResponse {
	v.t.Helper()
	verifier := "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01"
	const redirectURI = "http://127.0.0.1:3000/callback"
	to, err := v.client.Authorize(v.t.Context(), v.tenant.Issuer(), url.Values{
		"redirect_uri": {redirectURI}, "scope": {"openid profile offline_access"}, "state": {"st"},
		"code_challenge": {idp.Challenge(verifier)},
	})
	if err != nil {
		v.t.Fatal(err)
	}
	back := must(url.Parse(must(v.tenant.Authorize(to))))
	r, err := v.client.ExchangeCode(v.t.Context(), idp.CodeExchange{
		Issuer: v.tenant.Issuer(), Code: back.Query().Get("code"), RedirectURI: redirectURI, CodeVerifier: verifier,
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return r
}

func (v *visit) refresh(ctx context.Context, token string) (session.TokenResponse, error) {
	return v.client.Refresh(ctx, idp.RefreshRequest{Issuer: v.tenant.Issuer(), RefreshToken: token})
}

func TestTenant_theLifeOfALogin(t *testing.T) {
	v := newVisit(t, idptest.WithUser(idptest.Subject, idptest.Claims{"session_expiry": t0.Unix() + 5000}))
	login := v.login()

	user, err := v.client.VerifyIDToken(t.Context(), v.tenant.Issuer(), login.IDToken, idp.Expect{})
	if err != nil {
		t.Fatal(err)
	}
	if user["sub"] != idptest.Subject || user["session_expiry"] == nil {
		t.Errorf("user = %v", user)
	}

	next, err := v.refresh(t.Context(), login.RefreshToken)
	if err != nil || next.RefreshToken == "" || next.RefreshToken == login.RefreshToken || next.ExpiresIn != 3600 {
		t.Fatalf("refresh: %v, expires in %d", err, next.ExpiresIn)
	}
	if c := next.IDClaims; c == nil || c.Subject != idptest.Subject || !session.SameIssuer(c.Issuer, v.tenant.Issuer()) {
		t.Errorf("ID token of the refresh: %+v", c)
	}
	connection, err := v.client.ExchangeConnection(t.Context(), idp.ConnectionExchange{
		Issuer: v.tenant.Issuer(), RefreshToken: next.RefreshToken, Connection: "google-oauth2",
	})
	if err != nil || connection.AccessToken == "" {
		t.Errorf("connection: %v", err)
	}

	sid, _ := user["sid"].(string)
	out, err := v.client.VerifyLogoutToken(t.Context(), v.tenant.Issuer(), v.tenant.LogoutToken(idptest.Subject, sid))
	if err != nil || out.SID != sid || out.Subject != idptest.Subject || out.IssuedAt != t0.Unix() {
		t.Errorf("logout token = %+v, %v", out, err)
	}

	if _, err := v.refresh(t.Context(), login.RefreshToken); !errors.Is(err, &session.APIError{Code: "invalid_grant"}) {
		t.Errorf("a spent refresh token: %v, want invalid_grant", err)
	}
	if n := v.tenant.Requests(idptest.Discovery); n != 1 {
		t.Errorf("discoveries = %d, want 1", n)
	}
	if n := v.tenant.Requests(idptest.JWKS); n != 1 {
		t.Errorf("key fetches = %d, want 1", n)
	}
}

// Each fault of the network or the provider: one request, a typed error, and a
// refresh token that went nowhere else.
func TestTenant_faults(t *testing.T) {
	tests := []struct {
		name   string
		fault  idptest.Fault
		status int
		code   session.Code
	}{
		{"reset", idptest.ResetConn(), 0, session.CodeTokenError},
		{"cut", idptest.Cut(), 200, session.CodeTokenError},
		{"garbage", idptest.Garbage(), 200, session.CodeInvalidResponse},
		{"truncated", idptest.Truncated(), 200, session.CodeInvalidResponse},
		{"huge", idptest.HugeBody(1<<20 + 1), 200, session.CodeTokenError},
		{"302", idptest.Redirect(http.StatusFound, ""), 302, session.CodeTokenError},
		{"307", idptest.Redirect(http.StatusTemporaryRedirect, ""), 307, session.CodeTokenError},
		{"308", idptest.Redirect(http.StatusPermanentRedirect, ""), 308, session.CodeTokenError},
		{"503", idptest.Status(503), 503, session.CodeTokenError},
		{"503 after the grant", idptest.Status(503).AfterGrant(), 503, session.CodeTokenError},
		{"refused", idptest.OAuthError("invalid_grant", "no"), 403, "invalid_grant"},
		{"client refused", idptest.OAuthError("invalid_client", "no"), 401, "invalid_client"},
	}
	for _, tt := range tests {
		v := newVisit(t, idptest.WithOpaqueTokens())
		login := v.login()
		v.tenant.Script(idptest.Refresh, tt.fault)
		_, err := v.refresh(t.Context(), login.RefreshToken)
		var api *session.APIError
		if !errors.As(err, &api) || api.Code != tt.code || api.Status != tt.status {
			t.Errorf("%s: %v, want %s with status %d", tt.name, err, tt.code, tt.status)
		}
		wantNoSecret(t, tt.name, err, login.RefreshToken, idptest.ClientSecret)
		if n := v.tenant.Requests(idptest.Refresh); n != 1 {
			t.Errorf("%s: refreshes = %d, want 1", tt.name, n)
		}
		if spilled := v.tenant.Spilled(); len(spilled) != 0 {
			t.Errorf("%s: spilled %v", tt.name, spilled)
		}
	}
}

func TestTenant_unreachable(t *testing.T) {
	v := newVisit(t, idptest.WithOpaqueTokens())
	login := v.login()
	v.tenant.Close()
	_, err := v.refresh(t.Context(), login.RefreshToken)
	var api *session.APIError
	if !errors.As(err, &api) || api.Code != session.CodeTokenError || api.Status != 0 {
		t.Errorf("err = %v, want token_error", err)
	}
	wantNoSecret(t, "unreachable", err, login.RefreshToken, idptest.ClientSecret)
}

// A header that never ends is given up after as much as a body.
func TestTenant_endlessHeader(t *testing.T) {
	v := newVisit(t)
	v.tenant.Script(idptest.Discovery, idptest.EndlessHeader().Always())
	_, err := v.client.Metadata(t.Context(), v.tenant.Issuer())
	if err == nil || !strings.Contains(err.Error(), "exceeded 1048576 bytes") {
		t.Errorf("err = %v, want one that says how much was read", err)
	}
}

func TestTenant_hang(t *testing.T) {
	v := newVisit(t, idptest.WithOpaqueTokens())
	login := v.login()
	hold := v.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
	defer hold.Release()
	wait := all(1, func(int) error {
		ctx, cancel := clock.WithTimeout(t.Context(), v.clock, 10*time.Second)
		defer cancel()
		_, err := v.refresh(ctx, login.RefreshToken)
		return err
	})
	if err := hold.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	v.clock.Advance(10 * time.Second)
	if err := wait()[0]; !errors.Is(err, context.DeadlineExceeded) || verdict(err) != "token_error" {
		t.Errorf("err = %v, want token_error and DeadlineExceeded", err)
	}
}

func TestTenant_slowBody(t *testing.T) {
	v := newVisit(t, idptest.WithOpaqueTokens())
	login := v.login()
	v.tenant.Script(idptest.Refresh, idptest.SlowBody(1, time.Hour))
	wait := all(1, func(int) error {
		ctx, cancel := clock.WithTimeout(t.Context(), v.clock, 10*time.Second)
		defer cancel()
		_, err := v.refresh(ctx, login.RefreshToken)
		return err
	})
	if err := v.clock.WaitTimers(t.Context(), 2); err != nil { // the deadline and the pause
		t.Fatal(err)
	}
	v.clock.Advance(10 * time.Second)
	if err := wait()[0]; !errors.Is(err, context.DeadlineExceeded) || verdict(err) != "token_error" {
		t.Errorf("err = %v, want token_error and DeadlineExceeded", err)
	}
}

func TestTenant_pushedRequestAndAssertion(t *testing.T) {
	v := newVisit(t, idptest.WithClientKey("signer", &rsaKey().PublicKey))
	signer := must(idp.New(idp.Config{ClientID: "signer", SigningKey: rsaKey(), Clock: v.clock}))
	t.Cleanup(signer.Close)
	to, err := signer.PushAuthorization(t.Context(), v.tenant.Issuer(), url.Values{
		"redirect_uri": {"http://127.0.0.1:3000/callback"}, "scope": {"openid"}, "state": {"st"},
		"code_challenge": {idp.Challenge(verifier)},
	})
	if err != nil {
		t.Fatal(err)
	}
	back := must(url.Parse(must(v.tenant.Authorize(to))))
	r, err := signer.ExchangeCode(t.Context(), idp.CodeExchange{
		Issuer: v.tenant.Issuer(), Code: back.Query().Get("code"), RedirectURI: "http://127.0.0.1:3000/callback", CodeVerifier: verifier,
	})
	if err != nil || r.AccessToken == "" {
		t.Fatalf("exchange: %v", err)
	}
	if got := v.tenant.LastAuth(idptest.CodeExchange); got != idptest.AuthPrivateKey {
		t.Errorf("authenticated by %s, want %s", got, idptest.AuthPrivateKey)
	}
}
