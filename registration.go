package tokenward

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/logging"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Registration is an application as it is registered at one provider.
type Registration struct {
	Domain string // an Auth0 domain, or
	Issuer string // the issuer URL of an OpenID provider

	ClientID string

	// RedirectURI is where logins that name no other are sent back to; empty: Config.RedirectURI. One of
	// its own for each issuer also protects against mix-up; see ProviderConfig.NoMixUpCheck.
	RedirectURI string

	// Credentials may be left out. Given, they serve for what the call itself sends: a pushed login, or a
	// code. Else, and for all other requests, Config.Credentials is asked.
	Credentials Credentials
}

// Format prints r without its secrets.
func (r Registration) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "tokenward.Registration{Domain: %q, Issuer: %q, ClientID: %q}", r.Domain, r.Issuer, r.ClientID)
}

// MarshalJSON refuses: a Registration may hold secrets.
func (r Registration) MarshalJSON() ([]byte, error) {
	return nil, &ConfigurationError{Message: "a Registration may hold secrets and is not written as JSON"}
}

// Credentials authenticate one registered application: by a secret, a key or a certificate. Without any, the application can
// begin a login and send users to a logout, but request nothing.
type Credentials struct {
	ClientSecret string
	Auth         idp.AuthMethod // as Config.ClientAuth

	// SigningKey signs assertions that authenticate the client (private_key_jwt, RFC 7523), in place of the secret, which is
	// then not sent. It is an *rsa.PrivateKey, *ecdsa.PrivateKey or ed25519.PrivateKey (see idp.ParseSigningKey). SigningAlg is
	// a name of RFC 7518, when empty RS256 for RSA keys, ES256 for P-256 and so on; SigningKeyID, which may be empty, becomes the
	// header kid.
	SigningKey   crypto.PrivateKey
	SigningAlg   string
	SigningKeyID string

	// SigningCertificate is the certificate of SigningKey. Each assertion names it by its
	// thumbprint (x5t#S256 and x5t, RFC 7515 section 4.1.8). Entra ID and ADFS demand it. The
	// default is to name none.
	SigningCertificate *x509.Certificate

	// AssertTokenEndpoint makes the token endpoint the audience of the
	// assertions, in place of the issuer (RFC 7523 section 3 allows both): login.gov and
	// GOV.UK One Login take nothing else.
	AssertTokenEndpoint bool

	// HTTPClient makes this application's authenticated requests, in place of that of WithHTTPClient; nil means that
	// one. For mutual TLS its transport has the application's certificate, and is kept for many requests. Metadata
	// and keys may be fetched by either.
	HTTPClient *http.Client
}

// Format prints a without its secrets.
func (a Credentials) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "tokenward.Credentials{Auth: %q}", string(a.Auth))
}

// MarshalJSON writes a without its secrets.
func (a Credentials) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(a)) }

// RegistrationResolver says which registered application a call is for, such as by the host of the call's
// request: o.Request, which is nil where the call names its session by the id. It is called once per call, and
// must be safe for concurrent use. An error, a panic or a registration without issuer or client id fails the call
// with a *DomainResolverError; there is no fallback.
//
// A session belongs to the issuer and the client id that it was begun with: calls for another registration find
// none, or fail with missing_session_domain or domain_mismatch, and a login's callback fails with an
// *IssuerValidationError where the resolver, asked with the callback's request, names another registration than
// the login's. Where the callback says its issuer, the resolver may fail there. See ProviderConfig.NoMixUpCheck.
// A logout token is accepted for any application that Credentials knows at the issuer that the resolver names.
type RegistrationResolver func(ctx context.Context, o store.Options) (Registration, error)

// CredentialSource returns how an application authenticates. It is asked when a login begins, and for each request that
// is authenticated, also where no user's request is at hand: for refreshes, which callers share, for what a crash cut
// off, for revocations. It must be safe for concurrent use; the request's time runs while it is asked. issuer is
// spelled as the RegistrationResolver or Config spelled it, a Domain as https://DOMAIN/; clientID is without a RegistrationResolver that of Config.
//
// It fails for an application that is none of the host's: logout tokens for that one are refused. An error or a
// panic fails the request with a *ConfigurationError, and nothing was sent.
type CredentialSource func(ctx context.Context, issuer, clientID string) (Credentials, error)

