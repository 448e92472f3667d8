package idptest

import "net/http"

// discovery answers the provider's metadata (OpenID Connect Discovery 1.0).
func (t *Tenant) discovery(c *call) *reply {
	cfg := t.config()
	loc := cfg.profile.Location
	doc := cfg.profile.Metadata.document()
	doc["issuer"] = t.issuer
	if c.alias && loc.AliasIssuer != "" {
		doc["issuer"] = t.place(loc.AliasIssuer)
	}
	for name, address := range map[string]string{
		"authorization_endpoint":                loc.Authorize,
		"token_endpoint":                        loc.Token,
		"jwks_uri":                              loc.JWKS,
		"pushed_authorization_request_endpoint": loc.PAR,
		"revocation_endpoint":                   loc.Revocation,
		"userinfo_endpoint":                     loc.UserInfo,
		"end_session_endpoint":                  loc.EndSession,
	} {
		if address != "" {
			doc[name] = t.endpoint(address, c.alias)
		}
	}
	if cfg.responseIssuer {
		doc["authorization_response_iss_parameter_supported"] = true
	}
	return jsonReply(http.StatusOK, doc)
}

// document returns m as the discovery document has it.
func (m *Metadata) document() map[string]any {
	doc := map[string]any{"subject_types_supported": []string{"public"}, "response_types_supported": []string{"code"}}
	for name, list := range map[string][]string{
		"scopes_supported": m.Scopes,
		"token_endpoint_auth_signing_alg_values_supported": m.AuthAlgs,
		"id_token_signing_alg_values_supported":            m.IDTokenAlgs,
		"code_challenge_methods_supported":                 m.Challenges,
		"response_types_supported":                         m.ResponseTypes,
		"response_modes_supported":                         m.ResponseModes,
		"grant_types_supported":                            m.GrantTypes,
		"subject_types_supported":                          m.Subjects,
	} {
		if list != nil {
			doc[name] = list
		}
	}
	if m.AuthMethods != nil {
		doc["token_endpoint_auth_methods_supported"] = m.AuthMethods
	}
	for name, is := range map[string]bool{
		"backchannel_logout_supported":          m.BackChannel,
		"backchannel_logout_session_supported":  m.BackChannelSession,
		"require_pushed_authorization_requests": m.PARRequired,
	} {
		if is {
			doc[name] = true
		}
	}
	Claims(doc).add(m.More)
	return doc
}
