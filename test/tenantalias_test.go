package test_test

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// The issuer may be the alias too, whose metadata names a template: of the provider by https, and of a
// fake tenant at a loopback host by http. A template of another host is refused.
func TestTenants_issuerThatIsTheAlias(t *testing.T) {
	for _, tt := range []struct {
		name     string
		template string // in place of the profile's
		options  []idptest.Option
		ok       bool
	}{
		{"https", "", []idptest.Option{idptest.InProcess()}, true},
		{"loopback", "", nil, true},
		{"another host", "https://evil.example/{tenantid}/v2.0", []idptest.Option{idptest.InProcess()}, false},
	} {
		p, _ := idptest.ProfileNamed("entra-organizations")
		p.Location.AliasIssuer = cmp.Or(tt.template, p.Location.AliasIssuer)
		tenant := idptest.NewTenant(t, append(tt.options, idptest.WithProfile(p))...)
		app := tenant.Application()
		c, err := tokenward.New(tokenward.Config{
			Issuer: strings.TrimSuffix(app.MetadataURL, "/.well-known/openid-configuration"), ClientID: app.ClientID,
			ClientSecret: app.ClientSecret, Secrets: []string{secret}, RedirectURI: "http://127.0.0.1:9/callback",
		}, tokenward.WithHTTPClient(tenant.Client()), tokenward.WithLogger(zap.NewNop()),
			tokenward.WithProvider(tokenward.ProviderConfig{Tenants: func(context.Context, string) bool { return true }}))
		if err != nil {
			t.Fatal(err)
		}
		v := &visitor{ctx: t.Context(), profile: p, tenant: tenant, client: c}
		if err := v.signIn(); (err == nil) != tt.ok || !tt.ok && !errors.As(err, new(*tokenward.IssuerValidationError)) {
			t.Errorf("%s: %v, want ok %v, else an IssuerValidationError", tt.name, err, tt.ok)
		} else if err != nil && strings.Contains(err.Error(), "ProviderConfig.Tenants") {
			t.Errorf("%s: %v, want no advice to set what is set", tt.name, err)
		}
		if err := c.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}
