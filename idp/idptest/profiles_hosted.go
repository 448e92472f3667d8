package idptest

// hostedProfiles are services that sign the users of applications in.
var hostedProfiles = []func() Profile{cognito, descope, clerk, workOS, stytch}

func cognito() Profile {
	const issuer = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI"
	return Profile{
		Name:    "cognito",
		Title:   "AWS Cognito",
		Summary: "offline_access is an unknown scope; refresh answers repeat no refresh token; the logout wants logout_uri",
		Facts:   factsOf,
		Lacks:   Lacks{BackChannelLogout: true},
		Location: Location{
			Issuer:    issuer,
			Authorize: "/oauth2/authorize", Token: "/oauth2/token", UserInfo: "/oauth2/userInfo", Revocation: "/oauth2/revoke", EndSession: "/logout",
			JWKS: issuer + "/.well-known/jwks.json",
		}.under("https://x.auth.eu-central-1.amazoncognito.com"),
		Metadata: Metadata{
			Scopes:        []string{"openid", "email", "phone", "profile"},
			AuthMethods:   []AuthMethod{AuthBasic, AuthPost},
			IDTokenAlgs:   []string{"RS256"},
			ResponseTypes: []string{"code", "token"},
		},
		Scopes:   ScopeRules{Known: []string{"openid", "email", "phone", "profile", "aws.cognito.signin.user.admin"}},
		IDToken:  IDTokenForm{Claims: Claims{"token_use": "id", "cognito:username": "ada"}, Life: TokenLife},
		UserInfo: UserInfoForm{VerifiedText: true, Claims: Claims{"username": "ada"}},
		Tokens:   TokenForm{Scope: ScopeAbsent},
		Refresh:  RefreshRules{Given: RefreshAlways, Rotation: SameToken},
		Logout:   LogoutRules{Requires: []string{"client_id", "logout_uri"}, ReturnBy: "logout_uri"},
		Config:   Config{Scopes: "openid profile email", Nonce: true, LogoutParams: map[string]string{"logout_uri": ReturnTo}},
	}
}

func descope() Profile {
	return Profile{
		Name:    "descope",
		Title:   "Descope",
		Summary: "the issuer has the project id in its path",
		Facts:   factsOf,
		Location: Location{
			Issuer:    "https://api.descope.com/P2aBcDeFgHiJkLmN",
			Authorize: "/oauth2/v1/authorize", Token: "/oauth2/v1/token", UserInfo: "/oauth2/v1/userinfo", Revocation: "/oauth2/v1/revoke",
			EndSession: "/oauth2/v1/logout", JWKS: "/P2aBcDeFgHiJkLmN/.well-known/jwks.json",
		}.under("https://api.descope.com"),
		Metadata: Metadata{
			Scopes:      []string{"openid", "profile", "email", "phone", "offline_access", "descope.claims", "descope.custom_claims"},
			AuthMethods: []AuthMethod{AuthPost, AuthBasic, AuthNone},
			IDTokenAlgs: []string{"RS256"},
			Challenges:  []string{"S256"},
			BackChannel: true,
		},
		Scopes:  ScopeRules{Unknown: UnknownDropped},
		Refresh: RefreshRules{Given: RefreshOfflineAccess},
	}
}

func clerk() Profile {
	return Profile{
		Name:    "clerk",
		Title:   "Clerk",
		Summary: "there is no logout endpoint",
		Facts:   factsOf,
		Lacks:   Lacks{EndSession: true, BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://clerk.example.com",
			Authorize: "/oauth/authorize", Token: "/oauth/token", UserInfo: "/oauth/userinfo", Revocation: "/oauth/token/revoke",
			JWKS: "/.well-known/jwks.json",
		}.under("https://clerk.example.com"),
		Metadata: Metadata{
			Scopes:      []string{"openid", "profile", "email", "public_metadata", "private_metadata", "offline_access"},
			AuthMethods: []AuthMethod{AuthBasic, AuthNone, AuthPost},
			IDTokenAlgs: []string{"RS256"},
			Challenges:  []string{"S256"},
		},
		Scopes: ScopeRules{
			Known:   []string{"openid", "profile", "email", "public_metadata", "private_metadata", "offline_access"},
			Unknown: UnknownRedirected,
		},
		Tokens:  TokenForm{Opaque: true},
		Refresh: RefreshRules{Given: RefreshOfflineAccess},
	}
}

func workOS() Profile {
	return Profile{
		Name:    "workos",
		Title:   "WorkOS AuthKit (Connect)",
		Summary: "there is no logout endpoint; the reference calls nonce required",
		Facts:   factsOf,
		Lacks:   Lacks{EndSession: true, BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://x.authkit.app",
			Authorize: "/oauth2/authorize", Token: "/oauth2/token", UserInfo: "/oauth2/userinfo", JWKS: "/oauth2/jwks",
		}.under("https://x.authkit.app"),
		Metadata: Metadata{
			Scopes:        standardScopes(),
			AuthMethods:   []AuthMethod{AuthNone, AuthPost, AuthBasic},
			IDTokenAlgs:   []string{"RS256"},
			Challenges:    []string{"S256"},
			ResponseModes: []string{"query"},
			GrantTypes:    []string{grantCode, grantRefresh},
		},
		Scopes:  ScopeRules{Known: standardScopes(), Unknown: UnknownRedirected},
		Refresh: RefreshRules{Given: RefreshOfflineAccess},
		Config:  Config{Auth: AuthPost, Nonce: true},
	}
}

func stytch() Profile {
	return Profile{
		Name:    "stytch",
		Title:   "Stytch Connected Apps",
		Summary: "there is no logout endpoint; the authorization endpoint is a page of the application that signs in there",
		Facts:   factsOf,
		Lacks:   Lacks{EndSession: true, BackChannelLogout: true},
		Location: Location{
			Issuer: "https://p.customers.stytch.com",
			Token:  "/v1/oauth2/token", UserInfo: "/v1/oauth2/userinfo", JWKS: "/.well-known/jwks.json",
			Authorize: "https://login.example.com/oauth2/authorize",
		}.under("https://p.customers.stytch.com"),
		Metadata: Metadata{
			Scopes:      []string{"openid", "profile", "email", "phone", "offline_access"},
			AuthMethods: []AuthMethod{AuthBasic, AuthPost},
			IDTokenAlgs: []string{"RS256"},
			GrantTypes:  []string{grantCode},
			More:        Claims{"status_code": 200, "request_id": "request-id-test"},
		},
		Scopes:  ScopeRules{Known: []string{"openid", "profile", "email", "phone", "offline_access"}, Unknown: UnknownRedirected},
		Tokens:  TokenForm{More: Claims{"status_code": 200, "request_id": "request-id-test"}},
		Refresh: RefreshRules{Given: RefreshOfflineAccess},
		Config:  Config{Nonce: true},
	}
}
