package test_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
)

const bye = "https://app.example/bye"

// noEndSession has the tenant's metadata name no end_session_endpoint.
func (r *rig) noEndSession() {
	r.tenant.Script(idptest.Discovery, idptest.Edit(func(b map[string]any) { delete(b, "end_session_endpoint") }))
}

// An issuer that offers no logout has none: the local session is over, and the URL is where the browser
// was to go afterwards.
func TestLogout_ofAnIssuerWithoutALogout(t *testing.T) {
	r := newRig(t)
	c, err := tokenward.New(r.cfg, tokenward.WithHTTPClient(r.tenant.Client()), tokenward.WithClock(r.clock), tokenward.WithStateStore(r.store))
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, c)
	id := r.login()
	r.noEndSession()
	for _, back := range []string{bye, ""} {
		req := tokenward.LogoutRequest{ReturnTo: back, Params: map[string]string{"federated": ""}}
		if to, err := c.Logout(t.Context(), req, tokenward.SessionID(id)); to != back || err != nil {
			t.Errorf("URL = %q, %v, want %q", to, err, back)
		}
	}
	if u, err := c.GetUser(t.Context(), tokenward.SessionID(id)); u != nil || err != nil {
		t.Errorf("afterwards: %v, %v", u, err)
	}
}

// What the resolver named decides: a bare domain is Auth0's, an issuer URL has what its metadata says.
func TestLogout_goesByWhatTheResolverNamed(t *testing.T) {
	p, _ := idptest.ProfileNamed("auth0")
	for named, want := range map[string]string{
		"tenant.example":          "https://tenant.example/v2/logout?client_id=demo&returnTo=" + url.QueryEscape(bye),
		"https://tenant.example/": "https://tenant.example/oidc/logout?client_id=demo&post_logout_redirect_uri=" + url.QueryEscape(bye),
	} {
		r := newRig(t, withTenant(idptest.InProcess(), idptest.WithProfile(p)), withConfig(func(c *tokenward.Config) {
			c.Issuer, c.DomainResolver = "", func(context.Context, store.Options) (string, error) { return named, nil }
		}))
		c, err := tokenward.New(r.cfg, tokenward.WithHTTPClient(r.tenant.Client()), tokenward.WithClock(r.clock))
		if err != nil {
			t.Fatal(err)
		}
		if to, err := c.Logout(t.Context(), tokenward.LogoutRequest{ReturnTo: bye}, tokenward.SessionID("nobody")); to != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", named, to, err, want)
		}
		closeClient(t, c)
	}
}

// Auth0's own page is there whatever the metadata says.
func TestLogout_ofADomainWithoutEndSession(t *testing.T) {
	p, _ := idptest.ProfileNamed("auth0")
	r := newRig(t, withTenant(idptest.InProcess(), idptest.WithProfile(p)), withConfig(func(c *tokenward.Config) {
		c.Issuer, c.Domain = "", "tenant.example"
	}), withClient(withProvider(tokenward.ProviderConfig{EndSession: tokenward.Always})))
	r.noEndSession()
	to, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID("nobody"))
	if want := "https://tenant.example/v2/logout?client_id=demo"; to != want || err != nil {
		t.Errorf("URL = %s, %v, want %s", to, err, want)
	}
}

// Metadata that cannot be had keeps no session alive: the answer is where to go, with the error beside it.
func TestLogout_whileTheProviderIsDown(t *testing.T) {
	r := newRig(t, withClient(withProvider(tokenward.ProviderConfig{EndSession: tokenward.Always})))
	id := r.login()
	r.restart(withProvider(tokenward.ProviderConfig{EndSession: tokenward.Always}))
	r.tenant.Script(idptest.Discovery, idptest.Status(503), idptest.Status(503))
	to, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{ReturnTo: bye}, tokenward.SessionID(id))
	if to != bye {
		t.Errorf("URL = %q, want %q", to, bye)
	}
	wantError[*tokenward.APIError](t, "logout", err, "metadata_error")
	r.want("deletes", r.store.Ends(key(id)), 1)
	if to, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); to != "" || err == nil {
		t.Errorf("without a place to return to: %q, %v", to, err)
	}
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u != nil || err != nil {
		t.Errorf("afterwards: %v, %v", u, err)
	}
}

// login.gov refuses the hint.
func TestLogout_withoutTheHint(t *testing.T) {
	r := newRig(t, withClient(withProvider(tokenward.ProviderConfig{EndSession: tokenward.Always, NoIDTokenHint: true})))
	id := r.login()
	to, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{ReturnTo: bye}, tokenward.SessionID(id))
	if err != nil || strings.Contains(to, "hint") || !strings.Contains(to, "/oidc/logout?") {
		t.Errorf("URL = %s, %v", to, err)
	}
	r.want("loads", r.store.Loads(key(id)), 0)
}
