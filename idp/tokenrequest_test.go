package idp_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// basic is form-encoded before base64: RFC 6749 section 2.3.1.
var basic = "Basic " + base64.StdEncoding.EncodeToString([]byte("client+id:s3cr3t%2Fof+the%2Bclient"))

// The token requests, each with the form that it must send.
var tokenRequests = []struct {
	name string
	send func(context.Context, *idp.Client) (session.TokenResponse, error)
	form url.Values
	code bool // a code exchange
}{
	{
		"code exchange",
		func(ctx context.Context, c *idp.Client) (session.TokenResponse, error) {
			return c.ExchangeCode(ctx, idp.CodeExchange{
				Issuer: issuer, Code: codeCanary, RedirectURI: "https://app.example/cb?a=b", CodeVerifier: verifier,
			})
		},
		url.Values{
			"grant_type": {"authorization_code"}, "code": {codeCanary}, "redirect_uri": {"https://app.example/cb?a=b"},
			"code_verifier": {verifier}, "client_id": {clientID},
		},
		true,
	},
	{
		"refresh",
		func(ctx context.Context, c *idp.Client) (session.TokenResponse, error) {
			return c.Refresh(ctx, idp.RefreshRequest{
				Issuer: "tenant.example", RefreshToken: refreshToken, Audience: "https://api.example", Scope: "b a",
			})
		},
		url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}, "audience": {"https://api.example"},
			"scope": {"b a"}, "client_id": {clientID},
		},
		false,
	},
	{
		"connection exchange",
		func(ctx context.Context, c *idp.Client) (session.TokenResponse, error) {
			return c.ExchangeConnection(ctx, idp.ConnectionExchange{
				Issuer: issuer, RefreshToken: refreshToken, Connection: "google-oauth2", LoginHint: "ada@example.com",
			})
		},
		url.Values{
			"grant_type":           {"urn:auth0:params:oauth:grant-type:token-exchange:federated-connection-access-token"},
			"subject_token":        {refreshToken},
			"subject_token_type":   {"urn:ietf:params:oauth:token-type:refresh_token"},
			"requested_token_type": {"http://auth0.com/oauth/token-type/federated-connection-access-token"},
			"connection":           {"google-oauth2"}, "login_hint": {"ada@example.com"}, "client_id": {clientID},
		},
		false,
	},
	{
		"client credentials",
		func(ctx context.Context, c *idp.Client) (session.TokenResponse, error) {
			return c.GrantClientCredentials(ctx, idp.ClientCredentials{Issuer: issuer, Audience: "https://api.example", Scope: "b a"})
		},
		url.Values{
			"grant_type": {"client_credentials"}, "audience": {"https://api.example"}, "scope": {"b a"}, "client_id": {clientID},
		},
		false,
	},
	{
		"token exchange",
		func(ctx context.Context, c *idp.Client) (session.TokenResponse, error) {
			return c.ExchangeToken(ctx, idp.TokenExchange{
				Issuer: issuer, Audience: "https://api.example", Scope: "b a", SubjectToken: subjectToken, SubjectTokenType: idp.TypeAccessToken,
				ActorToken: actorToken, ActorTokenType: "urn:example:actor",
				Params: map[string]string{
					"resource": "https://r.example", "grant_type": "password", "subject_token": "x", "client_id": "x", "client_secret": "x",
					"client_assertion": "x", "scope": "x", "audience": "x", "requested_token_use": "x", "assertion": "x", "actor_token": "x",
				},
			})
		},
		url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "audience": {"https://api.example"}, "scope": {"b a"},
			"subject_token": {subjectToken}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
			"actor_token": {actorToken}, "actor_token_type": {"urn:example:actor"}, "resource": {"https://r.example"}, "client_id": {clientID},
		},
		false,
	},
	{
		"on behalf of",
		func(ctx context.Context, c *idp.Client) (session.TokenResponse, error) {
			return c.ExchangeToken(ctx, idp.TokenExchange{
				Issuer: issuer, Scope: "api://b/.default", SubjectToken: subjectToken, SubjectTokenType: idp.TypeAccessToken, OnBehalfOf: true,
			})
		},
		url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "scope": {"api://b/.default"}, "assertion": {subjectToken},
			"requested_token_use": {"on_behalf_of"}, "client_id": {clientID},
		},
		false,
	},
}

