package idptest

import "slices"

// Profile says how one provider behaves: what it sends, what it demands and what it
// refuses. A tenant plays it by WithProfile:
//
//	p, _ := idptest.ProfileNamed("google")
//	tenant := idptest.NewTenant(t, idptest.WithProfile(p))
//	app := tenant.Application() // what an application has to be configured with
//
// The facts are those that providers document, and those that users of many clients
// reported; Facts says when. A profile is data: change a field of a copy for a provider
// that is set up in another way.
//
// The zero value of each part stands for a provider that keeps to the specifications in
// the plainest way. See the parts for that.
type Profile struct {
	Name    string // stable, in lower case: "entra-organizations"
	Title   string // for people: "Entra ID, organizations and common"
	Summary string // in one line, what a client has to know about it
	Facts   string // year and month of the facts: "2026-11"
	// Refused, if not empty, says why a client that takes only ID tokens with a public-key
	// signature cannot sign in at this provider, and what to change there.
	Refused string

	Lacks  Lacks  // what the provider cannot do
	Config Config // how an application is configured for it

	Location    Location // where its metadata and endpoints are
	Metadata    Metadata
	Keys        KeySet
	Authorize   AuthorizeRules
	Scopes      ScopeRules
	Clients     ClientRules
	IDToken     IDTokenForm
	UserInfo    UserInfoForm
	Tokens      TokenForm
	Refresh     RefreshRules
	Refusals    Refusals
	Logout      LogoutRules
	LogoutToken LogoutTokenForm
}

// Lacks is what a provider does not offer in the configuration of its profile.
type Lacks struct {
	RefreshTokens     bool // a session ends with its first access token
	EndSession        bool // no end_session_endpoint: the user stays signed in at the provider
	UserInfo          bool // no userinfo endpoint
	BackChannelLogout bool
	Name, Email       bool // of the user, neither in the ID token nor at userinfo
}

// Config is how an application is configured for a provider, in the terms of the
// specifications. It is complete: a client that reads the metadata finds out some of it
// by itself. Tenant.Application has what depends on the tenant.
type Config struct {
	// Issuer is the URL that the application names, if not Location.Issuer.
	Issuer string
	// SeparateMetadata says that the metadata is not below that issuer: its address is
	// Location.Alias + "/.well-known/openid-configuration".
	SeparateMetadata bool
	// TenantTemplate says that the issuer in the metadata has {tenantid} in it, which the
	// claim tid of an ID token replaces.
	TenantTemplate bool

	Auth              AuthMethod // how the client authenticates; empty: AuthBasic
	ClientSecret      string     // that it has; empty: the constant ClientSecret
	AssertionAudience Audience   // aud of its assertions, where it makes any
	Thumbprint        bool       // of its certificate, as x5t#S256 in the header of assertions

	Scopes       string            // to ask for, separated by spaces; empty: DefaultScopes
	Params       map[string]string // further authorization parameters: access_type=offline
	ResponseMode string            // "form_post", or empty
	Nonce        bool              // without it the provider refuses, or nothing binds the code
	NoNonce      bool              // it does not come back in the ID token
	NoPKCE       bool              // the provider refuses code_verifier
	PAR          bool              // the request must be pushed (RFC 9126)

	// LogoutParams are parameters of the logout beside id_token_hint, client_id and
	// post_logout_redirect_uri. The value ReturnTo stands for the return address.
	LogoutParams map[string]string
	NoLogoutHint bool // leave id_token_hint out
}

// DefaultScopes is what an application asks for when its Config says nothing else.
const DefaultScopes = "openid profile email offline_access"

// ReturnTo stands for the return address in Config.LogoutParams.
const ReturnTo = "{return_to}"

// profiles makes every profile, in the order of Profiles. Each call makes it anew, so
// that callers can change what they got.
var profiles = slices.Concat(
	[]func() Profile{auth0},
	workforceProfiles, microsoftProfiles, hostedProfiles, selfHostedProfiles, socialProfiles, governmentProfiles, anyProfiles)

// Profiles returns all profiles that this package knows: the Auth0 tenant first, then
// others by kind. Callers may change what they get.
func Profiles() []Profile {
	all := make([]Profile, len(profiles))
	for i, p := range profiles {
		all[i] = p()
	}
	return all
}

// ProfileNamed returns the profile with that Name, and whether there is one.
func ProfileNamed(name string) (Profile, bool) {
	for _, one := range profiles {
		if p := one(); p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}

// WithProfile makes a tenant play the provider p. Its client ClientID is registered as
// p.Config says; clients of other options authenticate by the methods that p.Clients
// allows. Options after it change single settings: WithOverlap, WithoutRotation,
// WithResponseIssuer. It is for New: a running tenant stays the provider that it is.
//
// In-process the issuer and the endpoints have the provider's own addresses, and
// Transport answers for all of its hosts. Over the socket they keep their paths, at
// the address that the tenant listens on or, with WithIssuer, below that URL.
func WithProfile(p Profile) Option {
	return func(cfg *config) {
		cfg.profile = &p
		cfg.overlap = p.Refresh.Grace
		cfg.noRotation = p.Refresh.Rotation == SameToken || p.Refresh.Rotation == SameTokenRepeated
		cfg.responseIssuer = p.Metadata.ResponseIssuer
		cfg.tokenLife = TokenLife
		if p.Tokens.Life > 0 {
			cfg.tokenLife = p.Tokens.Life
		}
		withClient(p.client())(cfg)
	}
}

// client returns the client ClientID as it is registered at the provider.
func (p *Profile) client() client {
	c := client{id: ClientID}
	switch {
	case p.Config.Auth == AuthNone:
	case p.Config.Auth == AuthPrivateKey || p.Clients.SecretJWT:
		c.key = p.applicationKey().Public()
	case p.Config.ClientSecret != "":
		c.secret = p.Config.ClientSecret
	default:
		c.secret = ClientSecret
	}
	return c
}
