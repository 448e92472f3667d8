package test_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// domains is a rig whose calls say by a value which of two tenants they are for.
type domains struct {
	*rig
	other *idptest.Tenant
}

func newDomains(t *testing.T) *domains {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	resolve := func(_ context.Context, o store.Options) (string, error) {
		switch domain := o.Values["domain"].(type) {
		case string:
			return domain, nil
		case error:
			return "", domain
		}
		panic("no domain")
	}
	r := newRig(t, withConfig(func(c *tokenward.Config) {
		c.Issuer, c.DomainResolver = "", resolve
	}), withClient(tokenward.WithHTTPClient(&http.Client{Transport: transport})))
	other := idptest.NewTenant(t, idptest.WithClock(r.clock), idptest.WithClient("demo", "demo-secret"))
	return &domains{rig: r, other: other}
}

func at(tenant *idptest.Tenant, o tokenward.StoreOptions) tokenward.StoreOptions {
	return o.With(map[string]any{"domain": tenant.Issuer()})
}

func (d *domains) signIn(tenant *idptest.Tenant) string {
	d.t.Helper()
	ctx := context.Background()
	to, err := d.client.StartInteractiveLogin(ctx, tokenward.LoginRequest{}, at(tenant, tokenward.StoreOptions{}))
	if err != nil {
		d.t.Fatal(err)
	}
	back, err := tenant.Authorize(to)
	if err != nil {
		d.t.Fatal(err)
	}
	res, err := d.client.CompleteInteractiveLogin(ctx, back, at(tenant, tokenward.StoreOptions{}))
	if err != nil {
		d.t.Fatal(err)
	}
	return res.SessionID
}

func TestDomainResolver_aSessionBelongsToItsDomain(t *testing.T) {
	d := newDomains(t)
	id := d.signIn(d.tenant)
	here, there := at(d.tenant, tokenward.SessionID(id)), at(d.other, tokenward.SessionID(id))
	d.clock.Advance(idptest.TokenLife)
	ctx := t.Context()

	if u, err := d.client.GetUser(ctx, there); u != nil || err != nil {
		t.Errorf("GetUser at another domain = %v, %v, want none", u, err)
	}
	if s, err := d.client.GetSession(ctx, there); s != nil || err != nil {
		t.Errorf("GetSession at another domain = %v, %v, want none", s, err)
	}
	_, err := d.client.GetAccessToken(ctx, tokenward.TokenRequest{}, there)
	if code := tokenward.CodeOf(err); code != "domain_mismatch" {
		t.Errorf("GetAccessToken at another domain: %v", err)
	}
	_, err = d.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: "google-oauth2"}, there)
	var connection *tokenward.AccessTokenForConnectionError
	if !errors.As(err, &connection) || connection.Code != "domain_mismatch" {
		t.Errorf("connection at another domain: %v", err)
	}
	_, err = d.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: "google-oauth2"}, at(d.tenant, tokenward.SessionID("unknown")))
	if code := tokenward.CodeOf(err); code != "missing_session_domain" {
		t.Errorf("connection without a session: %v", err)
	}
	if n := d.tenant.Requests(idptest.Spend) + d.other.Requests(idptest.Spend); n != 0 {
		t.Errorf("refresh tokens spent = %d, want 0", n)
	}

	if u, err := d.client.GetUser(ctx, here); u.Sub() != idptest.Subject || err != nil {
		t.Errorf("GetUser at its domain = %v, %v", u, err)
	}
	if _, err := d.client.GetAccessToken(ctx, tokenward.TokenRequest{}, here); err != nil {
		t.Errorf("GetAccessToken at its domain: %v", err)
	}
	if n := d.tenant.Refreshes(); n != 1 || d.other.Refreshes() != 0 {
		t.Errorf("refreshes = %d and %d, want 1 and 0", n, d.other.Refreshes())
	}
}

func TestDomainResolver_logoutEndsOnlyTheDomainsOwn(t *testing.T) {
	d := newDomains(t)
	id := d.signIn(d.tenant)
	to, err := d.client.Logout(t.Context(), tokenward.LogoutRequest{}, at(d.other, tokenward.SessionID(id)))
	if err != nil || !strings.HasPrefix(to, d.other.Issuer()) {
		t.Errorf("logout at another domain: %s, %v, want the URL of that domain", to, err)
	}
	if n := d.store.Ends(); n != 0 {
		t.Errorf("deletes = %d, want 0", n)
	}
	to, err = d.client.Logout(t.Context(), tokenward.LogoutRequest{}, at(d.tenant, tokenward.SessionID(id)))
	if err != nil || !strings.HasPrefix(to, d.tenant.Issuer()) || d.store.Ends() != 1 {
		t.Errorf("logout at its domain: %s, %v, %d deletes", to, err, d.store.Ends())
	}
}

