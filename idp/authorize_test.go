package idp_test

import (
	"errors"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

func TestAuthorize(t *testing.T) {
	r := newRig(t)
	params := url.Values{
		"redirect_uri": {"https://app.example/callback?x=1&y=2"}, "scope": {"openid offline_access"}, "state": {"st"},
		"audience": {"https://api.example"}, "prompt": {"login"}, "code_challenge": {idp.Challenge(verifier)},
		"response_type": {"token"}, "client_id": {"other"}, "code_challenge_method": {"plain"},
		"client_secret": {"x"}, "client_assertion": {"x"}, "client_assertion_type": {"x"},
	}
	got, err := r.client.Authorize(t.Context(), issuer, params)
	if err != nil {
		t.Fatal(err)
	}
	u := must(url.Parse(got))
	if at := u.Scheme + "://" + u.Host + u.Path; at != "https://tenant.example/authorize" {
		t.Errorf("URL = %s", got)
	}
	want := url.Values{
		"redirect_uri": {"https://app.example/callback?x=1&y=2"}, "scope": {"openid offline_access"}, "state": {"st"},
		"audience": {"https://api.example"}, "prompt": {"login"}, "code_challenge": {idp.Challenge(verifier)},
		"response_type": {"code"}, "client_id": {clientID}, "code_challenge_method": {"S256"},
	}
	if u.RawQuery != want.Encode() {
		t.Errorf("query = %s, want %s", u.RawQuery, want.Encode())
	}
	if params.Get("client_secret") != "x" || params.Get("client_id") != "other" {
		t.Errorf("the caller's params were changed: %v", params)
	}
}

func TestAuthorize_endpointWithAQuery(t *testing.T) {
	r := newRig(t)
	r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"authorization_endpoint": "https://tenant.example/a?p=policy&state=evil"}))
	got, err := r.client.Authorize(t.Context(), issuer, url.Values{"state": {"st"}})
	want := "https://tenant.example/a?client_id=client+id&p=policy&response_type=code&state=st"
	if got != want || err != nil {
		t.Errorf("URL = %s, %v, want %s", got, err, want)
	}
}

func TestAuthorize_fails(t *testing.T) {
	r := newRig(t)
	r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"authorization_endpoint": absent}))
	if _, err := r.client.Authorize(t.Context(), issuer, nil); verdict(err) != "configuration_error" {
		t.Errorf("no endpoint: %v, want configuration_error", err)
	}
	r = newRig(t)
	r.answer(metadata, 500, "")
	if _, err := r.client.Authorize(t.Context(), issuer, nil); verdict(err) != "metadata_error" {
		t.Errorf("no metadata: %v, want metadata_error", err)
	}
}

// RFC 7636 appendix B.
func TestChallenge(t *testing.T) {
	got := idp.Challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
	if want := "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"; got != want {
		t.Errorf("challenge = %s, want %s", got, want)
	}
}

func TestPushAuthorization(t *testing.T) {
	for _, status := range []int{200, 201} {
		r := newRig(t)
		r.answer("/par", status, `{"request_uri":"urn:x:a b&c","expires_in":60}`)
		got, err := r.client.PushAuthorization(t.Context(), issuer, url.Values{
			"state": {"st"}, "client_secret": {"x"}, "code_challenge": {"ch"},
		})
		want := "https://tenant.example/authorize?client_id=client+id&request_uri=urn%3Ax%3Aa+b%26c&response_type=code"
		if got != want || err != nil {
			t.Errorf("status %d: %s, %v, want %s", status, got, err, want)
		}
		form := url.Values{
			"client_id": {clientID}, "response_type": {"code"}, "state": {"st"},
			"code_challenge": {"ch"}, "code_challenge_method": {"S256"},
		}
		if r.form.Encode() != form.Encode() {
			t.Errorf("form = %v, want %v", r.form, form)
		}
		if r.header.Get("Authorization") != basic {
			t.Errorf("Authorization = %q, want %q", r.header.Get("Authorization"), basic)
		}
		r.wantCount("/par", 1)
	}
}

