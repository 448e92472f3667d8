package idptest

import "time"

// workforceProfiles are services that sign employees in.
var workforceProfiles = []func() Profile{okta, oktaThin, oktaPrivateKeyJWT, oneLogin, pingFederate, salesforce}

func okta() Profile {
	return Profile{
		Name:    "okta",
		Title:   "Okta (org and custom authorization servers)",
		Summary: "refresh tokens come with offline_access and are rotated with a grace period; the logout needs id_token_hint",
		Facts:   factsOf,
		Lacks:   Lacks{BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://dev-1.okta.com/oauth2/default",
			Authorize: "/authorize", Token: "/token", JWKS: "/keys", UserInfo: "/userinfo", Revocation: "/revoke", PAR: "/par", EndSession: "/logout",
		}.under("https://dev-1.okta.com/oauth2/default/v1"),
		Metadata: Metadata{
			Scopes:        []string{"openid", "profile", "email", "address", "phone", "offline_access", "device_sso"},
			AuthMethods:   []AuthMethod{AuthBasic, AuthPost, "client_secret_jwt", AuthPrivateKey, AuthNone},
			IDTokenAlgs:   []string{"RS256"},
			Challenges:    []string{"S256"},
			ResponseModes: []string{"query", "fragment", "form_post", "okta_post_message"},
			GrantTypes:    []string{grantCode, "implicit", grantRefresh, "password"},
		},
		Scopes: ScopeRules{
			Known:   []string{"openid", "profile", "email", "address", "phone", "offline_access", "device_sso"},
			Unknown: UnknownRedirected,
		},
		IDToken: IDTokenForm{Claims: Claims{"ver": 1, "amr": []string{"pwd"}, "idp": "00o000000000000000"}, Life: TokenLife},
		Refresh: RefreshRules{Given: RefreshOfflineAccess, Grace: 30 * time.Second},
		Logout:  LogoutRules{Hint: HintRequired},
	}
}

func oktaThin() Profile {
	p := okta()
	p.Name, p.Title = "okta-thin", "Okta, thin ID token"
	p.Summary = "the org server leaves the claims of profile and email to userinfo where the answer has an access token too"
	p.Location = Location{
		Issuer:    "https://dev-1.okta.com",
		Authorize: "/authorize", Token: "/token", JWKS: "/keys", UserInfo: "/userinfo", Revocation: "/revoke", PAR: "/par", EndSession: "/logout",
	}.under("https://dev-1.okta.com/oauth2/v1")
	p.IDToken.Thin = true
	return p
}

func oktaPrivateKeyJWT() Profile {
	p := okta()
	p.Name, p.Title = "okta-private-key-jwt", "Okta, private_key_jwt"
	p.Summary = "the audience of a client assertion must be the endpoint that is asked, not the issuer"
	p.Clients = ClientRules{Methods: []AuthMethod{AuthPrivateKey}, Audience: AudienceEndpoint}
	p.Config = Config{Auth: AuthPrivateKey, AssertionAudience: AudienceEndpoint}
	return p
}

func oneLogin() Profile {
	return Profile{
		Name:    "onelogin",
		Title:   "OneLogin",
		Summary: "an application authenticates by Basic or by POST as it is set there, and in no other way",
		Facts:   factsOf,
		Lacks:   Lacks{BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://x.onelogin.com/oidc/2",
			Authorize: "/auth", Token: "/token", JWKS: "/certs", UserInfo: "/me", Revocation: "/token/revocation", EndSession: "/logout",
		}.under("https://x.onelogin.com/oidc/2"),
		Metadata: Metadata{
			Scopes:      []string{"openid", "profile", "email", "groups", "params", "phone", "offline_access"},
			AuthMethods: []AuthMethod{AuthBasic, AuthPost, AuthNone},
			IDTokenAlgs: []string{"RS256"},
			Challenges:  []string{"S256"},
		},
		Scopes:  ScopeRules{Known: []string{"openid", "profile", "email", "groups", "params", "phone", "offline_access"}, Unknown: UnknownDropped},
		Clients: ClientRules{Methods: []AuthMethod{AuthBasic}},
		Tokens:  TokenForm{Opaque: true},
		Refresh: RefreshRules{Given: RefreshOfflineAccess},
	}
}

func pingFederate() Profile {
	return Profile{
		Name:    "pingfederate",
		Title:   "PingFederate",
		Summary: "the key set has RSA keys twice, without alg and once more as KID_RS256, and EC keys beside them",
		Facts:   factsOf,
		Lacks:   Lacks{BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://sso.example.com",
			Authorize: "/as/authorization.oauth2", Token: "/as/token.oauth2", JWKS: "/pf/JWKS", UserInfo: "/idp/userinfo.openid",
			Revocation: "/as/revoke_token.oauth2", PAR: "/as/par.oauth2", EndSession: "/idp/startSLO.ping",
		}.under("https://sso.example.com"),
		Metadata: Metadata{
			Scopes:      []string{"openid", "profile", "email", "address", "phone", "offline_access"},
			AuthMethods: []AuthMethod{AuthBasic, AuthPost, AuthPrivateKey},
			IDTokenAlgs: []string{"none", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"},
			Challenges:  []string{"plain", "S256"},
		},
		Keys: KeySet{NoAlg: true, Twice: true, More: []Key{{Alg: "ES256", NoAlg: true}, {Alg: "ES384", NoAlg: true}}},
		Scopes: ScopeRules{
			Known:   []string{"openid", "profile", "email", "address", "phone", "offline_access"},
			Unknown: UnknownRedirected,
		},
		IDToken: IDTokenForm{Claims: Claims{"pi.sri": "session-reference"}},
		Tokens:  TokenForm{HideOffline: true},
		Refresh: RefreshRules{Given: RefreshAlways},
	}
}

func salesforce() Profile {
	known := []string{
		"openid", "id", "profile", "email", "address", "phone", "offline_access", "refresh_token", "api", "web", "full",
		"chatter_api", "custom_permissions", "visualforce", "lightning", "content", "wave_api", "eclair_api",
	}
	return Profile{
		Name:    "salesforce",
		Title:   "Salesforce",
		Summary: "no expires_in, ever; issued_at is text; the claims of the user are at userinfo",
		Facts:   factsOf,
		Lacks:   Lacks{BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://login.salesforce.com",
			Authorize: "/services/oauth2/authorize", Token: "/services/oauth2/token", JWKS: "/id/keys", UserInfo: "/services/oauth2/userinfo",
			Revocation: "/services/oauth2/revoke", EndSession: "/services/auth/idp/oidc/logout",
		}.under("https://login.salesforce.com"),
		Metadata: Metadata{
			Scopes:        known,
			AuthMethods:   []AuthMethod{AuthPost, AuthBasic, AuthPrivateKey},
			IDTokenAlgs:   []string{"RS256"},
			ResponseTypes: []string{"code", "token", "token id_token"},
		},
		Scopes:  ScopeRules{Known: known},
		IDToken: IDTokenForm{Thin: true},
		Tokens: TokenForm{
			Opaque:    true,
			Life:      2 * TokenLife, // as the administrator sets it; the client is not told
			ExpiresIn: ExpiresAbsent,
			IssuedAt:  true,
			More: Claims{
				"id":           "https://login.salesforce.com/id/00D000000000000EAA/005000000000000AAA",
				"instance_url": "https://x.my.salesforce.com", "signature": "c2lnbmF0dXJl",
			},
		},
		Refresh: RefreshRules{Given: RefreshScope, Rotation: SameToken},
		Config:  Config{Nonce: true},
	}
}
