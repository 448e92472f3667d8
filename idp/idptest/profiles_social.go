package idptest

// socialProfiles are services at which people have accounts of their own.
var socialProfiles = []func() Profile{
	google, googleWithoutScheme, apple, appleOpenIDOnly, gitlab, linkedIn, slack, discord, line, yahoo, simpleLogin,
}

func google() Profile {
	const scope = "https://www.googleapis.com/auth/userinfo."
	return Profile{
		Name:    "google",
		Title:   "Google",
		Summary: "offline_access is an unknown scope: a refresh token comes with access_type=offline, at the first consent; scopes come back under other names",
		Facts:   factsOf,
		Lacks:   Lacks{EndSession: true, BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://accounts.google.com",
			Authorize: "https://accounts.google.com/o/oauth2/v2/auth", Token: "https://oauth2.googleapis.com/token",
			JWKS: "https://www.googleapis.com/oauth2/v3/certs", UserInfo: "https://openidconnect.googleapis.com/v1/userinfo",
			Revocation: "https://oauth2.googleapis.com/revoke",
		},
		Metadata: Metadata{
			Scopes:        []string{"openid", "email", "profile"},
			AuthMethods:   []AuthMethod{AuthPost, AuthBasic},
			IDTokenAlgs:   []string{"RS256"},
			Challenges:    []string{"plain", "S256"},
			ResponseTypes: []string{"code", "token", "id_token", "code token", "code id_token", "token id_token", "code token id_token", "none"},
			ResponseModes: []string{"query", "fragment", "form_post"},
			GrantTypes:    []string{grantCode, grantRefresh, "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:jwt-bearer"},
		},
		Keys: KeySet{More: []Key{{Alg: "RS256"}}},
		Scopes: ScopeRules{
			Known:   []string{"openid", "email", "profile"},
			Renamed: map[string]string{"email": scope + "email", "profile": scope + "profile"},
			Strict:  true, // of a user who unticked a box
		},
		IDToken: IDTokenForm{Claims: Claims{"azp": ClientID}, Life: TokenLife},
		Tokens:  TokenForm{Opaque: true},
		Refresh: RefreshRules{Given: RefreshAccessType, FirstConsent: true, Rotation: SameToken},
		Config: Config{
			Scopes: "openid profile email",
			Params: map[string]string{"access_type": "offline", "prompt": "consent"},
		},
	}
}

func googleWithoutScheme() Profile {
	p := google()
	p.Name, p.Title = "google-iss-without-scheme", "Google, iss without scheme"
	p.Summary = "the iss of an ID token may be accounts.google.com, without https:// (OpenID Connect Core section 15.6.2)"
	p.IDToken.NoScheme = true
	return p
}

func apple() Profile {
	return Profile{
		Name:    "apple",
		Title:   "Apple, name and e-mail",
		Summary: "the callback is a POST; the name is in its field user, once; email_verified is text; the client secret is a JWT of at most six months",
		Facts:   factsOf,
		Lacks:   Lacks{EndSession: true, UserInfo: true, BackChannelLogout: true, Name: true},
		Location: Location{
			Issuer:    "https://appleid.apple.com",
			Authorize: "/auth/authorize", Token: "/auth/token", JWKS: "/auth/keys", Revocation: "/auth/revoke",
		}.under("https://appleid.apple.com"),
		Metadata: Metadata{
			Scopes:        []string{"openid", "email", "name"},
			AuthMethods:   []AuthMethod{AuthPost},
			IDTokenAlgs:   []string{"RS256"},
			ResponseTypes: []string{"code"},
			ResponseModes: []string{"query", "fragment", "form_post"},
			Subjects:      []string{"pairwise"},
		},
		Keys:      KeySet{More: []Key{{Alg: "RS256"}}},
		Authorize: AuthorizeRules{PKCE: PKCEIgnored, FormPostScopes: []string{"name", "email"}, UserOnce: true},
		Scopes:    ScopeRules{Known: []string{"openid", "email", "name"}, Means: map[string]string{"name": "profile"}},
		Clients:   ClientRules{Methods: []AuthMethod{AuthPost}, SecretJWT: true},
		IDToken:   IDTokenForm{Never: []string{"name", "given_name", "family_name"}, VerifiedText: true, Claims: Claims{"nonce_supported": true}, Life: TokenLife},
		Tokens:    TokenForm{Opaque: true, Scope: ScopeAbsent},
		Refresh:   RefreshRules{Given: RefreshAlways, Rotation: SameToken},
		Config:    Config{Auth: AuthPost, Scopes: "openid name email", ResponseMode: "form_post", Nonce: true},
	}
}

func appleOpenIDOnly() Profile {
	p := apple()
	p.Name, p.Title = "apple-openid-only", "Apple, openid only"
	p.Summary = "the callback is a GET, and there is neither name nor e-mail; the client secret is a JWT of at most six months"
	p.Lacks.Email = true
	p.Config.Scopes, p.Config.ResponseMode = "openid", ""
	return p
}