func TestPushAuthorization_fails(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   session.Code
	}{
		{"refused", 400, `{"error":"invalid_request","error_description":"no"}`, "invalid_request"},
		{"refused without a word", 400, `{}`, session.CodePARError},
		{"not JSON", 500, `<html>`, session.CodePARError},
		{"redirect", 307, ``, session.CodePARError},
		{"no request_uri", 201, `{}`, session.CodePARError},
		{"request_uri a number", 201, `{"request_uri":1}`, session.CodePARError},
		{"201 not JSON", 201, `x`, session.CodePARError},
		{"202", 202, `{"request_uri":"urn:x"}`, session.CodePARError},
	}
	for _, tt := range tests {
		r := newRig(t)
		r.answer("/par", tt.status, tt.body)
		_, err := r.client.PushAuthorization(t.Context(), issuer, url.Values{})
		var api *session.APIError
		if !errors.As(err, &api) || api.Code != tt.want || api.Status != tt.status {
			t.Errorf("%s: %v, want %s with status %d", tt.name, err, tt.want, tt.status)
		}
		r.wantCount("/par", 1)
	}
	r := newRig(t)
	r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"pushed_authorization_request_endpoint": absent}))
	if _, err := r.client.PushAuthorization(t.Context(), issuer, nil); verdict(err) != "configuration_error" {
		t.Errorf("no endpoint: %v, want configuration_error", err)
	}
	r = newRig(t, func(cfg *idp.Config) { cfg.ClientSecret = "" })
	if _, err := r.client.PushAuthorization(t.Context(), issuer, nil); verdict(err) != "ConfigurationError" {
		t.Errorf("no secret: %v, want a ConfigurationError", err)
	}
	r.wantCount("/par", 0)
}

func TestPushAuthorization_hangEndsByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.hang("/par")
		wait := all(1, func(int) error {
			_, err := r.client.PushAuthorization(t.Context(), issuer, url.Values{})
			return err
		})
		synctest.Wait()
		r.clock.Advance(10 * time.Second)
		wantVerdicts(t, wait(), string(session.CodePARError))
	})
}

func TestLogoutURL(t *testing.T) {
	tests := []struct {
		name, issuer, returnTo string
		options                idp.LogoutOptions
		want                   string
	}{
		{"plain", issuer, "", idp.LogoutOptions{}, "https://tenant.example/v2/logout?client_id=client+id"},
		{"domain", "tenant.example", "", idp.LogoutOptions{}, "https://tenant.example/v2/logout?client_id=client+id"},
		{
			"back to", issuer, "https://app.example/?a=b&c=d",
			idp.LogoutOptions{},
			"https://tenant.example/v2/logout?client_id=client+id&returnTo=https%3A%2F%2Fapp.example%2F%3Fa%3Db%26c%3Dd",
		},
		{
			"federated", issuer, "",
			idp.LogoutOptions{Params: url.Values{"federated": {""}, "client_id": {"x"}}},
			"https://tenant.example/v2/logout?client_id=client+id&federated=",
		},
		{
			"a hint that Auth0's own logout does not get", issuer, "",
			idp.LogoutOptions{IDTokenHint: "a.b.c"},
			"https://tenant.example/v2/logout?client_id=client+id",
		},
		{
			"end session", issuer, "https://app.example/",
			idp.LogoutOptions{EndSession: true},
			"https://tenant.example/end?client_id=client+id&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2F",
		},
		{
			"end session with a hint", issuer, "",
			idp.LogoutOptions{EndSession: true, IDTokenHint: "a.b.c", Params: url.Values{"id_token_hint": {"x"}, "state": {"st"}}},
			"https://tenant.example/end?client_id=client+id&id_token_hint=a.b.c&state=st",
		},
	}
	r := newRig(t)
	for _, tt := range tests {
		got, err := r.client.LogoutURL(t.Context(), tt.issuer, tt.returnTo, tt.options)
		if got != tt.want || err != nil {
			t.Errorf("%s: %s, %v, want %s", tt.name, got, err, tt.want)
		}
		if !tt.options.EndSession {
			r.wantCount(metadata, 0)
		}
	}
	r = newRig(t)
	r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"end_session_endpoint": absent}))
	got, err := r.client.LogoutURL(t.Context(), issuer, "", idp.LogoutOptions{EndSession: true, IDTokenHint: "a.b.c"})
	if want := "https://tenant.example/v2/logout?client_id=client+id"; got != want || err != nil {
		t.Errorf("no end_session_endpoint: %s, %v, want %s", got, err, want)
	}
	for _, back := range []string{"", "https://app.example/"} {
		o := idp.LogoutOptions{EndSession: true, NoFallback: true, IDTokenHint: "a.b.c", Params: url.Values{"state": {"st"}}}
		if got, err := r.client.LogoutURL(t.Context(), issuer, back, o); got != back || err != nil {
			t.Errorf("neither endpoint nor fallback: %q, %v, want %q", got, err, back)
		}
	}
	if _, err := r.client.LogoutURL(t.Context(), "http://evil.example", "", idp.LogoutOptions{}); err == nil {
		t.Error("an issuer that cannot be used was accepted")
	}
}
