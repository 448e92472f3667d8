package test_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

func TestLogin_nonceIsSentAndRequiredWhenSwitchedOn(t *testing.T) {
	r := newRig(t, withClient(withProvider(tokenward.ProviderConfig{Nonce: tokenward.Always})))
	r.login()

	to, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(to)
	if err != nil || len(at.Query().Get("nonce")) != 32 {
		t.Fatalf("nonce in %v (%v), want 32 characters", at.Query(), err)
	}
	back, err := r.tenant.Authorize(to, idptest.Claims{"nonce": "another"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.client.CompleteInteractiveLogin(t.Context(), back, tokenward.StoreOptions{})
	if got := tokenward.CodeOf(err); got != "invalid_token" {
		t.Errorf("with another nonce: %v, want invalid_token", err)
	}
}

func TestLogin_noNonceByDefault(t *testing.T) {
	r := newRig(t)
	to, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
	if err != nil || strings.Contains(to, "nonce=") {
		t.Errorf("start: %s, %v, want no nonce", to, err)
	}
}

func TestLogin_refusesACallbackFromAnotherIssuer(t *testing.T) {
	r := newRig(t)
	for _, answer := range []string{"code=x", "error=access_denied"} {
		to, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
		if err != nil {
			t.Fatal(err)
		}
		at, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		back := "http://127.0.0.1/callback?" + answer + "&state=" + at.Query().Get("state") + "&iss=https%3A%2F%2Fevil.example%2F"
		_, err = r.client.CompleteInteractiveLogin(t.Context(), back, tokenward.StoreOptions{})
		var issuer *tokenward.IssuerValidationError
		if !errors.As(err, &issuer) {
			t.Errorf("%s: %v, want an IssuerValidationError", answer, err)
		}
	}
	if n := r.tenant.Requests(idptest.CodeExchange); n != 0 {
		t.Errorf("code exchanges = %d, want 0", n)
	}
}

func TestLogin_aCallerWhoLeavesIsNobodysOutage(t *testing.T) {
	r := newRig(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.client.StartInteractiveLogin(gone, tokenward.LoginRequest{}, tokenward.StoreOptions{}); !errors.Is(err, context.Canceled) || tokenward.CodeOf(err) != "" {
		t.Errorf("start: %v, want the context's error alone", err)
	}
	if _, err := r.client.CompleteInteractiveLogin(gone, "http://127.0.0.1/callback?code=x&state=y", tokenward.StoreOptions{}); err == nil {
		t.Error("complete: no error")
	}
}

func TestLogout_tellsTheProviderWhoseSessionEnds(t *testing.T) {
	r := newRig(t, withClient(withProvider(tokenward.ProviderConfig{EndSession: tokenward.Always})))
	id := r.login()
	s, err := r.client.GetSession(t.Context(), tokenward.SessionID(id))
	if err != nil {
		t.Fatal(err)
	}
	to, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{ReturnTo: "https://app.example/bye"}, tokenward.SessionID(id))
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	q := at.Query()
	if q.Get("id_token_hint") != s.IDToken || q.Get("post_logout_redirect_uri") != "https://app.example/bye" {
		t.Errorf("logout URL has hint %v, return %q", q.Get("id_token_hint") == s.IDToken, q.Get("post_logout_redirect_uri"))
	}
	if got, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); got != nil || err != nil {
		t.Errorf("after logout: user %v, %v", got, err)
	}
}
