package idptest

// microsoftProfiles are the forms of Microsoft Entra ID.
var microsoftProfiles = []func() Profile{entra, entraOrganizations, entraConsumers, entraCertificate, entraB2C, entraCIAM}

// The tenants of the profiles of Entra ID.
const (
	entraTenant     = "72f988bf-0000-4000-8000-2d7cd011db47"
	entraConsumerID = "9188040d-6c67-4c5b-b112-36a304b66dad" // of all personal accounts
	entraHost       = "https://login.microsoftonline.com"
)

func entra() Profile {
	return Profile{
		Name:    "entra",
		Title:   "Entra ID, one tenant",
		Summary: "keys have no alg; scope in the answer lacks offline_access; old refresh tokens stay good",
		Facts:   factsOf,
		Lacks:   Lacks{BackChannelLogout: true},
		Location: Location{
			Issuer:    entraHost + "/" + entraTenant + "/v2.0",
			Tenant:    entraTenant,
			Authorize: "/{tenant}/oauth2/v2.0/authorize", Token: "/{tenant}/oauth2/v2.0/token", JWKS: "/{tenant}/discovery/v2.0/keys",
			EndSession: "/{tenant}/oauth2/v2.0/logout", UserInfo: "https://graph.microsoft.com/oidc/userinfo",
		}.under(entraHost),
		Metadata: Metadata{
			Scopes:        standardScopes(),
			AuthMethods:   []AuthMethod{AuthPost, AuthPrivateKey, AuthBasic},
			IDTokenAlgs:   []string{"RS256"},
			ResponseTypes: []string{"code", "id_token", "code id_token", "id_token token"},
			ResponseModes: []string{"query", "fragment", "form_post"},
			Subjects:      []string{"pairwise"},
			More:          Claims{"frontchannel_logout_supported": true, "http_logout_supported": true},
		},
		Keys: KeySet{NoAlg: true, X5C: true},
		IDToken: IDTokenForm{
			Never:  []string{"email_verified"},
			Claims: Claims{"tid": entraTenant, "oid": "00000000-0000-0000-66f3-3332eca7ea81", "ver": "2.0", "uti": "u"},
			Life:   TokenLife,
		},
		UserInfo: UserInfoForm{Never: []string{"email_verified"}},
		Tokens:   TokenForm{HideOffline: true, More: Claims{"ext_expires_in": int64(TokenLife.Seconds())}},
		Refresh:  RefreshRules{Given: RefreshOfflineAccess, Rotation: RotateKeepOld},
		Clients:  ClientRules{Methods: []AuthMethod{AuthBasic, AuthPost}},
		Config:   Config{Nonce: true},
	}
}

func entraOrganizations() Profile {
	p := entra()
	p.Name, p.Title = "entra-organizations", "Entra ID, organizations and common"
	p.Summary = "the metadata's issuer is a template with {tenantid}, the ID token's iss has the user's tenant"
	p.Location.Alias = entraHost + "/organizations/v2.0"
	p.Location.AliasIssuer = entraHost + "/{tenantid}/v2.0"
	p.Location.AliasTenant = "organizations"
	p.Config = Config{Issuer: entraHost + "/{tenantid}/v2.0", SeparateMetadata: true, TenantTemplate: true, Nonce: true}
	return p
}

func entraConsumers() Profile {
	p := entra()
	p.Name, p.Title = "entra-consumers", "Entra ID, consumers"
	p.Summary = "the metadata below the alias consumers names the issuer with the GUID of all personal accounts: configure that one"
	p.Location.Issuer = entraHost + "/" + entraConsumerID + "/v2.0"
	p.Location.Tenant = entraConsumerID
	p.Location.Alias = entraHost + "/consumers/v2.0"
	p.Location.AliasTenant = "consumers"
	p.IDToken.Claims["tid"] = entraConsumerID
	return p
}

func entraCertificate() Profile {
	p := entra()
	p.Name, p.Title = "entra-certificate", "Entra ID, certificate (private_key_jwt)"
	p.Summary = "the header of a client assertion must have the thumbprint of the certificate, else AADSTS700027"
	p.Clients = ClientRules{Methods: []AuthMethod{AuthPrivateKey}, Thumbprint: true}
	p.Config = Config{Auth: AuthPrivateKey, Thumbprint: true, Nonce: true}
	return p
}

func entraB2C() Profile {
	const host = "https://contoso.b2clogin.com"
	const policy = host + "/contoso.onmicrosoft.com/b2c_1_signin"
	p := entra()
	p.Name, p.Title = "entra-b2c", "Azure AD B2C"
	p.Summary = "the metadata, which is below the policy only, names an issuer without the policy; e-mail addresses are in the claim emails"
	p.Lacks = Lacks{UserInfo: true, BackChannelLogout: true, Email: true}
	p.Location = Location{
		Issuer: host + "/" + entraTenant + "/v2.0/", Alias: policy + "/v2.0", AliasOnly: true,
		Authorize: "/oauth2/v2.0/authorize", Token: "/oauth2/v2.0/token", JWKS: "/discovery/v2.0/keys", EndSession: "/oauth2/v2.0/logout",
	}.under(policy)
	p.Metadata.Scopes = []string{"openid"}
	p.Metadata.AuthMethods = []AuthMethod{AuthPost, AuthBasic}
	p.Scopes = ScopeRules{Known: []string{"openid", "profile", "offline_access", ClientID}}
	p.IDToken.AnyScope = true
	p.IDToken.Never = []string{"email", "email_verified"}
	p.IDToken.Claims = Claims{"tfp": "B2C_1_signin", "emails": []string{"ada@example.com"}, "ver": "1.0"}
	p.Tokens.More = Claims{"refresh_token_expires_in": 1209600}
	p.Config = Config{SeparateMetadata: true, Scopes: "openid offline_access " + ClientID, Nonce: true}
	return p
}

func entraCIAM() Profile {
	p := entra()
	p.Name, p.Title = "entra-ciam", "Entra External ID (CIAM), by subdomain"
	p.Summary = "the issuer has the tenant's GUID as host, while the metadata is reached by the subdomain"
	p.Location = Location{
		Issuer:    "https://" + entraTenant + ".ciamlogin.com/" + entraTenant + "/v2.0",
		Alias:     "https://contoso.ciamlogin.com/" + entraTenant + "/v2.0",
		Authorize: "/oauth2/v2.0/authorize", Token: "/oauth2/v2.0/token", JWKS: "/discovery/v2.0/keys", EndSession: "/oauth2/v2.0/logout",
		UserInfo: "https://graph.microsoft.com/oidc/userinfo",
	}.under("https://contoso.ciamlogin.com/" + entraTenant)
	p.Config = Config{SeparateMetadata: true, Nonce: true}
	return p
}