// registering reports whether registrations come from a resolver.
func (c *Client) registering() bool { return c.cfg.RegistrationResolver != nil }

// application returns the client that sends requests for a registration.
func (c *Client) application(ctx context.Context, of session.RegistrationID) (*idp.Client, error) {
	if c.cfg.Credentials == nil {
		return c.idp, nil
	}
	if !c.registering() { // a session names the issuer of its tenant
		of.Issuer, of.ClientID = cmp.Or(c.issuer, of.Issuer), c.cfg.ClientID
	}
	a, err := c.credentials(ctx, of)
	if err != nil {
		return nil, err
	}
	return c.idp.For(of.ClientID, idp.Credentials(a))
}

// applicationOf is application for what a call itself sends.
func (c *Client) applicationOf(ctx context.Context, t tenant) (*idp.Client, error) {
	if c.registering() && authenticates(t.credentials) {
		return c.idp.For(t.of.ClientID, idp.Credentials(t.credentials))
	}
	return c.application(ctx, t.of)
}

// unauthenticated returns a client for what needs no credentials.
func (c *Client) unauthenticated(of session.RegistrationID) (*idp.Client, error) {
	if !c.registering() {
		return c.idp, nil
	}
	return c.idp.For(of.ClientID, idp.Credentials{})
}

// credentials asks the host. A panic's value is not shown, for it may be a secret.
func (c *Client) credentials(ctx context.Context, of session.RegistrationID) (a Credentials, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the function panicked with a %T", p)
		}
		if err != nil {
			a, err = Credentials{}, &ConfigurationError{
				Message: "Credentials: there are none for this application", Err: fmt.Errorf("client %q at %s: %w", of.ClientID, of.Issuer, err),
			}
		}
	}()
	if of.ClientID == "" {
		return a, errors.New("the session was stored without a client id; ClientID says which one it is")
	}
	if a, err = c.cfg.Credentials(ctx, of.Issuer, of.ClientID); err == nil && !authenticates(a) {
		err = errors.New("neither a secret nor a key was returned; an application without either is declared by Auth PublicClient")
	}
	return a, err
}

// authenticates reports whether a says how the application authenticates.
func authenticates(a Credentials) bool {
	return a.ClientSecret != "" || a.SigningKey != nil || a.Auth == PublicClient || a.Auth.UsesCertificate()
}

// lackSecret reports whether a authenticates by a secret and has none.
func (a Credentials) lackSecret() bool {
	bySecret := a.Auth == "" || a.Auth == ClientSecretBasic || a.Auth == ClientSecretPost
	return bySecret && a.ClientSecret == "" && a.SigningKey == nil
}

// ownerOf returns the registration that a session belongs to.
func (c *Client) ownerOf(s *session.State) session.RegistrationID {
	return session.RegistrationID{Issuer: session.IssuerOf(s.SessionDomain(c.domain)), ClientID: s.SessionClient(c.cfg.ClientID)}
}

// domainOf returns how an issuer is written in transactions and sessions. For registrations that is so that
// session.IssuerOf spells it as the resolver did, for the host's Credentials.
func (c *Client) domainOf(issuer string) string {
	domain := session.DomainOf(issuer)
	if c.registering() && session.IssuerOf(domain) != issuer {
		return issuer
	}
	return domain
}

// DomainResolver says which domain a call is for, where one server serves several
// (Auth0's multiple custom domains): an Auth0 domain or an issuer URL. It is given the
// call's store options, is called once per call, and must be safe for concurrent use. An
// error, a panic or a blank domain fails the call with a *DomainResolverError; there
// is no fallback. At a callback that does not say its issuer it is asked whether the callback is
// from the issuer at which the login began; see ProviderConfig.NoMixUpCheck.
type DomainResolver func(ctx context.Context, o store.Options) (domain string, err error)

// resolving reports whether domains come from a resolver.
func (c *Client) resolving() bool { return c.cfg.DomainResolver != nil || c.registering() }

