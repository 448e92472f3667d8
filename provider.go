package tokenward

import (
	"context"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// Provider says how the Client treats its provider: what the host configured, and what the
// provider's metadata decided where the host left it open. It is for people who look for a
// fault, and may gain fields.
type Provider struct {
	Issuer     string         // the issuer URL
	ClientAuth idp.AuthMethod // how the client authenticates at the token endpoint
	Algorithms []string       // signature algorithms that ID and logout tokens may have
	LoginScope string         // what a login asks for that names no scope
	PKCE       bool           // logins send a code challenge by S256
	Nonce      bool           // logins send a nonce, and the ID token must have it
	UserInfo   bool           // the UserInfo endpoint is asked where the ID token lacks name or email
	Logout     string         // where Logout leads: "end_session_endpoint", "v2/logout" or "return_to"
}

// Provider returns how the Client treats the provider that a call with o is for. It fails with an
// *APIError of the code metadata_error, and with a *DomainResolverError.
func (c *Client) Provider(ctx context.Context, o StoreOptions) (Provider, error) {
	t, err := c.tenant(ctx, o.options())
	if err != nil {
		return Provider{}, err
	}
	client, err := c.applicationOf(ctx, t)
	if err != nil {
		return Provider{}, ofCaller(ctx, err)
	}
	m, err := client.Metadata(ctx, t.of.Issuer)
	if err != nil {
		return Provider{}, ofCaller(ctx, err)
	}
	return c.provider(client, t, m), nil
}

func (c *Client) provider(client *idp.Client, t tenant, m *idp.Metadata) Provider {
	p := Provider{
		Issuer: t.of.Issuer, ClientAuth: client.AuthMethod(m), Algorithms: slices.Clone(c.idp.SigningAlgorithms(m)),
		LoginScope: c.loginScope(t, m, "", ""), PKCE: !c.opts.noPKCE, Nonce: c.needsNonce(t, m),
		UserInfo: c.asksUserInfo(!t.domain) && m.UserInfoEndpoint != "", Logout: "v2/logout",
	}
	switch {
	case c.usesEndSession(t) && m.EndSessionEndpoint != "":
		p.Logout = "end_session_endpoint"
	case !t.domain:
		p.Logout = "return_to"
	}
	return p
}

// loginScope returns the scope parameter of a login. Where nothing names a scope, offline_access is
// left out at an issuer whose metadata lists scopes without it: some providers answer an unknown
// scope with a page from which the browser does not come back.
func (c *Client) loginScope(t tenant, m *idp.Metadata, audience, perCall string) string {
	scope := c.policy.LoginScope(audience, perCall)
	if t.domain || c.policy.NamesScopes(audience, perCall) || len(m.ScopesSupported) == 0 || slices.Contains(m.ScopesSupported, offlineAccess) {
		return scope
	}
	return strings.Join(slices.DeleteFunc(strings.Fields(scope), func(s string) bool { return s == offlineAccess }), " ")
}

const offlineAccess = "offline_access"

// maxNotedProviders bounds for how many registrations noteProvider remembers that they were noted.
const maxNotedProviders = 1000

// providers are the registrations that were noted.
type providers struct {
	mu    sync.Mutex
	noted map[session.RegistrationID]bool
}

func (p *providers) init() { p.noted = make(map[session.RegistrationID]bool) }

// first reports whether a registration is noted for the first time.
func (p *providers) first(of session.RegistrationID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.noted[of] {
		return false
	}
	if len(p.noted) >= maxNotedProviders {
		clear(p.noted)
	}
	p.noted[of] = true
	return true
}

// noteProvider logs at the first login at a provider how it is treated.
func (c *Client) noteProvider(client *idp.Client, t tenant, m *idp.Metadata) {
	if !c.providers.first(t.of) {
		return
	}
	p := c.provider(client, t, m)
	c.log.Info("provider", zap.String("issuer", p.Issuer), zap.String("client_id", t.of.ClientID), zap.String("client_auth", string(p.ClientAuth)), zap.Strings("algorithms", p.Algorithms),
		zap.String("login_scope", p.LoginScope), zap.Bool("pkce", p.PKCE), zap.Bool("nonce", p.Nonce), zap.Bool("userinfo", p.UserInfo),
		zap.String("logout", p.Logout))
	if !c.policy.NamesScopes("", "") && !slices.Contains(strings.Fields(p.LoginScope), offlineAccess) {
		c.log.Warn("logins that name no scope do not ask for offline_access, which the provider does not list in scopes_supported; "+
			"to ask for it all the same, or for what the provider has in its place, set Config.Scopes", zap.String("issuer", p.Issuer))
	}
	if c.opts.noPKCE && !p.Nonce {
		c.log.Warn("logins have neither PKCE nor a nonce: a stolen authorization code opens its owner's account", zap.String("issuer", p.Issuer))
	}
}
