package idptest

import "net/http"

// discovery answers the provider's metadata (OpenID Connect Discovery 1.0).
func (t *Tenant) discovery(*call) *reply {
	doc := map[string]any{
		"issuer":                                           t.issuer,
		"authorization_endpoint":                           t.URL(pathAuthorize),
		"token_endpoint":                                   t.URL(pathToken),
		"jwks_uri":                                         t.URL(pathJWKS),
		"pushed_authorization_request_endpoint":            t.URL(pathPAR),
		"revocation_endpoint":                              t.URL(pathRevoke),
		"userinfo_endpoint":                                t.URL(pathUserInfo),
		"end_session_endpoint":                             t.URL(pathEndSess),
		"response_types_supported":                         []string{"code", "id_token"},
		"response_modes_supported":                         []string{"query", "form_post"},
		"grant_types_supported":                            []string{grantCode, grantRefresh, grantConnection},
		"code_challenge_methods_supported":                 []string{"S256"},
		"token_endpoint_auth_methods_supported":            []string{"client_secret_basic", "client_secret_post", "private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"RS256", "PS256", "ES256"},
		"id_token_signing_alg_values_supported":            []string{"RS256"},
		"subject_types_supported":                          []string{"public"},
		"scopes_supported":                                 []string{"openid", "profile", "email", "offline_access"},
		"backchannel_logout_supported":                     true,
		"backchannel_logout_session_supported":             true,
	}
	if t.config().responseIssuer {
		doc["authorization_response_iss_parameter_supported"] = true
	}
	return jsonReply(http.StatusOK, doc)
}