// tenant is whom a call is for.
type tenant struct {
	of     session.RegistrationID
	domain bool // the issuer was named as an Auth0 domain, not as a URL

	// What a RegistrationResolver said beside it.
	redirectURI string
	credentials Credentials
}

// tenant returns whom this call is for.
func (c *Client) tenant(ctx context.Context, o store.Options) (t tenant, err error) {
	if !c.resolving() {
		return tenant{of: session.RegistrationID{Issuer: c.issuer, ClientID: c.cfg.ClientID}, domain: c.cfg.Domain != ""}, nil
	}
	defer func() {
		if r := recover(); r != nil {
			t, err = tenant{}, &DomainResolverError{Message: fmt.Sprintf("the domain resolver panicked (%T)", r)}
		}
	}()
	r, err := c.registration(ctx, o)
	if err != nil {
		return t, &DomainResolverError{Message: "the domain resolver failed", Err: err}
	}
	named := Config{Domain: r.Domain, Issuer: r.Issuer}
	issuer, err := named.issuer()
	switch {
	case err != nil:
		return t, &DomainResolverError{Message: "the domain resolver named no usable domain", Err: err}
	case blank(r.ClientID):
		return t, &DomainResolverError{Message: "the registration resolver named no ClientID"}
	case !utf8.ValidString(r.ClientID) || !utf8.ValidString(r.RedirectURI):
		return t, &DomainResolverError{Message: "the registration resolver named a ClientID or a RedirectURI that is not UTF-8"}
	}
	return tenant{
		of: session.RegistrationID{Issuer: issuer, ClientID: r.ClientID}, domain: blank(named.Issuer),
		redirectURI: r.RedirectURI, credentials: r.Credentials,
	}, nil
}

// registration asks the host's resolver.
func (c *Client) registration(ctx context.Context, o store.Options) (Registration, error) {
	if c.registering() {
		return c.cfg.RegistrationResolver(ctx, o)
	}
	domain, err := c.cfg.DomainResolver(ctx, o)
	if strings.Contains(domain, "://") {
		return Registration{Issuer: domain, ClientID: c.cfg.ClientID}, err
	}
	return Registration{Domain: domain, ClientID: c.cfg.ClientID}, err
}

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
// *APIError of the code metadata_error, a *DomainResolverError, and a *ConfigurationError where Config.Credentials fails.
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
		LoginScope: c.loginScope(t, m, "", ""), PKCE: !c.opts.provider.NoPKCE, Nonce: c.needsNonce(t, m),
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

// maxNoted bounds how many values a noted remembers.
const maxNoted = 1000

// noted are values of which something was logged.
type noted[T comparable] struct {
	mu   sync.Mutex
	seen map[T]bool
}

func (n *noted[T]) init() { n.seen = make(map[T]bool) }

// first reports whether v is noted for the first time.
func (n *noted[T]) first(v T) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen[v] {
		return false
	}
	if len(n.seen) >= maxNoted {
		clear(n.seen)
	}
	n.seen[v] = true
	return true
}

// noteAudience logs, once for each audience, that the answer to a refresh is a token for another one. Which one is for
// Token.ActualAudience to say: the log takes no text from a token.
func (c *Client) noteAudience(ctx context.Context, r idp.RefreshRequest, t session.TokenResponse) {
	if c.opts.provider.StrictAudience || session.OtherAudience(r.Audience, t.TokenAudience) == "" || !c.audiences.first([2]string{r.Issuer, r.Audience}) {
		return
	}
	c.log.Warn("the provider answers with tokens for another audience than the one asked for: have it allow this application to refresh for that one; "+
		"Token.ActualAudience shows it, ProviderConfig.StrictAudience makes it an error", zap.String("asked", r.Audience), zap.String("issuer", r.Issuer), logging.Of(ctx))
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
	if c.opts.provider.NoPKCE && !p.Nonce {
		c.log.Warn("logins have neither PKCE nor a nonce: a stolen authorization code opens its owner's account", zap.String("issuer", p.Issuer))
	}
}
