package idptest

import "time"

// Location is where a provider is reached. All addresses are the provider's own, absolute
// URLs; a tenant with a socket keeps their paths. {tenant} in an endpoint stands for
// Tenant in the metadata at the issuer, and for AliasTenant in that at the alias.
type Location struct {
	Issuer string // the iss of its ID tokens
	// Alias is a second place for the metadata: Alias + "/.well-known/openid-configuration".
	Alias string
	// AliasIssuer is the issuer that the metadata at Alias names, if not Issuer.
	AliasIssuer string
	// AliasOnly says that there is no metadata below Issuer.
	AliasOnly           bool
	Tenant, AliasTenant string

	Authorize, Token, JWKS, UserInfo, Revocation, PAR, EndSession string // empty: not offered
	// Logout is a logout page that the metadata does not name.
	Logout string
}

// under returns l with base before each endpoint that is a path.
func (l Location) under(base string) Location {
	for _, e := range []*string{&l.Authorize, &l.Token, &l.JWKS, &l.UserInfo, &l.Revocation, &l.PAR, &l.EndSession, &l.Logout} {
		if len(*e) > 0 && (*e)[0] == '/' {
			*e = base + *e
		}
	}
	return l
}

// Metadata is what the discovery document says beside the issuer and the endpoints
// (OpenID Connect Discovery 1.0 section 3). A nil list is absent.
type Metadata struct {
	Scopes        []string     // scopes_supported
	AuthMethods   []AuthMethod // token_endpoint_auth_methods_supported
	AuthAlgs      []string     // token_endpoint_auth_signing_alg_values_supported
	IDTokenAlgs   []string     // id_token_signing_alg_values_supported
	Challenges    []string     // code_challenge_methods_supported
	ResponseTypes []string     // response_types_supported
	ResponseModes []string     // response_modes_supported
	GrantTypes    []string     // grant_types_supported
	Subjects      []string     // subject_types_supported; nil: public
	// ResponseIssuer sends iss in every authorization response, and promises that in
	// authorization_response_iss_parameter_supported (RFC 9207).
	ResponseIssuer     bool
	BackChannel        bool   // backchannel_logout_supported
	BackChannelSession bool   // backchannel_logout_session_supported
	PARRequired        bool   // require_pushed_authorization_requests (RFC 9126)
	More               Claims // verbatim
}

// AuthorizeRules are what the authorization endpoint demands.
type AuthorizeRules struct {
	PKCE  PKCE
	Nonce bool // demanded
	// Params are further parameters that are demanded.
	Params []string
	// FormPostScopes are scopes that are granted with response_mode=form_post only.
	FormPostScopes []string
	// UserOnce adds the parameter user to a form_post answer, with the user's name and
	// email as JSON, at the first login of each user only (Apple).
	UserOnce bool
}

// PKCE is what a provider makes of RFC 7636: [PKCEOptional], the zero value, [PKCERequired], [PKCEIgnored] or [PKCERefused].
type PKCE int

// The attitudes to PKCE.
const (
	PKCEOptional PKCE = iota // checked where the client uses it
	PKCERequired             // a login without code_challenge is refused
	PKCEIgnored              // challenge and verifier are not looked at
	PKCERefused              // a token request with code_verifier is refused as invalid_client
)

// ScopeRules are what a provider makes of scopes.
type ScopeRules struct {
	Known   []string // nil: every scope
	Unknown UnknownScope
	// Withheld are scopes that the user or a policy does not grant. The login goes on
	// without them.
	Withheld []string
	// Strict refuses a refresh that asks for more than was granted, as invalid_scope
	// (RFC 6749 section 6). Otherwise every known scope is granted.
	Strict bool
	// Means maps scopes of the provider's own to the scopes of OpenID Connect whose
	// claims they stand for: identify is profile.
	Means map[string]string
	// Renamed maps scopes to the names under which they come back in answers.
	Renamed map[string]string
}

// UnknownScope is what becomes of an authorization request with a scope that is not known: [UnknownPage], the zero value,
// [UnknownRedirected] or [UnknownDropped].
type UnknownScope int

// The answers to an unknown scope.
const (
	UnknownPage       UnknownScope = iota // an error page of the provider's: the browser does not come back
	UnknownRedirected                     // error=invalid_scope at the redirect URI (RFC 6749 section 4.1.2.1)
	UnknownDropped                        // it is granted without
)

// ClientRules are how clients authenticate.
type ClientRules struct {
	Methods []AuthMethod // nil: AuthBasic and AuthPost
	// RawBasic compares the Authorization header without form-decoding it, which RFC 6749
	// section 2.3.1 asks for.
	RawBasic bool
	// Audience is the aud that assertions must have.
	Audience Audience
	// Thumbprint demands the certificate's thumbprint in the header of assertions: x5t or
	// x5t#S256.
	Thumbprint bool
	// SecretJWT demands as client_secret a JWT that is signed by ES256, names the team in
	// iss, the client in sub and the issuer in aud, and ends within six months (Apple).
	SecretJWT bool
}

// Audience is the aud of a client assertion: [AudienceAny], the zero value, [AudienceIssuer] or [AudienceEndpoint].
type Audience string

// The audiences of client assertions (RFC 7523 section 3).
const (
	AudienceAny      Audience = "" // issuer, token endpoint, or the endpoint that is asked
	AudienceIssuer   Audience = "issuer"
	AudienceEndpoint Audience = "endpoint" // the URL of the endpoint that is asked
)

// LogoutRules are what end_session_endpoint demands (OpenID Connect RP-Initiated Logout).
type LogoutRules struct {
	Hint Hint // id_token_hint
	// Requires are parameters without which there is an error page. "a|b" is either.
	Requires []string
	// ReturnBy is the parameter with the return address; empty: post_logout_redirect_uri.
	ReturnBy string
}

// Hint is what a provider makes of id_token_hint: [HintOptional], the zero value, [HintRequired] or [HintRefused].
type Hint int

// The attitudes to id_token_hint.
const (
	HintOptional Hint = iota
	HintRequired
	HintRefused
)

// LogoutTokenForm is what a back-channel logout token looks like (OpenID Connect
// Back-Channel Logout 1.0 section 2.4). LogoutToken makes one also where the provider
// sends none, which Lacks says.
type LogoutTokenForm struct {
	NoSub, NoSID, NoExp bool
	Type                string // typ of its header; empty: logout+jwt
}

// Refusals are how the token endpoint, PAR and revocation say no. The zero value is RFC
// 6749 section 5.2: JSON, status 401 for invalid_client and 400 for the rest.
type Refusals struct {
	// Refresh answers a refresh token that is unknown, dead or was used again. The zero
	// value is invalid_grant.
	Refresh Refusal
	Status  map[string]int    // by OAuth code, where it is another
	Codes   map[string]string // by OAuth code, where the provider has a word of its own
	// OK answers every refusal with status 200 and {"ok": false, "error": …}, and adds
	// "ok": true to every success (Slack).
	OK bool
	// Throttled is the answer to the first refreshes of every login, as many as it says.
	Throttled Throttle
}

// Refusal is one error of the token endpoint.
type Refusal struct {
	Code, Description string // empty: as usual
	Status            int    // 0: as usual
}

// Throttle is what stands in front of a provider and asks to come later. Nothing
// reaches the provider then.
type Throttle struct {
	Refreshes  int // how many of each login
	Status     int
	RetryAfter time.Duration // 0: no such header
	Type, Body string        // of the answer
}