func TestTokenRequests_send(t *testing.T) {
	for _, auth := range []idp.AuthMethod{"", idp.ClientSecretBasic, idp.ClientSecretPost} {
		for _, tt := range tokenRequests {
			r := newRig(t, func(cfg *idp.Config) { cfg.Auth = auth })
			got, err := tt.send(t.Context(), r.client)
			if err != nil || got.AccessToken != "at" || got.ExpiresIn != 3600 {
				t.Errorf("%s: %+v, %v", tt.name, got, err)
			}
			form, header := url.Values(with2(tt.form)), basic
			if auth == idp.ClientSecretPost {
				form.Set("client_secret", clientSecret)
				header = ""
			}
			if r.form.Encode() != form.Encode() {
				t.Errorf("%s by %q: form\n got %s\nwant %s", tt.name, auth, r.form.Encode(), form.Encode())
			}
			if got := r.header.Get("Authorization"); got != header {
				t.Errorf("%s by %q: Authorization = %q, want %q", tt.name, auth, got, header)
			}
			if got := r.header.Get("Accept"); got != "application/json" {
				t.Errorf("%s: Accept = %q", tt.name, got)
			}
			if got := r.header.Get("Content-Type"); got != "application/x-www-form-urlencoded" {
				t.Errorf("%s: Content-Type = %q", tt.name, got)
			}
			r.wantCount(token, 1)
		}
	}
}

func with2(v url.Values) url.Values { return must(url.ParseQuery(v.Encode())) }

func TestTokenRequests_sendNoEmptyParameter(t *testing.T) {
	r := newRig(t)
	if _, err := r.client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken}); err != nil {
		t.Fatal(err)
	}
	if r.form.Has("audience") || r.form.Has("scope") {
		t.Errorf("refresh form = %v", r.form)
	}
	_, err := r.client.ExchangeConnection(t.Context(), idp.ConnectionExchange{Issuer: issuer, RefreshToken: refreshToken, Connection: "x"})
	if err != nil || r.form.Has("login_hint") {
		t.Errorf("connection form = %v, %v", r.form, err)
	}
}

func TestTokenRequests_needArguments(t *testing.T) {
	r := newRig(t)
	_, err := r.client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer})
	var missing *session.MissingRequiredArgumentError
	if !errors.As(err, &missing) || missing.Argument != "refresh_token" {
		t.Errorf("refresh: %v", err)
	}
	_, err = r.client.ExchangeConnection(t.Context(), idp.ConnectionExchange{Issuer: issuer, RefreshToken: refreshToken})
	if !errors.As(err, &missing) || missing.Argument != "connection" {
		t.Errorf("connection: %v", err)
	}
	_, err = r.client.ExchangeToken(t.Context(), idp.TokenExchange{Issuer: issuer})
	if !errors.As(err, &missing) || missing.Argument != "subject_token" {
		t.Errorf("exchange: %v", err)
	}
	r.wantCount(metadata, 0)
}

func TestClientCredentials_refuseAPublicClient(t *testing.T) {
	r := newRig(t, func(cfg *idp.Config) { cfg.ClientSecret, cfg.Auth = "", idp.PublicClient })
	_, err := r.client.GrantClientCredentials(t.Context(), idp.ClientCredentials{Issuer: issuer})
	var config *session.ConfigurationError
	if !errors.As(err, &config) {
		t.Errorf("%v, want a ConfigurationError", err)
	}
	r.wantCount(token, 0)
}

