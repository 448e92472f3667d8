package idptest

// factsOf is when the facts of the profiles were last looked at.
const factsOf = "2026-11"

// standardScopes are those of DefaultScopes.
func standardScopes() []string { return []string{"openid", "profile", "email", "offline_access"} }

// signInScopes are those without refresh tokens.
func signInScopes() []string { return []string{"openid", "profile", "email"} }

// auth0 is what a tenant plays without WithProfile.
func auth0() Profile {
	loc := Location{
		Issuer:    "https://tenant.example/",
		Authorize: "/authorize", Token: "/oauth/token", JWKS: "/.well-known/jwks.json", UserInfo: "/userinfo",
		Revocation: "/oauth/revoke", PAR: "/oauth/par", EndSession: "/oidc/logout", Logout: "/v2/logout",
	}
	return Profile{
		Name:     "auth0",
		Title:    "Auth0",
		Summary:  "refresh tokens are rotated, and one that is used again ends its family; a refused refresh has status 403",
		Facts:    factsOf,
		Location: loc.under("https://tenant.example"),
		Metadata: Metadata{
			Scopes:        []string{"openid", "profile", "email", "offline_access"},
			AuthMethods:   []AuthMethod{AuthBasic, AuthPost, AuthPrivateKey},
			AuthAlgs:      []string{"RS256", "PS256", "ES256"},
			IDTokenAlgs:   []string{"RS256"},
			Challenges:    []string{"S256"},
			ResponseTypes: []string{"code", "id_token"},
			ResponseModes: []string{"query", "form_post"},
			GrantTypes:    []string{grantCode, grantRefresh, grantConnection},
			BackChannel:   true, BackChannelSession: true,
		},
		Authorize: AuthorizeRules{PKCE: PKCERequired},
		Scopes:    ScopeRules{},
		Clients:   ClientRules{Methods: []AuthMethod{AuthBasic, AuthPost, AuthPrivateKey, AuthNone}},
		IDToken:   IDTokenForm{AnyScope: true, SID: true},
		UserInfo:  UserInfoForm{AnyScope: true},
		Refresh:   RefreshRules{Given: RefreshOfflineAccess},
		Refusals:  Refusals{Status: map[string]int{"invalid_grant": 403, "mfa_required": 403}},
	}
}
