package test_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

const (
	entraHost  = "https://login.microsoftonline.com"
	entraAlias = entraHost + "/organizations/v2.0"
	fabrikam   = "0a1b2c3d-0000-4000-8000-00000000beef"

	contosoOnly = "72f988bf-0000-4000-8000-2d7cd011db47" // the tenant of the profile
)

// among lets users of these tenants sign in.
func among(tenants ...string) tokenward.Option {
	return tokenward.WithProvider(tokenward.ProviderConfig{Tenants: these(tenants...)})
}

func these(tenants ...string) func(context.Context, string) bool {
	return func(_ context.Context, tid string) bool { return slices.Contains(tenants, tid) }
}

// entra is a client for users of several tenants, and two of these tenants. Behind the alias is
// the one whose turn it is, as the user chooses at the real one.
type entra struct {
	t       *testing.T
	clock   *clock.Fake
	tenants map[string]*idptest.Tenant // by tid
	turn    atomic.Pointer[idptest.Tenant]
	aliased atomic.Int64 // token requests at the alias
	memory  *store.Memory
	store   *storetest.Faulty
	client  *tokenward.Client
}

// RoundTrip implements http.RoundTripper.
func (e *entra) RoundTrip(r *http.Request) (*http.Response, error) {
	for tid, tenant := range e.tenants {
		if strings.HasPrefix(r.URL.Path, "/"+tid+"/") {
			return tenant.Transport().RoundTrip(r)
		}
	}
	if r.Method == http.MethodPost {
		e.aliased.Add(1)
	}
	return e.turn.Load().Transport().RoundTrip(r)
}

func profileOf(t *testing.T, name, tid string) idptest.Profile {
	t.Helper()
	p, ok := idptest.ProfileNamed(name)
	if !ok {
		t.Fatalf("no profile %s", name)
	}
	if tid != "" {
		p.Location.Issuer, p.Location.Tenant = entraHost+"/"+tid+"/v2.0", tid
		p.IDToken.Claims["tid"] = tid
	}
	return p
}

func newEntra(t *testing.T, opts ...tokenward.Option) (e *entra, contoso string) {
	t.Helper()
	e = &entra{t: t, clock: clock.NewFake(t0), tenants: map[string]*idptest.Tenant{}}
	p := profileOf(t, "entra-organizations", "")
	contoso = p.Location.Tenant
	for tid, p := range map[string]idptest.Profile{contoso: p, fabrikam: profileOf(t, "entra-organizations", fabrikam)} {
		e.tenants[tid] = idptest.NewTenant(t, idptest.InProcess(), idptest.WithClock(e.clock), idptest.WithProfile(p))
	}
	e.turn.Store(e.tenants[contoso])
	e.memory = store.NewMemory(e.clock)
	e.store = storetest.NewFaulty(e.memory)
	e.client = e.newClient(opts...)
	return e, contoso
}

