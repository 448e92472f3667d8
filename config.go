package tokenward

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// Config is what every host must decide. Everything else is an Option.
type Config struct {
	// Domain is an Auth0 domain such as tenant.eu.auth0.com, the same as the Issuer
	// https://DOMAIN/. One of the two is required, not both.
	Domain string

	// Issuer is the issuer URL of an OpenID provider. http is accepted for loopback
	// hosts only.
	Issuer string

	// DomainResolver says for each call which domain it is for, in place of Domain and
	// Issuer. A session then belongs to the domain it was begun at.
	DomainResolver DomainResolver

	// RegistrationResolver says for each call which registered application it is for, in place of
	// Domain, Issuer, DomainResolver and ClientSecret: one server serves tenants with registrations of
	// their own. It needs Credentials. ClientID may then be empty; it is that of sessions stored before
	// there was a resolver.
	RegistrationResolver RegistrationResolver

	// Credentials says how the applications of RegistrationResolver authenticate.
	Credentials CredentialSource

	// ClientID and ClientSecret are those of the application registered at the
	// provider. WithClientSecretFunc and WithSigningKey stand in for the secret.
	ClientID     string
	ClientSecret string

	// ClientAuth says how the client authenticates. The default is ClientSecretBasic with a
	// Domain; else, of ClientSecretBasic and ClientSecretPost, the first that the provider's
	// metadata lists (Basic where it lists none). PublicClient declares an application without
	// a secret. TLSClientAuth and SelfSignedTLSClientAuth use the certificate of WithHTTPClient's
	// transport (RFC 8705).
	ClientAuth idp.AuthMethod

	// Secrets seal records and cookies: at least one, each of 32 bytes or more. The first
	// seals, all of them open. To change one: add the new secret second, everywhere;
	// then move it first; then drop the old one when the longest session has ended.
	Secrets []string

	// RedirectURI is where the provider sends users back to. It may be given for each
	// login instead.
	RedirectURI string

	// Audience is the API that tokens are for unless a call names another.
	Audience string

	// Scopes are asked for at login and at every refresh, separated by spaces. When
	// empty, a login asks for "openid profile email offline_access". If you write
	// your own, include offline_access, or there will be nothing to refresh with.
	Scopes string

	// ScopesFor are scopes by audience. When set, Scopes must be empty.
	ScopesFor map[string]string

	// AuthorizationParams are sent with every login. An audience and a scope among them
	// are the same as Audience and Scopes.
	AuthorizationParams map[string]string

	// Organization is asked for at every login that names none.
	Organization string
}

// Format prints c without its secrets.
func (c Config) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "tokenward.Config{Domain: %q, Issuer: %q, ClientID: %q}", c.Domain, c.Issuer, c.ClientID)
}

// MarshalJSON refuses: a Config holds secrets.
func (c Config) MarshalJSON() ([]byte, error) {
	return nil, &ConfigurationError{Message: "a Config holds secrets and is not written as JSON"}
}

// issuer returns the issuer URL that c names.
func (c Config) issuer() (string, error) {
	domain, issuer := strings.TrimSuffix(strings.TrimSpace(c.Domain), "/"), strings.TrimSpace(c.Issuer)
	switch {
	case c.RegistrationResolver != nil && (c.DomainResolver != nil || domain+issuer != ""):
		return "", &ConfigurationError{Message: "RegistrationResolver: it names the issuer; leave Domain, Issuer and DomainResolver out"}
	case c.RegistrationResolver != nil:
		return "", nil
	case c.DomainResolver != nil && domain+issuer != "":
		return "", &ConfigurationError{Message: "DomainResolver: give a DomainResolver, a Domain or an Issuer, not several"}
	case c.DomainResolver != nil:
		return "", nil
	case domain == "" && issuer == "":
		return "", &ConfigurationError{Message: "Domain: a domain or an Issuer is required"}
	case domain != "" && issuer != "":
		return "", &ConfigurationError{Message: "Domain: give a Domain or an Issuer, not both"}
	case domain != "":
		if strings.ContainsAny(domain, "/?#@ ") {
			return "", &ConfigurationError{Message: "Domain: must be a bare host such as tenant.eu.auth0.com; a URL goes into Issuer"}
		}
		issuer = session.IssuerOf(domain)
	}
	if err := session.CheckIssuer(issuer); err != nil {
		return "", err
	}
	return issuer, nil
}

func (c Config) check() error {
	switch {
	case len(c.Secrets) == 0:
		return &MissingRequiredArgumentError{Argument: "secret"}
	case (c.RegistrationResolver == nil) != (c.Credentials == nil):
		return &ConfigurationError{Message: "Credentials: RegistrationResolver and Credentials go together"}
	case blank(c.ClientID) && c.RegistrationResolver == nil:
		return &ConfigurationError{Message: "ClientID: is required"}
	case c.ScopesFor != nil && (c.Scopes != "" || c.AuthorizationParams["scope"] != ""):
		return &ConfigurationError{Message: "Scopes: give Scopes or ScopesFor, not both"}
	case c.Audience != "" && c.AuthorizationParams["audience"] != "" && c.AuthorizationParams["audience"] != c.Audience:
		return &ConfigurationError{Message: "Audience: AuthorizationParams names another one"}
	}
	return nil
}

// checkAuthentication refuses an application that nothing authenticates and that is not
// declared public.
func (c Config) checkAuthentication(o options) error {
	if c.RegistrationResolver != nil {
		if c.ClientSecret != "" || c.ClientAuth != "" || o.signs || o.secretFunc != nil || o.certificate != nil || o.assertEndpoint {
			return &ConfigurationError{Message: "Credentials: with a RegistrationResolver they say how an application authenticates; leave ClientSecret, ClientAuth and the options of client authentication out"}
		}
		return nil
	}
	bySecret := c.ClientAuth == "" || c.ClientAuth == ClientSecretBasic || c.ClientAuth == ClientSecretPost
	if bySecret && c.ClientSecret == "" && !o.signs && o.secretFunc == nil {
		return &ConfigurationError{Message: "ClientSecret: a secret or WithSigningKey is required; an application without either is declared by ClientAuth PublicClient"}
	}
	return nil
}

// checkMetadataURL checks the options that are about one issuer.
func (c Config) checkMetadataURL(o options) error {
	if c.Issuer == "" && (o.metadataURL != "" || o.tenants != nil) {
		return &ConfigurationError{Message: "WithMetadataURL, WithTenants: need Config.Issuer"}
	}
	return nil
}

func (c Config) policy() session.Policy {
	p := session.Policy{
		Audience: cmp.Or(c.Audience, c.AuthorizationParams["audience"]),
		Scope:    session.MergeScopes(c.Scopes, c.AuthorizationParams["scope"]),
	}
	if c.ScopesFor != nil {
		p.ScopeFor = make(map[string]string, len(c.ScopesFor))
		for audience, scopes := range c.ScopesFor {
			p.ScopeFor[audience] = scopes
		}
	}
	return p
}

// RedirectURI returns the redirect URI (RFC 6749 section 3.1.2) of logins that name none of their own, "" when none
// was configured.
func (c *Client) RedirectURI() string { return c.cfg.redirectURI() }

func (c Config) redirectURI() string {
	return cmp.Or(c.AuthorizationParams["redirect_uri"], c.RedirectURI)
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }
