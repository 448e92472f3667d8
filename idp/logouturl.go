package idp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
)

// LogoutOptions change the URL that LogoutURL returns.
type LogoutOptions struct {
	// EndSession asks for the provider's end_session_endpoint (OpenID Connect
	// RP-Initiated Logout), where its metadata has one, in place of Auth0's
	// /v2/logout.
	EndSession bool

	// NoFallback says that the provider has no /v2/logout. Where its metadata has no
	// end_session_endpoint either, nothing can be ended there, and the URL is returnTo.
	NoFallback bool

	// IDTokenHint is the session's ID token, expired or not. It tells the provider
	// whom to sign out, so that it need not ask the user. Only an
	// end_session_endpoint gets it; it is then part of the URL, which the browser and
	// logs of URLs show. Empty for none.
	IDTokenHint string

	// Params are added as they are.
	Params url.Values
}

// Format implements fmt.Formatter; it leaves the hint and the parameters out.
func (o LogoutOptions) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "idp.LogoutOptions{EndSession: %t}", o.EndSession)
}

// MarshalJSON implements json.Marshaler; it leaves the hint and the parameters out.
func (o LogoutOptions) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(o)) }

// LogoutURL returns the URL that ends the user's session at the provider, and then
// sends the browser to returnTo unless that is empty. For Auth0 nothing is asked
// of the provider; else it may fail with a *session.APIError of the code metadata_error.
func (c *Client) LogoutURL(ctx context.Context, issuer, returnTo string, o LogoutOptions) (string, error) {
	at, err := normalIssuer(issuer)
	if err != nil {
		return "", err
	}
	to, returnParam, hint := at+"/v2/logout", "returnTo", ""
	if o.EndSession {
		m, err := c.Metadata(ctx, issuer)
		if err != nil {
			return "", err
		}
		switch {
		case m.EndSessionEndpoint != "":
			to, returnParam, hint = m.EndSessionEndpoint, "post_logout_redirect_uri", o.IDTokenHint
		case o.NoFallback:
			return returnTo, nil
		}
	}
	params := make(url.Values, len(o.Params)+3)
	maps.Copy(params, o.Params)
	params.Set("client_id", c.clientID)
	setIf(params, returnParam, returnTo)
	setIf(params, "id_token_hint", hint)
	return withQuery(to, params)
}
