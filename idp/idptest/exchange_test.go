package idptest_test

import (
	"testing"

	"github.com/tokenward/tokenward/idp/idptest"
)

const grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

func TestClientCredentials(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		r := a.form("/oauth/token", "grant_type", "client_credentials", "audience", "https://a.example", "scope", "read write")
		if r.status != 200 || r.str("scope") != "read write" || r.str("refresh_token") != "" {
			t.Fatalf("%d %s", r.status, r.raw)
		}
		c := claims(t, r.str("access_token"))
		if c["sub"] != idptest.ClientID+"@clients" || c["aud"] != "https://a.example" {
			t.Errorf("claims = %v", c)
		}
		a.tenant.Set(idptest.WithPolicy(map[string]string{"https://a.example": "read"}))
		if r := a.form("/oauth/token", "grant_type", "client_credentials", "audience", "https://a.example", "scope", "read write"); r.str("scope") != "read" {
			t.Errorf("scopes beyond the policy: %s", r.raw)
		}
		if r := a.form("/oauth/token", "grant_type", "client_credentials", "audience", "https://b.example"); r.str("error") != "access_denied" {
			t.Errorf("an audience outside the policy: %s", r.raw)
		}
		if n := a.tenant.Requests(idptest.ClientCredentials); n != 3 || a.tenant.Requests(idptest.Token) != 3 {
			t.Errorf("%d requests, want 3", n)
		}
	})
}

func TestTokenExchange(t *testing.T) {
	overBoth(t, func(t *testing.T, a *app) {
		token := a.login(nil).str("access_token")
		const ours = "urn:ietf:params:oauth:token-type:access_token"
		tests := []struct {
			name  string
			form  []string
			error string
		}{
			{"good", []string{"grant_type", grantExchange, "subject_token", token, "subject_token_type", ours, "audience", "https://b.example"}, ""},
			{"no type", []string{"grant_type", grantExchange, "subject_token", token}, "invalid_request"},
			{"no token", []string{"grant_type", grantExchange, "subject_token_type", ours}, "invalid_request"},
			{"made up", []string{"grant_type", grantExchange, "subject_token", "x", "subject_token_type", ours}, "invalid_grant"},
			{"of another type", []string{"grant_type", grantExchange, "subject_token", "x", "subject_token_type", "urn:acme:legacy"}, ""},
			{"half an actor", []string{"grant_type", grantExchange, "subject_token", token, "subject_token_type", ours, "actor_token", "x"}, "invalid_request"},
			{"on behalf of", []string{
				"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion", token, "requested_token_use", "on_behalf_of",
			}, ""},
			{"another use", []string{"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion", token}, "invalid_request"},
		}
		for _, tt := range tests {
			if r := a.form("/oauth/token", tt.form...); r.str("error") != tt.error || tt.error == "" && r.str("access_token") == "" {
				t.Errorf("%s: %d %s, want %q", tt.name, r.status, r.raw, tt.error)
			}
		}
		r := a.form("/oauth/token", tests[0].form...)
		if c := claims(t, r.str("access_token")); c["sub"] != idptest.Subject || c["aud"] != "https://b.example" || r.str("issued_token_type") != ours {
			t.Errorf("claims = %v, answer %s", c, r.raw)
		}
		if n := a.tenant.Requests(idptest.TokenExchange.Of(idptest.Subject)); n != 6 {
			t.Errorf("%d requests of the user, want 6", n)
		}
	})
}
