package idptest

import "time"

// governmentProfiles are services of states for their citizens.
var governmentProfiles = []func() Profile{loginGov, govUKOneLogin, franceConnect}

func loginGov() Profile {
	return Profile{
		Name:    "logingov",
		Title:   "login.gov",
		Summary: "nonce and acr_values are demanded; the audience of a client assertion is the token endpoint; the logout refuses id_token_hint; no refresh tokens",
		Facts:   factsOf,
		Lacks:   Lacks{RefreshTokens: true, BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://secure.login.gov/",
			Authorize: "/openid_connect/authorize", Token: "/api/openid_connect/token", JWKS: "/api/openid_connect/certs",
			UserInfo: "/api/openid_connect/userinfo", EndSession: "/openid_connect/logout",
		}.under("https://secure.login.gov"),
		Metadata: Metadata{
			Scopes:        []string{"email", "openid", "address", "phone", "profile", "profile:birthdate", "profile:name", "profile:verified_at", "all_emails"},
			AuthMethods:   []AuthMethod{AuthPrivateKey},
			AuthAlgs:      []string{"RS256"},
			IDTokenAlgs:   []string{"RS256"},
			Challenges:    []string{"S256"},
			ResponseTypes: []string{"code"},
			GrantTypes:    []string{grantCode},
			Subjects:      []string{"pairwise"},
		},
		Authorize: AuthorizeRules{Nonce: true, Params: []string{"acr_values", "state"}},
		Scopes:    ScopeRules{Known: []string{"email", "openid", "address", "phone", "profile"}, Unknown: UnknownDropped},
		Clients:   ClientRules{Methods: []AuthMethod{AuthPrivateKey}, Audience: AudienceEndpoint},
		IDToken:   IDTokenForm{Thin: true, Claims: Claims{"acr": "urn:acr.login.gov:auth-only"}, Life: TokenLife / 4},
		Tokens:    TokenForm{Opaque: true, Scope: ScopeAbsent, Life: 15 * time.Minute},
		Logout:    LogoutRules{Hint: HintRefused, Requires: []string{"client_id", "post_logout_redirect_uri"}},
		Config: Config{
			Auth: AuthPrivateKey, AssertionAudience: AudienceEndpoint, Scopes: "openid profile email", Nonce: true, NoLogoutHint: true,
			Params: map[string]string{"acr_values": "urn:acr.login.gov:auth-only"},
		},
	}
}

func govUKOneLogin() Profile {
	return Profile{
		Name:    "govuk-one-login",
		Title:   "GOV.UK One Login",
		Summary: "keys are ES256; nonce and vtr are demanded; the audience of a client assertion is the token endpoint; a logout token has sub only",
		Facts:   factsOf,
		Lacks:   Lacks{RefreshTokens: true, Name: true},
		Location: Location{
			Issuer:    "https://oidc.account.gov.uk/",
			Authorize: "/authorize", Token: "/token", JWKS: "/.well-known/jwks.json", UserInfo: "/userinfo", EndSession: "/logout",
		}.under("https://oidc.account.gov.uk"),
		Metadata: Metadata{
			Scopes:      []string{"openid", "email", "phone"},
			AuthMethods: []AuthMethod{AuthPrivateKey, AuthPost},
			AuthAlgs:    []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
			IDTokenAlgs: []string{"ES256", "RS256"},
			BackChannel: true,
			Subjects:    []string{"public", "pairwise"},
		},
		Keys:        KeySet{Alg: "ES256", More: []Key{{Alg: "RS256"}}},
		Authorize:   AuthorizeRules{Nonce: true, Params: []string{"state"}},
		Scopes:      ScopeRules{Known: []string{"openid", "email", "phone"}, Unknown: UnknownRedirected},
		Clients:     ClientRules{Methods: []AuthMethod{AuthPrivateKey}, Audience: AudienceEndpoint},
		IDToken:     IDTokenForm{Thin: true, SID: true, Claims: Claims{"vot": "Cl.Cm", "vtm": "https://oidc.account.gov.uk/trustmark"}, Life: 2 * time.Minute},
		Tokens:      TokenForm{Scope: ScopeAbsent, Life: 3 * time.Minute},
		LogoutToken: LogoutTokenForm{NoSID: true},
		Config: Config{
			Auth: AuthPrivateKey, AssertionAudience: AudienceEndpoint, Scopes: "openid email", Nonce: true,
			Params: map[string]string{"vtr": `["Cl.Cm"]`},
		},
	}
}

func franceConnect() Profile {
	return Profile{
		Name:    "franceconnect",
		Title:   "FranceConnect",
		Summary: "userinfo is a signed JWT; nonce and acr_values are demanded; the logout needs id_token_hint and state; no refresh tokens",
		Facts:   factsOf,
		Lacks:   Lacks{RefreshTokens: true, BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://oidc.franceconnect.gouv.fr/api/v2",
			Authorize: "/authorize", Token: "/token", JWKS: "/jwks", UserInfo: "/userinfo", EndSession: "/session/end",
		}.under("https://oidc.franceconnect.gouv.fr/api/v2"),
		Metadata: Metadata{
			Scopes:        []string{"openid", "given_name", "family_name", "birthdate", "gender", "email", "profile", "phone", "address"},
			AuthMethods:   []AuthMethod{AuthPost},
			IDTokenAlgs:   []string{"ES256", "RS256"},
			ResponseTypes: []string{"code"},
			Subjects:      []string{"pairwise"},
			More:          Claims{"userinfo_signing_alg_values_supported": []string{"ES256", "RS256"}},
		},
		Keys:      KeySet{Alg: "ES256"},
		Authorize: AuthorizeRules{Nonce: true, Params: []string{"acr_values", "state"}},
		Scopes:    ScopeRules{Known: []string{"openid", "given_name", "family_name", "birthdate", "gender", "email", "profile", "phone", "address"}},
		Clients:   ClientRules{Methods: []AuthMethod{AuthPost}},
		IDToken:   IDTokenForm{Thin: true, Claims: Claims{"acr": "eidas1"}, Life: time.Minute},
		UserInfo:  UserInfoForm{Signed: true},
		Tokens:    TokenForm{Opaque: true, Scope: ScopeAbsent, Life: time.Minute},
		Logout:    LogoutRules{Hint: HintRequired, Requires: []string{"state"}},
		Config: Config{
			Auth: AuthPost, Scopes: "openid profile email", Nonce: true,
			Params:       map[string]string{"acr_values": "eidas1"},
			LogoutParams: map[string]string{"state": "signed-out"},
		},
	}
}