func (e *entra) newClient(opts ...tokenward.Option) *tokenward.Client {
	e.t.Helper()
	c, err := tokenward.New(tokenward.Config{
		Issuer: entraAlias, ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret, Secrets: []string{secret},
		RedirectURI: "http://127.0.0.1:9/callback",
	}, append([]tokenward.Option{
		tokenward.WithClock(e.clock), tokenward.WithHTTPClient(&http.Client{Transport: e}), tokenward.WithStateStore(e.store),
	}, opts...)...)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// signIn signs a user of a tenant in.
func (e *entra) signIn(tid string) (*tokenward.LoginResult, error) {
	e.t.Helper()
	e.turn.Store(e.tenants[tid])
	to, err := e.client.StartInteractiveLogin(e.t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
	if err != nil {
		return nil, err
	}
	back, err := e.tenants[tid].Authorize(to)
	if err != nil {
		e.t.Fatal(err)
	}
	return e.client.CompleteInteractiveLogin(e.t.Context(), back, tokenward.StoreOptions{})
}

func TestTenants_twoAtOnce(t *testing.T) {
	e, contoso := newEntra(t, among(fabrikam, contosoOnly))
	ctx := t.Context()
	ids := map[string]tokenward.StoreOptions{}
	for _, tid := range []string{contoso, fabrikam} {
		res, err := e.signIn(tid)
		if err != nil {
			t.Fatal(err)
		}
		if want := entraHost + "/" + tid + "/v2.0"; res.Session.Domain != want {
			t.Errorf("Domain = %s, want %s", res.Session.Domain, want)
		}
		ids[tid] = tokenward.SessionID(res.SessionID)
	}
	logins := e.aliased.Load()
	e.clock.Advance(idptest.TokenLife)
	e.client = e.newClient(among(contoso, fabrikam)) // a new process knows it from the session
	for tid, id := range ids {
		if _, err := e.client.GetAccessToken(ctx, tokenward.TokenRequest{}, id); err != nil {
			t.Errorf("refresh: %v", err)
		}
		if u, err := e.client.GetUser(ctx, id); err != nil || u["tid"] != tid {
			t.Errorf("user: %v, %v", u, err)
		}
		if n := e.tenants[tid].Refreshes(); n != 1 {
			t.Errorf("refreshes at the tenant = %d, want 1", n)
		}
	}
	if n := e.aliased.Load() - logins; n != 0 {
		t.Errorf("refreshes at the alias = %d, want 0", n)
	}
	for tid, id := range ids {
		to, err := e.client.Logout(ctx, tokenward.LogoutRequest{ReturnTo: goodbye}, id)
		if err != nil || !strings.HasPrefix(to, entraHost+"/"+tid+"/oauth2/v2.0/logout?") {
			t.Errorf("logout: %s, %v, want the tenant's", to, err)
		}
		if u, err := e.client.GetUser(ctx, id); u != nil || err != nil {
			t.Errorf("after the logout: %v, %v", u, err)
		}
	}
	to, err := e.client.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID("unknown"))
	if err != nil || !strings.HasPrefix(to, entraHost+"/organizations/oauth2/v2.0/logout?") {
		t.Errorf("logout without a session: %s, %v", to, err)
	}
}

// Without hint the URL is the tenant's all the same.
func TestTenants_logoutWithoutHint(t *testing.T) {
	e, _ := newEntra(t, tokenward.WithProvider(tokenward.ProviderConfig{Tenants: these(fabrikam), NoIDTokenHint: true}))
	res, err := e.signIn(fabrikam)
	if err != nil {
		t.Fatal(err)
	}
	to, err := e.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(res.SessionID))
	if err != nil || !strings.HasPrefix(to, entraHost+"/"+fabrikam+"/") || strings.Contains(to, "id_token_hint") {
		t.Errorf("logout: %s, %v", to, err)
	}
}

// A session whose tenant is not allowed any more goes on: the list says who may sign in.
func TestTenants_oneThatIsNotAllowedAnyMore(t *testing.T) {
	e, contoso := newEntra(t, among(contosoOnly))
	res, err := e.signIn(contoso)
	if err != nil {
		t.Fatal(err)
	}
	id := tokenward.SessionID(res.SessionID)
	e.client = e.newClient(among(fabrikam))
	e.clock.Advance(idptest.TokenLife)
	if _, err := e.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, id); err != nil {
		t.Errorf("refresh: %v", err)
	}
	if _, err := e.client.Logout(t.Context(), tokenward.LogoutRequest{}, id); err != nil {
		t.Errorf("logout: %v", err)
	}
	if n := e.store.Ends(); n != 1 {
		t.Errorf("deletes = %d, want 1", n)
	}
}

func TestTenants_backchannelLogout(t *testing.T) {
	e, contoso := newEntra(t, among(contosoOnly, fabrikam))
	e.turn.Store(e.tenants[fabrikam])
	other, err := e.signIn(fabrikam)
	if err != nil {
		t.Fatal(err)
	}
	res, err := e.signIn(contoso)
	if err != nil {
		t.Fatal(err)
	}
	// The keys behind the alias are those of the tenant whose turn it is.
	token := e.tenants[contoso].LogoutToken(res.Session.User.Sub(), "")
	e.client = e.newClient(among(fabrikam))
	if err := e.client.HandleBackchannelLogout(t.Context(), token, tokenward.StoreOptions{}); err != nil {
		t.Fatal(err)
	}
	if u, err := e.client.GetUser(t.Context(), tokenward.SessionID(res.SessionID)); u != nil || err != nil {
		t.Errorf("after it: %v, %v, want none", u, err)
	}
	if u, err := e.client.GetUser(t.Context(), tokenward.SessionID(other.SessionID)); u == nil || err != nil {
		t.Errorf("the user of the same sub at another tenant: %v, %v", u, err)
	}
}

// Sessions are of their tenants, and none is of the configured issuer: a sign-out that names no issuer is refused, where it would end nothing.
func TestTenants_endSessions(t *testing.T) {
	e, tid := newEntra(t, among(contosoOnly, fabrikam))
	res, err := e.signIn(tid)
	if err != nil {
		t.Fatal(err)
	}
	user := tokenward.EndRequest{Subject: res.Session.User.Sub()}
	if _, err := e.client.EndSessions(t.Context(), user, tokenward.StoreOptions{}); tokenward.CodeOf(err) != "invalid_argument" {
		t.Errorf("without an issuer: %v, want an InvalidArgumentError", err)
	}
	user.Issuer = entraHost + "/" + tid + "/v2.0"
	if n, err := e.client.EndSessions(t.Context(), user, tokenward.StoreOptions{}); n != 1 || err != nil {
		t.Errorf("at the tenant's issuer: %d ended, %v, want 1", n, err)
	}
}

