package idp

import (
	"context"
	"net/url"
)

// LogoutOptions change the URL that LogoutURL returns.
type LogoutOptions struct {
	// EndSession asks for the provider's end_session_endpoint (OpenID Connect
	// RP-Initiated Logout), where its metadata has one, in place of Auth0's
	// /v2/logout.
	EndSession bool

	// Params are added as they are.
	Params url.Values
}

// LogoutURL returns the URL that ends the user's session at the provider, and then
// sends the browser to returnTo unless that is empty. For Auth0 nothing is asked
// of the provider.
func (c *Client) LogoutURL(ctx context.Context, issuer, returnTo string, o LogoutOptions) (string, error) {
	at, err := normalIssuer(issuer)
	if err != nil {
		return "", err
	}
	to, returnParam := at+"/v2/logout", "returnTo"
	if o.EndSession {
		m, err := c.Metadata(ctx, issuer)
		if err != nil {
			return "", err
		}
		if m.EndSessionEndpoint != "" {
			to, returnParam = m.EndSessionEndpoint, "post_logout_redirect_uri"
		}
	}
	params := make(url.Values, len(o.Params)+2)
	for name, values := range o.Params {
		params[name] = values
	}
	params.Set("client_id", c.clientID)
	setIf(params, returnParam, returnTo)
	return withQuery(to, params)
}
