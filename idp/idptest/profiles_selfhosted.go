package idptest

import "time"

// selfHostedProfiles are servers that people run themselves.
var selfHostedProfiles = []func() Profile{
	keycloak, authentik, authentikHS256, dex, zitadel, hydra, springAuthorizationServer, nodeOIDCProvider,
}

func keycloak() Profile {
	known := []string{"openid", "profile", "email", "offline_access", "address", "phone", "roles", "web-origins", "acr", "basic", "microprofile-jwt"}
	return Profile{
		Name:    "keycloak",
		Title:   "Keycloak",
		Summary: "the key set has an encryption key; offline_access makes a session that outlives the one of the browser; refresh_expires_in is 0 then",
		Facts:   factsOf,
		Location: Location{
			Issuer:    "https://sso.example.org/realms/main",
			Authorize: "/auth", Token: "/token", JWKS: "/certs", UserInfo: "/userinfo", Revocation: "/revoke", PAR: "/ext/par/request", EndSession: "/logout",
		}.under("https://sso.example.org/realms/main/protocol/openid-connect"),
		Metadata: Metadata{
			Scopes:      known,
			AuthMethods: []AuthMethod{AuthPrivateKey, AuthBasic, AuthPost, "tls_client_auth", "client_secret_jwt"},
			AuthAlgs:    []string{"PS384", "RS384", "EdDSA", "ES384", "HS256", "HS512", "ES256", "RS256", "HS384", "ES512", "PS256", "PS512", "RS512"},
			IDTokenAlgs: []string{"PS384", "RS384", "EdDSA", "ES384", "HS256", "HS512", "ES256", "RS256", "HS384", "ES512", "PS256", "PS512", "RS512"},
			Challenges:  []string{"plain", "S256"},
			ResponseModes: []string{
				"query", "fragment", "form_post", "query.jwt", "fragment.jwt", "form_post.jwt", "jwt",
			},
			ResponseIssuer: true, BackChannel: true, BackChannelSession: true,
		},
		Keys:    KeySet{X5C: true, More: []Key{{Alg: "RSA-OAEP", Use: "enc"}}},
		Scopes:  ScopeRules{Known: known, Unknown: UnknownRedirected},
		IDToken: IDTokenForm{SID: true, Claims: Claims{"typ": "ID", "azp": ClientID, "acr": "1"}, Life: TokenLife},
		Tokens:  TokenForm{Life: 5 * time.Minute, More: Claims{"refresh_expires_in": 0, "not-before-policy": 0}},
		Refresh: RefreshRules{Given: RefreshAlways, Rotation: RotateKeepOld},
		Logout:  LogoutRules{Requires: []string{"id_token_hint|client_id"}},
	}
}

func authentik() Profile {
	return Profile{
		Name:    "authentik",
		Title:   "Authentik",
		Summary: "the issuer has a path and a slash at its end; offline_access is needed for a refresh token",
		Facts:   factsOf,
		Location: Location{
			Issuer:    "https://auth.example.org/application/o/app/",
			Authorize: "/authorize/", Token: "/token/", UserInfo: "/userinfo/", Revocation: "/revoke/",
			JWKS: "/app/jwks/", EndSession: "/app/end-session/",
		}.under("https://auth.example.org/application/o"),
		Metadata: Metadata{
			Scopes:        standardScopes(),
			AuthMethods:   []AuthMethod{AuthPost, AuthBasic},
			IDTokenAlgs:   []string{"RS256"},
			Challenges:    []string{"plain", "S256"},
			ResponseModes: []string{"query", "fragment", "form_post"},
			BackChannel:   true, BackChannelSession: true,
		},
		Keys:    KeySet{X5C: true},
		Scopes:  ScopeRules{Known: standardScopes(), Unknown: UnknownDropped},
		IDToken: IDTokenForm{SID: true, Claims: Claims{"acr": "goauthentik.io/providers/oauth2/default"}, Life: TokenLife},
		Tokens:  TokenForm{Life: 5 * time.Minute},
		Refresh: RefreshRules{Given: RefreshOfflineAccess},
	}
}

