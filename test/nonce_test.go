package test_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
)

// withoutPKCE is a tenant that ignores PKCE, and does not list S256 in its metadata.
func withoutPKCE() rigOption {
	p, _ := idptest.ProfileNamed("auth0")
	p.Authorize.PKCE, p.Metadata.Challenges = idptest.PKCEIgnored, nil
	return func(c *rigConfig) { c.tenant = append([]idptest.Option{idptest.WithProfile(p)}, c.tenant...) }
}

func (r *rig) sendsNonce(o tokenward.StoreOptions) bool {
	r.t.Helper()
	u, err := url.Parse(r.start(tokenward.LoginRequest{}, o))
	if err != nil {
		r.t.Fatal(err)
	}
	return u.Query().Get("nonce") != ""
}

func TestNonce_isSentWhereThePKCEIsNotPromised(t *testing.T) {
	tests := []struct {
		name   string
		tenant []rigOption
		option []tokenward.Option
		want   bool
	}{
		{"S256 is listed", nil, nil, false},
		{"S256 is listed, always", nil, []tokenward.Option{withProvider(tokenward.ProviderConfig{Nonce: tokenward.Always})}, true},
		{"S256 is listed, never", nil, []tokenward.Option{withProvider(tokenward.ProviderConfig{Nonce: tokenward.Never})}, false},
		{"nothing is listed", []rigOption{withoutPKCE()}, nil, true},
		{"nothing is listed, never", []rigOption{withoutPKCE()}, []tokenward.Option{withProvider(tokenward.ProviderConfig{Nonce: tokenward.Never})}, false},
	}
	for _, tt := range tests {
		r := newRig(t, append(tt.tenant, withClient(tt.option...))...)
		if got := r.sendsNonce(tokenward.StoreOptions{}); got != tt.want {
			t.Errorf("%s: sent = %v, want %v", tt.name, got, tt.want)
		}
		r.login()
	}
	for _, listed := range [][]string{{"plain"}, {"s256"}, {}} {
		r := newRig(t)
		r.tenant.Script(idptest.Discovery, idptest.Edit(func(b map[string]any) { b["code_challenge_methods_supported"] = listed }))
		if !r.sendsNonce(tokenward.StoreOptions{}) {
			t.Errorf("%q is listed: no nonce", listed)
		}
	}
}

// For a domain, configured or named by the resolver, the default is off.
func TestNonce_ofADomain(t *testing.T) {
	p, _ := idptest.ProfileNamed("auth0")
	p.Metadata.Challenges = nil
	tenant := []rigOption{withTenant(idptest.InProcess(), idptest.WithProfile(p))}
	for name, config := range map[string]func(*tokenward.Config){
		"configured": func(c *tokenward.Config) { c.Issuer, c.Domain = "", "tenant.example" },
		"named by the resolver": func(c *tokenward.Config) {
			c.Issuer, c.DomainResolver = "", func(context.Context, store.Options) (string, error) { return "tenant.example", nil }
		},
	} {
		r := newRig(t, append(tenant, withConfig(config))...)
		if r.sendsNonce(tokenward.StoreOptions{}) {
			t.Errorf("%s: a nonce", name)
		}
	}
	r := newRig(t, append(tenant, withConfig(func(c *tokenward.Config) {
		c.Issuer, c.DomainResolver = "", func(context.Context, store.Options) (string, error) { return "https://tenant.example/", nil }
	}))...)
	if !r.sendsNonce(tokenward.StoreOptions{}) {
		t.Error("an issuer named by the resolver: no nonce")
	}
}

// A thief's browser brings the state of its own login with a code that was stolen from another user. PKCE
// stops it where the provider looks at it, the nonce where it does not.
func TestCallback_codeInjection(t *testing.T) {
	steal := func(r *rig) error {
		code := func(back string) string { u, _ := url.Parse(back); return u.Query().Get("code") }
		victim, thief := newBrowser(r), newBrowser(r)
		stolen := code(victim.startAs(r.client, tokenward.LoginRequest{}))
		_, err := thief.complete(r.client, with(thief.startAs(r.client, tokenward.LoginRequest{}), "code", stolen))
		return err
	}
	r := newRig(t)
	wantError[*tokenward.APIError](t, "by PKCE", steal(r), "token_error")
	r.wantNothingStored("by PKCE")
	r = newRig(t, withoutPKCE())
	wantError[*tokenward.APIError](t, "by the nonce", steal(r), "invalid_token")
	r.wantNothingStored("by the nonce")
	r = newRig(t, withoutPKCE(), withClient(withProvider(tokenward.ProviderConfig{Nonce: tokenward.Never})))
	if err := steal(r); err != nil {
		t.Errorf("by neither: %v; so the others show nothing", err)
	}
}