func TestDomainResolver_backchannelLogoutMustBeFromTheDomain(t *testing.T) {
	d := newDomains(t)
	id := d.signIn(d.tenant)
	token := d.tenant.LogoutToken(idptest.Subject, "")
	before := d.other.Requests(idptest.Any)
	err := d.client.HandleBackchannelLogout(t.Context(), token, at(d.other, tokenward.StoreOptions{}))
	if code := tokenward.CodeOf(err); code != "backchannel_logout_error" {
		t.Errorf("another domain's logout token: %v", err)
	}
	if n := d.other.Requests(idptest.JWKS); d.other.Requests(idptest.Any) > before+1 || n != 0 {
		t.Errorf("keys were fetched %d times for it", n)
	}
	if err := d.client.HandleBackchannelLogout(t.Context(), token, at(d.tenant, tokenward.StoreOptions{})); err != nil {
		t.Error(err)
	}
	if u, err := d.client.GetUser(t.Context(), at(d.tenant, tokenward.SessionID(id))); u != nil || err != nil {
		t.Errorf("after it: %v, %v", u, err)
	}
}

func TestDomainResolver_thereIsNoFallback(t *testing.T) {
	d := newDomains(t)
	id := d.signIn(d.tenant)
	ctx := t.Context()
	for name, value := range map[string]any{"an error": errors.New("down"), "blank": " ", "no host": "https://", "a panic": nil} {
		o := tokenward.SessionID(id).With(map[string]any{"domain": value})
		_, start := d.client.StartInteractiveLogin(ctx, tokenward.LoginRequest{}, o)
		_, user := d.client.GetUser(ctx, o)
		_, token := d.client.GetAccessToken(ctx, tokenward.TokenRequest{}, o)
		_, connection := d.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: "c"}, o)
		_, logout := d.client.Logout(ctx, tokenward.LogoutRequest{}, o)
		backchannel := d.client.HandleBackchannelLogout(ctx, "x", o)
		for call, err := range map[string]error{"start": start, "user": user, "token": token, "connection": connection, "logout": logout, "backchannel": backchannel} {
			var resolver *tokenward.DomainResolverError
			if !errors.As(err, &resolver) {
				t.Errorf("%s, %s: %v, want a DomainResolverError", name, call, err)
			}
		}
	}
	cfg := d.cfg
	cfg.Domain = "tenant.example"
	if _, err := tokenward.New(cfg); tokenward.CodeOf(err) != "configuration_error" {
		t.Errorf("a resolver and a domain: %v, want a configuration_error", err)
	}
}

// 3, 4.1 and 6.1: the session is read before anybody asks which domain it should be of.
func TestDomainResolver_mattersOnlyWhereThereIsASession(t *testing.T) {
	d := newDomains(t)
	ctx := t.Context()
	o := tokenward.SessionID("unknown").With(map[string]any{"domain": errors.New("down")})
	if u, err := d.client.GetUser(ctx, o); u != nil || err != nil {
		t.Errorf("GetUser = %v, %v, want none", u, err)
	}
	if s, err := d.client.GetSession(ctx, o); s != nil || err != nil {
		t.Errorf("GetSession = %v, %v, want none", s, err)
	}
	none := tokenward.HTTP(nil, httptest.NewRequest(http.MethodGet, "/", nil)).With(map[string]any{"domain": " "})
	for _, o := range []tokenward.StoreOptions{o, none} {
		_, err := d.client.GetAccessToken(ctx, tokenward.TokenRequest{}, o)
		wantError[*tokenward.AccessTokenError](t, "GetAccessToken", err, "missing_refresh_token")
		_, err = d.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: "c"}, o)
		wantError[*tokenward.AccessTokenForConnectionError](t, "connection", err, "missing_session_domain")
	}

	o = tokenward.SessionID("unread").With(map[string]any{"domain": errors.New("down")})
	d.store.Fail(storetest.OpLoad, 3)
	if u, err := d.client.GetUser(ctx, o); u != nil || !errors.Is(err, tokenward.ErrStore) {
		t.Errorf("GetUser where the store fails = %v, %v", u, err)
	}
	_, err := d.client.GetAccessToken(ctx, tokenward.TokenRequest{}, o)
	wantError[*tokenward.AccessTokenError](t, "GetAccessToken where the store fails", err, "store_error")
	_, err = d.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: "c"}, o)
	wantError[*tokenward.AccessTokenForConnectionError](t, "connection where the store fails", err, "store_error")
}

func TestDomainResolver_aSlashAfterTheDomain(t *testing.T) {
	cfg := tokenward.Config{
		DomainResolver: func(context.Context, store.Options) (string, error) { return " Tenant.Example/ ", nil },
		ClientID:       "demo", ClientSecret: "demo-secret", Secrets: []string{secret},
	}
	static := cfg
	static.Domain, static.DomainResolver = "tenant.example/", nil
	for _, cfg := range []tokenward.Config{cfg, static} {
		c, err := tokenward.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background()) //nolint:errcheck // nothing is under way
		to, err := c.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID("nobody"))
		if err != nil || to != "https://tenant.example/v2/logout?client_id=demo" {
			t.Errorf("logout: %s, %v", to, err)
		}
	}
}