func gitlab() Profile {
	known := []string{
		"api", "read_api", "read_user", "create_runner", "read_repository", "write_repository", "read_registry", "write_registry",
		"sudo", "openid", "profile", "email",
	}
	return Profile{
		Name:    "gitlab",
		Title:   "GitLab",
		Summary: "offline_access is an unknown scope; a refresh token comes always and is rotated; there is no logout endpoint",
		Facts:   factsOf,
		Lacks:   Lacks{EndSession: true, BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://gitlab.com",
			Authorize: "/oauth/authorize", Token: "/oauth/token", JWKS: "/oauth/discovery/keys", UserInfo: "/oauth/userinfo", Revocation: "/oauth/revoke",
		}.under("https://gitlab.com"),
		Metadata: Metadata{
			Scopes:        known,
			AuthMethods:   []AuthMethod{AuthBasic, AuthPost},
			IDTokenAlgs:   []string{"RS256"},
			Challenges:    []string{"plain", "S256"},
			ResponseModes: []string{"query", "fragment", "form_post"},
			GrantTypes:    []string{grantCode, "password", "client_credentials", "device_code", grantRefresh},
		},
		Scopes:  ScopeRules{Known: known},
		IDToken: IDTokenForm{Life: TokenLife / 30},
		Tokens:  TokenForm{Opaque: true, Life: 2 * TokenLife, More: Claims{"created_at": 1900000000}},
		Refresh: RefreshRules{Given: RefreshAlways, KeepFamily: true},
		Config:  Config{Scopes: "openid profile email"},
	}
}

func linkedIn() Profile {
	return Profile{
		Name:    "linkedin",
		Title:   "LinkedIn",
		Summary: "code_verifier is refused as a failed client authentication; nonce does not come back; email_verified is text; scope has commas; the client authenticates by POST, which the metadata does not say",
		Facts:   factsOf,
		Lacks:   Lacks{RefreshTokens: true, EndSession: true, BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://www.linkedin.com/oauth",
			Authorize: "/v2/authorization", Token: "/v2/accessToken", JWKS: "/openid/jwks",
			UserInfo: "https://api.linkedin.com/v2/userinfo",
		}.under("https://www.linkedin.com/oauth"),
		Metadata:  Metadata{Scopes: signInScopes(), IDTokenAlgs: []string{"RS256"}, ResponseTypes: []string{"code"}, Subjects: []string{"pairwise"}},
		Authorize: AuthorizeRules{PKCE: PKCERefused},
		Scopes:    ScopeRules{Known: signInScopes()},
		Clients:   ClientRules{Methods: []AuthMethod{AuthPost}},
		IDToken:   IDTokenForm{NoNonce: true, VerifiedText: true, Life: TokenLife},
		UserInfo:  UserInfoForm{VerifiedText: true},
		Tokens:    TokenForm{Opaque: true, Life: 60 * 24 * TokenLife, Scope: ScopeCommas},
		Config:    Config{Auth: AuthPost, Scopes: "openid profile email", NoPKCE: true, NoNonce: true},
	}
}

func slack() Profile {
	return Profile{
		Name:    "slack",
		Title:   "Slack",
		Summary: "errors have status 200 and ok false; tokens do not expire: no expires_in and no refresh token",
		Facts:   factsOf,
		Lacks:   Lacks{RefreshTokens: true, EndSession: true, BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://slack.com",
			Authorize: "/openid/connect/authorize", Token: "/api/openid.connect.token", JWKS: "/openid/connect/keys", UserInfo: "/api/openid.connect.userInfo",
		}.under("https://slack.com"),
		Metadata: Metadata{
			Scopes:        signInScopes(),
			AuthMethods:   []AuthMethod{AuthPost, AuthBasic},
			IDTokenAlgs:   []string{"RS256"},
			ResponseModes: []string{"form_post"},
			GrantTypes:    []string{grantCode},
		},
		Scopes:   ScopeRules{Known: signInScopes()},
		UserInfo: UserInfoForm{Claims: Claims{"ok": true}},
		Tokens:   TokenForm{Opaque: true, Life: 10 * 365 * 24 * TokenLife, ExpiresIn: ExpiresAbsent, Scope: ScopeAbsent},
		Refusals: Refusals{
			OK:      true,
			Refresh: Refusal{Code: "invalid_refresh_token"},
			Codes:   map[string]string{"invalid_grant": "invalid_code", "invalid_client": "bad_client_secret"},
		},
		Config: Config{Scopes: "openid profile email", Nonce: true},
	}
}

