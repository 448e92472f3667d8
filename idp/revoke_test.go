package idp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

const revoke = "/revoke"

// revoker is a rig whose provider revokes.
func revoker(t *testing.T, edit ...func(*idp.Config)) *rig {
	r := newRig(t, edit...)
	r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"revocation_endpoint": "https://tenant.example/revoke"}))
	r.answer(revoke, 200, "")
	return r
}

func TestRevoke(t *testing.T) {
	r := revoker(t)
	if err := r.client.Revoke(t.Context(), "tenant.example", refreshToken); err != nil {
		t.Fatal(err)
	}
	want := url.Values{"token": {refreshToken}, "token_type_hint": {"refresh_token"}, "client_id": {clientID}}
	if r.form.Encode() != want.Encode() || r.header.Get("Authorization") != basic {
		t.Errorf("form %v, Authorization %q, want %v, %q", r.form, r.header.Get("Authorization"), want, basic)
	}
	r.wantCount(revoke, 1)

	r = revoker(t, func(cfg *idp.Config) { cfg.SigningKey = ecKey() })
	if err := r.client.Revoke(t.Context(), issuer, refreshToken); err != nil || r.form.Get("client_assertion") == "" {
		t.Errorf("with a key: %v, form %v", err, r.form)
	}
}

func TestRevoke_fails(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   session.Code
	}{
		{"refused", 400, `{"error":"unsupported_token_type","error_description":"no"}`, "unsupported_token_type"},
		{"client refused", 401, `{"error":"invalid_client"}`, "invalid_client"},
		{"refused without a word", 400, `{}`, idp.CodeRevocationError},
		{"down", 503, `<html>`, idp.CodeRevocationError},
		{"redirect", 307, ``, idp.CodeRevocationError},
		{"204", 204, ``, idp.CodeRevocationError},
		{"quotes the token", 400, `{"error":"` + refreshToken + `","error_description":"` + refreshToken + ` is odd"}`, "[redacted]"},
	}
	for _, tt := range tests {
		r := revoker(t)
		r.handle(revoke, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://evil.example/")
			w.WriteHeader(tt.status)
			fmt.Fprint(w, tt.body)
		})
		err := r.client.Revoke(t.Context(), issuer, refreshToken)
		var api *session.APIError
		if !errors.As(err, &api) || api.Code != tt.want || api.Status != tt.status {
			t.Errorf("%s: %v, want %s with status %d", tt.name, err, tt.want, tt.status)
		}
		wantNoSecret(t, tt.name, err, canaries...)
		r.wantCount(revoke, 1)
		r.wantCount("/", 0)
	}
}

func TestRevoke_asksNobody(t *testing.T) {
	r := newRig(t)
	if err := r.client.Revoke(t.Context(), issuer, refreshToken); verdict(err) != "configuration_error" {
		t.Errorf("no endpoint: %v, want configuration_error", err)
	}
	r.answer(metadata, 500, "")
	if err := r.client.Revoke(t.Context(), "other.example", refreshToken); verdict(err) != "metadata_error" {
		t.Errorf("no metadata: %v, want metadata_error", err)
	}
	r = revoker(t)
	if err := r.client.Revoke(t.Context(), issuer, ""); !errors.Is(err, &session.MissingRequiredArgumentError{Argument: "refresh_token"}) {
		t.Errorf("no token: %v, want MissingRequiredArgumentError", err)
	}
	r.wantCount(metadata, 0)
	r = revoker(t, func(cfg *idp.Config) { cfg.ClientSecret = "" })
	if err := r.client.Revoke(t.Context(), issuer, refreshToken); verdict(err) != "ConfigurationError" {
		t.Errorf("no secret: %v, want a ConfigurationError", err)
	}
	r.wantCount(revoke, 0)
}

func TestRevoke_networkFails(t *testing.T) {
	broken := errors.New("connection reset, token " + refreshToken)
	r := revoker(t)
	r.fail(revoke, broken)
	err := r.client.Revoke(t.Context(), issuer, refreshToken)
	if verdict(err) != string(idp.CodeRevocationError) || !errors.Is(err, broken) {
		t.Errorf("err = %v, want revocation_error by %v", err, broken)
	}
	wantNoSecret(t, "network", err, canaries...)
}

func TestRevoke_hangEndsByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := revoker(t)
		r.hang(revoke)
		wait := all(1, func(int) error { return r.client.Revoke(t.Context(), issuer, refreshToken) })
		synctest.Wait()
		r.clock.Advance(10 * time.Second)
		if err := wait()[0]; verdict(err) != string(idp.CodeRevocationError) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want revocation_error and DeadlineExceeded", err)
		}
	})
}

func TestRevoke_endsTheFamilyAtTheTenant(t *testing.T) {
	v := newVisit(t, idptest.WithOpaqueTokens())
	login := v.login()
	next, err := v.refresh(t.Context(), login.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // again is no error
		if err := v.client.Revoke(t.Context(), v.tenant.Issuer(), next.RefreshToken); err != nil {
			t.Error(err)
		}
	}
	if _, err := v.refresh(t.Context(), next.RefreshToken); verdict(err) != "invalid_grant" {
		t.Errorf("a refresh afterwards: %v, want invalid_grant", err)
	}
	if n := v.tenant.RevokedFamilies(); n != 1 {
		t.Errorf("revoked families = %d, want 1", n)
	}
	v.tenant.Script(idptest.Revocation, idptest.Redirect(http.StatusTemporaryRedirect, ""))
	if err := v.client.Revoke(t.Context(), v.tenant.Issuer(), next.RefreshToken); verdict(err) != string(idp.CodeRevocationError) {
		t.Errorf("redirect: %v, want revocation_error", err)
	}
	if n := v.tenant.Requests(idptest.Trap); n != 0 {
		t.Errorf("requests that followed the redirect = %d, want 0", n)
	}
}