func authentikHS256() Profile {
	p := authentik()
	p.Name, p.Title = "authentik-hs256", "Authentik, no signing key chosen"
	p.Summary = "ID tokens are signed with HS256 and the client secret, and the key set is empty"
	p.Refused = "its ID tokens are signed with HS256 and the client secret: choose a signing key in the settings of the provider in Authentik"
	p.Metadata.IDTokenAlgs = []string{"HS256"}
	p.Keys = KeySet{Alg: "HS256", TokenNoKID: true}
	p.Tokens.Opaque = true
	return p
}

func dex() Profile {
	known := []string{"openid", "email", "groups", "profile", "offline_access"}
	return Profile{
		Name:    "dex",
		Title:   "Dex",
		Summary: "no logout endpoint; no scope in answers; a refused refresh is invalid_request; a refresh may not ask for more than was granted",
		Facts:   factsOf,
		Lacks:   Lacks{EndSession: true, BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://dex.example.org/dex",
			Authorize: "/auth", Token: "/token", JWKS: "/keys", UserInfo: "/userinfo",
		}.under("https://dex.example.org/dex"),
		Metadata: Metadata{
			Scopes:      known,
			AuthMethods: []AuthMethod{AuthBasic, AuthPost},
			IDTokenAlgs: []string{"RS256"},
			Challenges:  []string{"S256", "plain"},
			GrantTypes:  []string{grantCode, grantRefresh, "urn:ietf:params:oauth:grant-type:device_code"},
		},
		Scopes:  ScopeRules{Known: known, Unknown: UnknownRedirected, Strict: true},
		IDToken: IDTokenForm{Life: 24 * time.Hour},
		Tokens:  TokenForm{Type: "bearer", Scope: ScopeAbsent, Life: 24 * time.Hour},
		Refresh: RefreshRules{Given: RefreshOfflineAccess, Grace: 3 * time.Second, KeepFamily: true},
		Refusals: Refusals{Refresh: Refusal{
			Code: "invalid_request", Description: "Refresh token is invalid or has already been claimed by another client.", Status: 400,
		}},
	}
}