func discord() Profile {
	known := []string{"openid", "identify", "email", "connections", "guilds"}
	return Profile{
		Name:    "discord",
		Title:   "Discord",
		Summary: "its scope for the profile is identify; the claims of the user are at userinfo",
		Facts:   factsOf,
		Lacks:   Lacks{EndSession: true, BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://discord.com",
			Authorize: "/oauth2/authorize", Token: "/api/oauth2/token", JWKS: "/api/oauth2/keys", UserInfo: "/api/oauth2/userinfo", Revocation: "/api/oauth2/token/revoke",
		}.under("https://discord.com"),
		Metadata: Metadata{Scopes: known, AuthMethods: []AuthMethod{AuthBasic, AuthPost}, IDTokenAlgs: []string{"RS256"}, Challenges: []string{"S256"}},
		Scopes:   ScopeRules{Known: known, Means: map[string]string{"identify": "profile"}},
		IDToken:  IDTokenForm{Thin: true},
		Tokens:   TokenForm{Opaque: true, Life: 7 * 24 * TokenLife},
		Refresh:  RefreshRules{Given: RefreshAlways, KeepFamily: true},
		Config:   Config{Scopes: "openid identify email"},
	}
}

func line() Profile {
	return Profile{
		Name:    "line",
		Title:   "LINE",
		Summary: "ID tokens of web logins are signed with HS256 and the channel secret, while the metadata says ES256",
		Facts:   factsOf,
		Refused: "its ID tokens are signed with HS256, and nothing can be set for web logins: LINE signs with ES256 in native apps and LIFF only",
		Lacks:   Lacks{EndSession: true, BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://access.line.me",
			Authorize: "https://access.line.me/oauth2/v2.1/authorize",
			Token:     "/token", JWKS: "/certs", UserInfo: "/userinfo", Revocation: "/revoke",
		}.under("https://api.line.me/oauth2/v2.1"),
		Metadata: Metadata{Scopes: signInScopes(), IDTokenAlgs: []string{"ES256"}, Challenges: []string{"S256"}, Subjects: []string{"pairwise"}},
		Keys:     KeySet{Alg: "HS256", TokenNoKID: true, More: []Key{{Alg: "ES256"}}},
		Scopes:   ScopeRules{Known: signInScopes()},
		Clients:  ClientRules{Methods: []AuthMethod{AuthPost}},
		IDToken:  IDTokenForm{Never: []string{"email_verified"}, NotAtRefresh: true, Life: TokenLife},
		UserInfo: UserInfoForm{Never: []string{"email", "email_verified"}},
		Tokens:   TokenForm{Opaque: true, Life: 30 * 24 * TokenLife},
		Refresh:  RefreshRules{Given: RefreshAlways, Rotation: SameTokenRepeated},
		Config:   Config{Auth: AuthPost, Scopes: "openid profile email"},
	}
}

func yahoo() Profile {
	return Profile{
		Name:    "yahoo",
		Title:   "Yahoo",
		Summary: "offline_access is an unknown scope; a refused refresh is INVALID_REFRESH_TOKEN",
		Facts:   factsOf,
		Lacks:   Lacks{EndSession: true, BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://api.login.yahoo.com",
			Authorize: "/oauth2/request_auth", Token: "/oauth2/get_token", JWKS: "/openid/v1/certs", UserInfo: "/openid/v1/userinfo", Revocation: "/oauth2/revoke",
		}.under("https://api.login.yahoo.com"),
		Metadata: Metadata{
			Scopes:        signInScopes(),
			AuthMethods:   []AuthMethod{AuthBasic, AuthPost},
			IDTokenAlgs:   []string{"ES256", "RS256"},
			Challenges:    []string{"plain", "S256"},
			ResponseModes: []string{"query"},
		},
		Keys:    KeySet{Alg: "ES256", More: []Key{{Alg: "RS256"}}},
		Scopes:  ScopeRules{Known: signInScopes()},
		IDToken: IDTokenForm{Life: TokenLife},
		Tokens:  TokenForm{Opaque: true, Scope: ScopeAbsent, Type: "bearer"},
		Refresh: RefreshRules{Given: RefreshAlways, Rotation: SameTokenRepeated},
		Refusals: Refusals{
			Refresh: Refusal{Code: "INVALID_REFRESH_TOKEN", Description: "The refresh token is invalid.", Status: 400},
			Codes:   map[string]string{"invalid_client": "INVALID_CLIENT_SECRET"},
		},
		Config: Config{Scopes: "openid profile email"},
	}
}

func simpleLogin() Profile {
	return Profile{
		Name:    "simplelogin",
		Title:   "SimpleLogin",
		Summary: "no refresh tokens; the token answer has an object user",
		Facts:   factsOf,
		Lacks:   Lacks{RefreshTokens: true, EndSession: true, BackChannelLogout: true},
		Location: Location{
			Issuer:    "https://app.simplelogin.io",
			Authorize: "/oauth2/authorize", Token: "/oauth2/token", JWKS: "/jwks", UserInfo: "/oauth2/userinfo",
		}.under("https://app.simplelogin.io"),
		Metadata:  Metadata{AuthMethods: []AuthMethod{AuthPost, AuthBasic}, IDTokenAlgs: []string{"RS256"}},
		Authorize: AuthorizeRules{PKCE: PKCEIgnored},
		Scopes:    ScopeRules{Known: signInScopes(), Unknown: UnknownDropped},
		Tokens:    TokenForm{Opaque: true, User: true},
		Config:    Config{Scopes: "openid profile email", Nonce: true},
	}
}