func TestTokenExchange_issuedTokenType(t *testing.T) {
	r := newRig(t)
	r.answer(token, 200, `{"access_token":"at","token_type":"Bearer","issued_token_type":"urn:example:issued"}`)
	got, err := r.client.ExchangeToken(t.Context(), idp.TokenExchange{Issuer: issuer, SubjectToken: subjectToken})
	if err != nil || got.IssuedTokenType != "urn:example:issued" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTokenRequests_answers(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	tests := []struct {
		name    string
		status  int
		body    string
		code    session.Code // of the error, of its cause in a code exchange
		says    string       // description
		refresh string       // the refresh token that is kept
	}{
		{"refused", 403, `{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}`, "invalid_grant", "Unknown or invalid refresh token.", ""},
		{"client refused", 401, `{"error":"invalid_client"}`, "invalid_client", "", ""},
		{"rate limit", 429, `{"error":"too_many_requests","error_description":"x"}`, "too_many_requests", "x", ""},
		{"no error member", 400, `{}`, "token_error", "", ""},
		{"error a number", 400, `{"error":1,"error_description":["x"]}`, "token_error", "", ""},
		{"refusal not JSON", 500, `<html>`, "token_error", "the answer is not a JSON object", ""},
		{"refusal a list", 500, `["invalid_grant"]`, "token_error", "the answer is not a JSON object", ""},
		{"refusal empty", 502, ``, "token_error", "the answer is not a JSON object", ""},
		{"refusal over 1 MiB", 503, `{"error":"` + long + `"}`, "token_error", "", ""},
		{"redirect", 302, `{"access_token":"at"}`, "token_error", "", ""},
		{"permanent redirect", 308, ``, "token_error", "the answer is not a JSON object", ""},
		{"refusal with a refresh token", 400, `{"error":"x","refresh_token":"` + newToken + `"}`, "x", "", ""},

		{"success not JSON", 200, `<html>`, "invalid_response", "the answer is not a JSON object", ""},
		{"success truncated", 200, `{"access_token":"at","refresh_token":"` + newToken + `"`, "invalid_response", "the answer is not a JSON object", ""},
		{"success null", 200, `null`, "invalid_response", "the answer is not a JSON object", ""},
		{"success empty", 200, ``, "invalid_response", "the answer is not a JSON object", ""},
		{"success over 1 MiB", 200, `{"access_token":"at","x":"` + long + `"}`, "token_error", "", ""},
		{"no access token", 200, `{"refresh_token":"` + newToken + `"}`, "invalid_response", "the answer has no access_token", newToken},
		{"access token empty", 200, `{"access_token":"","refresh_token":"` + newToken + `"}`, "invalid_response", "the answer has no access_token", newToken},
		{"access token a number", 200, `{"access_token":5,"refresh_token":"` + newToken + `"}`, "invalid_response", "the answer has no access_token", newToken},
		{"access token null", 200, `{"access_token":null,"refresh_token":"` + newToken + `"}`, "invalid_response", "the answer has no access_token", newToken},
		{"Access_Token", 200, `{"Access_Token":"at"}`, "invalid_response", "the answer has no access_token", ""},
		{"error with status 200", 200, `{"error":"invalid_grant","refresh_token":"` + newToken + `"}`, "invalid_grant", "", newToken},
		{"201", 201, `{"access_token":"at","refresh_token":"` + newToken + `"}`, "invalid_response", "the answer has a status that no token response has", newToken},
		{
			"another token_type", 200, `{"access_token":"at","token_type":"DPoP","refresh_token":"` + newToken + `"}`, "invalid_response",
			"the answer has a token_type other than Bearer, and no other can be used here", newToken,
		},
		{"204", 204, ``, "invalid_response", "the answer is not a JSON object", ""},
	}
	for _, tt := range tests {
		for _, request := range tokenRequests {
			r := newRig(t)
			r.handle(token, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "https://evil.example/token")
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			})
			got, err := request.send(t.Context(), r.client)
			var api *session.APIError
			if !errors.As(err, &api) {
				t.Errorf("%s, %s: %v, want an APIError", request.name, tt.name, err)
				continue
			}
			if request.code && tt.code != session.CodeTokenError {
				if api.Code != session.CodeTokenError || api.Status != tt.status || !errors.As(api.Err, &api) {
					t.Errorf("%s, %s: %v, want token_error with a cause", request.name, tt.name, err)
				}
			}
			if api.Code != tt.code || api.Status != tt.status || tt.says != "" && api.Description != tt.says {
				t.Errorf("%s, %s: %#v, want %s %q", request.name, tt.name, api, tt.code, tt.says)
			}
			if got.RefreshToken != tt.refresh {
				t.Errorf("%s, %s: kept refresh token %q, want %q", request.name, tt.name, got.RefreshToken, tt.refresh)
			}
			r.wantCount(token, 1)
		}
	}
}

