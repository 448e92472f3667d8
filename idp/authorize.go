package idp

import (
	"context"
	"net/url"

	"golang.org/x/oauth2"
)

// Authorize returns the URL at which a login begins (RFC 6749 section 4.1.1, RFC
// 7636 section 4.3). It sets response_type, client_id and, beside a
// code_challenge, its method S256. Everything else is taken from params, which is
// not changed; secrets of the client are left out.
//
// It fails with a *session.APIError of the codes metadata_error or
// configuration_error.
func (c *Client) Authorize(ctx context.Context, issuer string, params url.Values) (string, error) {
	m, err := c.Metadata(ctx, issuer)
	if err != nil {
		return "", err
	}
	if err := (endpoint{"authorization_endpoint", m.AuthorizationEndpoint}).check(); err != nil {
		return "", err
	}
	return withQuery(m.AuthorizationEndpoint, c.authorizeParams(params))
}

func (c *Client) authorizeParams(params url.Values) url.Values {
	own := make(url.Values, len(params)+3)
	for name, values := range params {
		own[name] = values
	}
	for _, p := range authParams {
		own.Del(p)
	}
	own.Set("response_type", "code")
	own.Set("client_id", c.clientID)
	if own.Get("code_challenge") != "" {
		own.Set("code_challenge_method", "S256")
	}
	return own
}

// Challenge returns the S256 code challenge of a PKCE code verifier (RFC 7636
// section 4.2).
func Challenge(verifier string) string { return oauth2.S256ChallengeFromVerifier(verifier) }

// withQuery adds params to the query that to may have. A parameter occurs once
// (RFC 6749 section 3.1), so params replace what has their name.
func withQuery(to string, params url.Values) (string, error) {
	u, err := url.Parse(to)
	if err != nil {
		return "", err
	}
	query := u.Query()
	for name, values := range params {
		query[name] = values
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}