func zitadel() Profile {
	return Profile{
		Name:    "zitadel",
		Title:   "Zitadel",
		Summary: "the claims of the user are at userinfo unless the application is set otherwise; a refresh may not ask for more than was granted",
		Facts:   factsOf,
		Location: Location{
			Issuer:    "https://x.zitadel.cloud",
			Authorize: "/oauth/v2/authorize", Token: "/oauth/v2/token", JWKS: "/oauth/v2/keys", Revocation: "/oauth/v2/revoke",
			UserInfo: "/oidc/v1/userinfo", EndSession: "/oidc/v1/end_session",
		}.under("https://x.zitadel.cloud"),
		Metadata: Metadata{
			Scopes:        []string{"openid", "profile", "email", "phone", "address", "offline_access"},
			AuthMethods:   []AuthMethod{AuthNone, AuthBasic, AuthPost, AuthPrivateKey},
			IDTokenAlgs:   []string{"EdDSA", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512"},
			Challenges:    []string{"S256"},
			ResponseModes: []string{"query", "fragment", "form_post"},
			BackChannel:   true, BackChannelSession: true,
		},
		Scopes:      ScopeRules{Strict: true, Unknown: UnknownDropped},
		IDToken:     IDTokenForm{Thin: true, SID: true, Audiences: []string{"312909075212468632"}},
		Tokens:      TokenForm{Opaque: true, Life: 12 * time.Hour},
		Refresh:     RefreshRules{Given: RefreshOfflineAccess},
		LogoutToken: LogoutTokenForm{Type: "JWT"},
	}
}

func hydra() Profile {
	return Profile{
		Name:    "hydra",
		Title:   "Ory Hydra",
		Summary: "a logout token has sid only, neither sub nor exp; what the ID token says is the choice of the consent app, here nothing",
		Facts:   factsOf,
		Location: Location{
			Issuer:    "https://hydra.example.org/",
			Authorize: "/oauth2/auth", Token: "/oauth2/token", JWKS: "/.well-known/jwks.json", UserInfo: "/userinfo", Revocation: "/oauth2/revoke",
			EndSession: "/oauth2/sessions/logout",
		}.under("https://hydra.example.org"),
		Metadata: Metadata{
			Scopes:        []string{"offline_access", "offline", "openid"},
			AuthMethods:   []AuthMethod{AuthPost, AuthBasic, AuthPrivateKey, AuthNone},
			IDTokenAlgs:   []string{"RS256"},
			Challenges:    []string{"plain", "S256"},
			ResponseModes: []string{"query", "fragment", "form_post"},
			BackChannel:   true, BackChannelSession: true,
		},
		Scopes:      ScopeRules{Known: append([]string{"offline"}, standardScopes()...), Unknown: UnknownRedirected, Strict: true},
		IDToken:     IDTokenForm{Thin: true, SID: true, Life: TokenLife},
		Tokens:      TokenForm{Opaque: true, Type: "bearer"},
		Refresh:     RefreshRules{Given: RefreshOfflineAccess},
		Logout:      LogoutRules{Hint: HintRequired},
		LogoutToken: LogoutTokenForm{NoSub: true, NoExp: true, Type: "JWT"},
	}
}

func springAuthorizationServer() Profile {
	return Profile{
		Name:    "spring",
		Title:   "Spring Authorization Server",
		Summary: "offline_access is no scope unless the client has it registered; the ID token has no claims of the profile; a refresh may not ask for more than was granted",
		Facts:   factsOf,
		Lacks:   Lacks{BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://auth.example.org",
			Authorize: "/oauth2/authorize", Token: "/oauth2/token", JWKS: "/oauth2/jwks", UserInfo: "/userinfo", Revocation: "/oauth2/revoke",
			PAR: "/oauth2/par", EndSession: "/connect/logout",
		}.under("https://auth.example.org"),
		Metadata: Metadata{
			Scopes:      []string{"openid"},
			AuthMethods: []AuthMethod{AuthBasic, AuthPost, "client_secret_jwt", AuthPrivateKey, "tls_client_auth", "self_signed_tls_client_auth"},
			IDTokenAlgs: []string{"RS256"},
			Challenges:  []string{"S256"},
			GrantTypes:  []string{grantCode, "client_credentials", grantRefresh},
		},
		Scopes:  ScopeRules{Known: signInScopes(), Strict: true},
		IDToken: IDTokenForm{Thin: true, SID: true, Life: TokenLife / 2},
		Tokens:  TokenForm{Life: 5 * time.Minute},
		Refresh: RefreshRules{Given: RefreshAlways, Rotation: SameTokenRepeated},
		Logout:  LogoutRules{Hint: HintRequired},
		Config:  Config{Scopes: "openid profile email"},
	}
}

func nodeOIDCProvider() Profile {
	return Profile{
		Name:    "node-oidc-provider",
		Title:   "node oidc-provider 9",
		Summary: "the claims of the user are at userinfo (conformIdTokenClaims); offline_access counts with prompt=consent only",
		Facts:   factsOf,
		Lacks:   Lacks{BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://op.example.org",
			Authorize: "/auth", Token: "/token", JWKS: "/jwks", UserInfo: "/me", Revocation: "/token/revocation", PAR: "/request", EndSession: "/session/end",
		}.under("https://op.example.org"),
		Metadata: Metadata{
			Scopes:         standardScopes(),
			AuthMethods:    []AuthMethod{AuthBasic, "client_secret_jwt", AuthPost, AuthPrivateKey, AuthNone},
			IDTokenAlgs:    []string{"RS256"},
			Challenges:     []string{"S256"},
			ResponseModes:  []string{"form_post", "fragment", "query"},
			ResponseIssuer: true,
		},
		Scopes:  ScopeRules{Known: standardScopes(), Unknown: UnknownDropped, Strict: true},
		IDToken: IDTokenForm{Thin: true, Life: TokenLife},
		Tokens:  TokenForm{Opaque: true},
		Refresh: RefreshRules{Given: RefreshOfflineAccess, PromptConsent: true},
		Config:  Config{Params: map[string]string{"prompt": "consent"}},
	}
}
