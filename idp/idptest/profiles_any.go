package idptest

import "time"

// anyProfiles each stand for a habit that several providers have.
var anyProfiles = []func() Profile{
	narrowedGrant, basicNotDecoded, publicClient, throttled, noExpiresIn, subOnlyLogout, kidMissing, duplicateKeys, pushedOnly,
}

// plainProvider keeps to the specifications.
func plainProvider(name, title, summary string) Profile {
	return Profile{
		Name: name, Title: title, Summary: summary, Facts: factsOf,
		Location: Location{
			Issuer:    "https://login.example.net",
			Authorize: "/authorize", Token: "/token", JWKS: "/jwks", UserInfo: "/userinfo", Revocation: "/revoke", EndSession: "/logout",
		}.under("https://login.example.net"),
		Metadata: Metadata{
			Scopes:      standardScopes(),
			AuthMethods: []AuthMethod{AuthBasic, AuthPost},
			IDTokenAlgs: []string{"RS256"},
			Challenges:  []string{"S256"},
			BackChannel: true, BackChannelSession: true,
		},
		Scopes:  ScopeRules{Known: standardScopes()},
		IDToken: IDTokenForm{SID: true, Life: TokenLife},
		Refresh: RefreshRules{Given: RefreshOfflineAccess},
	}
}

func narrowedGrant() Profile {
	p := plainProvider("narrowed-grant", "Any, grant narrower than the configured scopes",
		"the user does not grant profile, and a refresh that asks for it is invalid_scope (RFC 6749 section 6)")
	p.Lacks.Name = true
	p.Scopes.Withheld, p.Scopes.Strict = []string{"profile"}, true
	return p
}

func basicNotDecoded() Profile {
	p := plainProvider("basic-not-decoded", "Any, Basic that is not form-decoded",
		"the Authorization header is compared as it is, so that a form-encoded secret with + / = is wrong: authenticate by POST")
	p.Clients.RawBasic = true
	p.Config = Config{Auth: AuthPost, ClientSecret: "aB3+/x9Z==%41"}
	return p
}

func publicClient() Profile {
	p := plainProvider("public-client", "Any, public client with PKCE", "the client has no secret, and PKCE is required (token_endpoint_auth_method none)")
	p.Metadata.AuthMethods = []AuthMethod{AuthBasic, AuthPost, AuthNone}
	p.Authorize.PKCE = PKCERequired
	p.Clients.Methods = []AuthMethod{AuthNone}
	p.Config = Config{Auth: AuthNone}
	return p
}

func throttled() Profile {
	p := plainProvider("throttled", "Any, 429 without JSON",
		"what stands in front answers the first refresh of each login with status 429, Retry-After and a page")
	p.Refusals.Throttled = Throttle{
		Refreshes: 1, Status: 429, RetryAfter: 2 * time.Second,
		Type: "text/html; charset=utf-8", Body: "<!doctype html><title>Too many requests</title><h1>Slow down</h1>",
	}
	return p
}

func noExpiresIn() Profile {
	p := plainProvider("no-expires-in", "Any, no expires_in on refresh", "the answer to a refresh has no expires_in, which is only recommended (RFC 6749 section 5.1)")
	p.Tokens.ExpiresIn = ExpiresAbsentAtRefresh
	return p
}

func subOnlyLogout() Profile {
	p := plainProvider("sub-only-logout", "Any, logout token with sub only", "a logout token has sub and no sid, so that it ends all sessions of the user")
	p.Metadata.BackChannelSession = false
	p.IDToken.SID = false
	p.LogoutToken.NoSID = true
	return p
}

func kidMissing() Profile {
	p := plainProvider("kid-missing", "Any, kid in tokens but not in the set", "the one key of the set has no kid, while tokens name one (RFC 7517 section 4.5)")
	p.Keys.NoKID = true
	return p
}

func duplicateKeys() Profile {
	p := plainProvider("duplicate-kids", "Any, several keys under one kid", "keys of other kinds have the kid of the one that signs")
	p.Keys = KeySet{Alg: "PS256", NoAlg: true, NoUse: true, More: []Key{{Alg: "ES256", SameKID: true}, {Alg: "RS256", SameKID: true, NoAlg: true}, {Alg: "EdDSA"}}}
	p.Metadata.IDTokenAlgs = []string{"RS256", "PS256", "ES256", "EdDSA"}
	return p
}

func pushedOnly() Profile {
	p := plainProvider("par-required", "Any, pushed authorization requests only", "an authorization request must be pushed first (RFC 9126)")
	p.Location.PAR = "https://login.example.net/par"
	p.Metadata.PARRequired = true
	p.Config.PAR = true
	return p
}