func TestTenants_configuration(t *testing.T) {
	resolver := func(context.Context, store.Options) (string, error) { return "tenant.example", nil }
	const there = "https://cdn.example/metadata"
	may, at := among(fabrikam), tokenward.WithProvider(tokenward.ProviderConfig{MetadataURL: there})
	both := tokenward.WithProvider(tokenward.ProviderConfig{MetadataURL: there, Tenants: these(fabrikam)})
	for name, tt := range map[string]struct {
		cfg  tokenward.Config
		opts []tokenward.Option
		ok   bool
	}{
		"an address":                {cfg: tokenward.Config{Issuer: entraAlias}, opts: []tokenward.Option{at}, ok: true},
		"an address at a domain":    {cfg: tokenward.Config{Domain: "tenant.example"}, opts: []tokenward.Option{at}},
		"an address and a resolver": {cfg: tokenward.Config{DomainResolver: resolver}, opts: []tokenward.Option{at}},
		"an address by http":        {cfg: tokenward.Config{Issuer: entraAlias}, opts: []tokenward.Option{tokenward.WithProvider(tokenward.ProviderConfig{MetadataURL: "http://cdn.example/"})}},
		"an address on loopback":    {cfg: tokenward.Config{Issuer: "http://127.0.0.1:1/a"}, opts: []tokenward.Option{tokenward.WithProvider(tokenward.ProviderConfig{MetadataURL: "http://localhost:2/b"})}, ok: true},
		"tenants and a resolver":    {cfg: tokenward.Config{DomainResolver: resolver}, opts: []tokenward.Option{may}},
		"tenants of a domain":       {cfg: tokenward.Config{Domain: "tenant.example"}, opts: []tokenward.Option{may}},
		"a template alone":          {cfg: tokenward.Config{Issuer: entraHost + "/{tenantid}/v2.0"}},
		"a template with tenants":   {cfg: tokenward.Config{Issuer: entraHost + "/{tenantid}/v2.0"}, opts: []tokenward.Option{may}},
		"a template with both":      {cfg: tokenward.Config{Issuer: entraHost + "/{tenantid}/v2.0"}, opts: []tokenward.Option{both}, ok: true},
	} {
		tt.cfg.ClientID, tt.cfg.ClientSecret, tt.cfg.Secrets = "demo", "demo-secret", []string{secret}
		c, err := tokenward.New(tt.cfg, tt.opts...)
		if c != nil {
			_ = c.Close(context.Background())
		}
		var conf *tokenward.ConfigurationError
		if tt.ok != (err == nil) || err != nil && !errors.As(err, &conf) {
			t.Errorf("%s: %v, works: %v", name, err, tt.ok)
		}
	}
}

// The profiles whose metadata is elsewhere, with the issuer that it names and where it is.
func TestMetadataURL_ofProfiles(t *testing.T) {
	for _, name := range []string{"entra-b2c", "entra-ciam", "entra-organizations", "entra-consumers"} {
		p := profileOf(t, name, "")
		tenant := idptest.NewTenant(t, idptest.InProcess(), idptest.WithClock(clock.NewFake(t0)), idptest.WithProfile(p))
		app := tenant.Application()
		opts := []tokenward.Option{tokenward.WithHTTPClient(tenant.Client()), tokenward.WithClock(clock.NewFake(t0))}
		cfg := tokenward.Config{
			Issuer: app.Issuer, ClientID: app.ClientID, ClientSecret: app.ClientSecret, Secrets: []string{secret}, RedirectURI: "http://127.0.0.1:9/callback",
			Scopes: p.Config.Scopes,
		}
		at := tokenward.ProviderConfig{MetadataURL: app.MetadataURL}
		if tid, _ := p.IDToken.Claims["tid"].(string); p.Config.TenantTemplate || name == "entra-consumers" {
			at.Tenants = these(tid)
		}
		opts = append(opts, tokenward.WithProvider(at))
		if name == "entra-consumers" {
			cfg.Issuer = entraHost + "/consumers/v2.0" // the alias
		}
		c, err := tokenward.New(cfg, opts...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		to, err := c.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		back, err := tenant.Authorize(to)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.CompleteInteractiveLogin(t.Context(), back, tokenward.StoreOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if iss, _ := res.Session.User["iss"].(string); iss == "" || strings.TrimSuffix(res.Session.Domain, "/") != strings.TrimSuffix(iss, "/") {
			t.Errorf("%s: the session's domain is %s, its iss %s", name, res.Session.Domain, iss)
		}
		if u, err := url.Parse(to); err != nil || u.Scheme != "https" {
			t.Errorf("%s: %s", name, to)
		}
	}
}
