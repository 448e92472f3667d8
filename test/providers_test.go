package test_test

import (
	"cmp"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/providers"
)

// Every provider, with an application configured as docs/providers.md shows: all that the provider
// offers works, and where it cannot the error says what to do at the provider.
func TestProviders_asTheDocumentationConfiguresThem(t *testing.T) {
	for _, p := range idptest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			v := newVisitor(t, p, providers.For)
			err := v.visit()
			switch {
			case p.Refused != "":
				if err == nil || !strings.Contains(err.Error(), "choose an asymmetric signing key") {
					t.Errorf("%v, want what to do about a symmetric signature", err)
				}
			case err != nil:
				t.Error(err)
			case v.refreshes == p.Lacks.RefreshTokens:
				t.Errorf("there is a refresh token: %v", v.refreshes)
			}
		})
	}
}

// The same where the application writes out the scopes that it would ask for: what the user did not
// grant is not asked for again at a refresh (RFC 6749 section 6).
func TestProviders_withScopesWrittenOut(t *testing.T) {
	written := func(p idptest.Profile, t *idptest.Tenant) providers.Setup {
		s := providers.For(p, t)
		s.Config.Scopes = cmp.Or(p.Config.Scopes, idptest.DefaultScopes)
		return s
	}
	for _, p := range idptest.Profiles() {
		if err := newVisitor(t, p, written).visit(); (err != nil) != (p.Refused != "") {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

// beside are the settings beside issuer, client id and secret without which an application cannot
// do all that a provider offers, as docs/providers.md has them. No other provider needs any.
var beside = map[string]string{
	"okta-private-key-jwt":      "Credentials.SigningKey, Credentials.AssertTokenEndpoint",
	"entra-certificate":         "Credentials.SigningKey, Credentials.SigningCertificate",
	"entra-organizations":       "ProviderConfig.Tenants",
	"entra-b2c":                 "ProviderConfig.MetadataURL, Config.Scopes",
	"cognito":                   "httpauth.LogoutParams",
	"node-oidc-provider":        "Config.AuthorizationParams",
	"google":                    "Config.AuthorizationParams",
	"google-iss-without-scheme": "Config.AuthorizationParams",
	"apple":                     "Config.Credentials, Config.Scopes, Config.AuthorizationParams",
	"apple-openid-only":         "Config.Credentials, Config.Scopes",
	"linkedin":                  "Config.ClientAuth, ProviderConfig.NoPKCE, ProviderConfig.Nonce",
	"discord":                   "Config.Scopes",
	"line":                      "Config.ClientAuth",
	"salesforce":                "ProviderConfig.TokenLifetime",
	"slack":                     "ProviderConfig.TokenLifetime",
	"workos":                    "ProviderConfig.Nonce",
	"logingov":                  "Credentials.SigningKey, Credentials.AssertTokenEndpoint, Config.AuthorizationParams, ProviderConfig.Nonce, ProviderConfig.NoIDTokenHint",
	"govuk-one-login":           "Credentials.SigningKey, Credentials.AssertTokenEndpoint, Config.Scopes, Config.AuthorizationParams",
	"franceconnect":             "Config.AuthorizationParams, httpauth.LogoutParams",
	"basic-not-decoded":         "Config.ClientAuth",
	"public-client":             "Config.ClientAuth",
}

// With nothing but issuer, client id and secret the user signs in, is known, has tokens, refreshed where the
// login brought a refresh token, and signs out: at all providers that are not among beside, and at those
// of providers.Without, which says what the settings bring there.
func TestProviders_withIssuerAndCredentialsOnly(t *testing.T) {
	const want = 33
	bare := func(_ idptest.Profile, t *idptest.Tenant) providers.Setup { return providers.Bare(t) }
	var works []string
	for _, p := range idptest.Profiles() {
		v := newVisitor(t, p, bare)
		err := v.visit()
		names := providers.For(p, v.tenant).Names()
		if err == nil {
			works = append(works, p.Name)
		}
		if names != beside[p.Name] {
			t.Errorf("%s: docs/providers.md sets %q beside, want %q", p.Name, names, beside[p.Name])
		}
		needs := p.Refused != "" || names != "" && providers.Without[p.Name] == ""
		if needs != (err != nil) {
			t.Errorf("%s: %v; docs/providers.md sets %q beside, without which: %q", p.Name, err, names, providers.Without[p.Name])
		}
	}
	t.Logf("%d of %d: %s", len(works), len(idptest.Profiles()), strings.Join(works, ", "))
	if len(works) != want {
		t.Errorf("%d providers, want %d", len(works), want)
	}
}
