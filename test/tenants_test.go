package test_test

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/providers"
)

// visitTenants starts Entra ID's organizations with an application that lets only some tenants in, none
// where allowed is nil, and signs a user in whose ID token has these claims beside the usual ones.
func visitTenants(t *testing.T, allowed func(string) bool, claims idptest.Claims) (*visitor, error) {
	t.Helper()
	p, _ := idptest.ProfileNamed("entra-organizations")
	v := newVisitor(t, p, func(p idptest.Profile, tenant *idptest.Tenant) providers.Setup {
		s := providers.For(p, tenant)
		s.Provider.Tenants = nil
		if allowed != nil {
			s.Provider.Tenants = func(_ context.Context, tid string) bool { return allowed(tid) }
		}
		return s
	})
	v.tenant.NextLogin(claims)
	return v, v.signIn()
}

// The token's tid fills the issuer's template in, and the host says which tenants may sign in.
func TestTenants_whoMaySignIn(t *testing.T) {
	p, _ := idptest.ProfileNamed("entra-organizations")
	home, _ := p.IDToken.Claims["tid"].(string)
	iss := func(tid string) string { return "https://login.microsoftonline.com/" + tid + "/v2.0" }
	all := func(string) bool { return true }
	tests := []struct {
		name    string
		allowed func(string) bool
		claims  idptest.Claims
		ok      bool
	}{
		{"the user's tenant", all, nil, true},
		{"a tenant that is not allowed", func(tid string) bool { return tid != home }, nil, false},
		{"iss of another tenant than tid", all, idptest.Claims{"iss": iss("contoso")}, false},
		{"iss that is the template", all, idptest.Claims{"iss": iss("{tenantid}")}, false},
		{"no tid", all, idptest.Claims{"tid": idptest.Absent}, false},
		{"tid a number", all, idptest.Claims{"tid": 7, "iss": iss("7")}, false},
		{"tid that leaves the path", all, idptest.Claims{"tid": "../x", "iss": iss("../x")}, false},
		{"tid with a slash", all, idptest.Claims{"tid": "a/b", "iss": iss("a/b")}, false},
		{"tid empty", all, idptest.Claims{"tid": "", "iss": iss("")}, false},
		{"iss of another host", all, idptest.Claims{"iss": "https://evil.example/" + home + "/v2.0"}, false},
	}
	for _, tt := range tests {
		_, err := visitTenants(t, tt.allowed, tt.claims)
		if code := tokenward.CodeOf(err); (err == nil) != tt.ok || !tt.ok && code != "issuer_validation_error" && code != "invalid_token" {
			t.Errorf("%s: %v, want ok %v, else an IssuerValidationError, or invalid_token", tt.name, err, tt.ok)
		}
	}
}

// By default a template is refused, and the error names the field.
func TestTenants_templateIsRefusedByDefault(t *testing.T) {
	_, err := visitTenants(t, nil, nil)
	if !errors.As(err, new(*tokenward.IssuerValidationError)) || !strings.Contains(err.Error(), "ProviderConfig.Tenants") {
		t.Errorf("login: %v, want an IssuerValidationError that names ProviderConfig.Tenants", err)
	}
}

// A session belongs to its tenant: that one is asked for tokens, and the user signed out there.
func TestTenants_laterCallsUseTheTenant(t *testing.T) {
	v, err := visitTenants(t, func(string) bool { return true }, nil)
	if err != nil {
		t.Fatal(err)
	}
	home, _ := v.profile.IDToken.Claims["tid"].(string)
	s, err := v.client.GetSession(t.Context(), v.session)
	if err != nil || s.Domain != "https://login.microsoftonline.com/"+home+"/v2.0" {
		t.Fatalf("session %+v, %v, want the tenant's issuer as its domain", s, err)
	}
	if err := cmp.Or(v.asksOften(), v.outlivesItsTokens()); err != nil {
		t.Error(err)
	}
	to, err := v.client.Logout(t.Context(), tokenward.LogoutRequest{}, v.session)
	if u, _ := url.Parse(to); err != nil || !strings.Contains(u.Path, home) {
		t.Errorf("Logout = %s, %v, want an address of the tenant", to, err)
	}
}