func TestTokenRequests_networkFails(t *testing.T) {
	broken := errors.New("connection reset by peer")
	for _, tt := range tokenRequests {
		r := newRig(t)
		r.fail(token, broken)
		_, err := tt.send(t.Context(), r.client)
		var api *session.APIError
		if !errors.As(err, &api) || api.Code != session.CodeTokenError || api.Status != 0 || !errors.Is(err, broken) {
			t.Errorf("%s: %v, want token_error by %v", tt.name, err, broken)
		}
		r.wantCount(token, 1)
	}
}

func TestTokenRequests_discoveryFails(t *testing.T) {
	for _, tt := range tokenRequests {
		r := newRig(t)
		r.answer(metadata, 500, "")
		_, err := tt.send(t.Context(), r.client)
		var api *session.APIError
		if !errors.As(err, &api) || api.Status != 0 || !errors.Is(err, &session.APIError{Code: session.CodeMetadataError}) {
			t.Errorf("%s: %v, want metadata_error", tt.name, err)
		}
		if tt.code && api.Code != session.CodeTokenError {
			t.Errorf("%s: %v, want token_error by metadata_error", tt.name, err)
		}
		r.wantCount(token, 0)
	}
}

func TestTokenRequests_endWithTheirDeadline(t *testing.T) {
	for _, tt := range tokenRequests {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.hang(token)
			wait := all(1, func(int) error {
				// A flight's deadline. The code exchange has one of its own.
				ctx, cancel := clock.WithTimeout(t.Context(), r.clock, 10*time.Second)
				defer cancel()
				if tt.code {
					ctx = t.Context()
				}
				_, err := tt.send(ctx, r.client)
				return err
			})
			synctest.Wait()
			r.clock.Advance(10*time.Second - 1)
			synctest.Wait()
			if n := r.clock.Waiting(); n == 0 {
				t.Errorf("%s: ended early", tt.name)
			}
			r.clock.Advance(1)
			if err := wait()[0]; !errors.Is(err, context.DeadlineExceeded) || verdict(err) != "token_error" {
				t.Errorf("%s: %v, want token_error and DeadlineExceeded", tt.name, err)
			}
			r.wantCount(token, 1)
		})
	}
}

func TestTokenRequests_endWithTheirContext(t *testing.T) {
	for _, tt := range tokenRequests {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.hang(token)
			ctx, cancel := context.WithCancel(t.Context())
			wait := all(1, func(int) error { _, err := tt.send(ctx, r.client); return err })
			synctest.Wait()
			cancel()
			if err := wait()[0]; !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v, want context.Canceled", tt.name, err)
			}
		})
	}
}

func TestRefresh_mfaRequired(t *testing.T) {
	const mfaToken = "mfa-token-canary"
	r := newRig(t)
	refresh := func(body string) (*idp.MFAChallenge, *session.APIError) {
		r.answer(token, 403, body)
		_, err := r.client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
		var m *idp.MFAChallenge
		var api *session.APIError
		errors.As(err, &api)
		errors.As(err, &m)
		wantNoSecret(t, "mfa_required", err, mfaToken, "otp")
		return m, api
	}

	m, api := refresh(`{"error":"mfa_required","error_description":"use mfa-token-canary","mfa_token":"` + mfaToken +
		`","mfa_requirements":{"challenge":[{"type":"otp","n":1}]}}`)
	if api.Code != session.CodeMFARequired || m == nil || m.Token() != mfaToken || m.Requirements() == nil {
		t.Errorf("challenge = %+v, %v", m, api)
	}
	for _, body := range []string{
		`{"error":"mfa_required"}`,
		`{"error":"mfa_required","mfa_token":""}`,
		`{"error":"mfa_required","mfa_token":7,"mfa_requirements":{}}`,
		`{"error":"invalid_grant","mfa_token":"mfa-token-canary"}`,
	} {
		if m, _ := refresh(body); m != nil {
			t.Errorf("%s: a challenge", body)
		}
	}
}
