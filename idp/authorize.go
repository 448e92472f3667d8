package idp

import (
	"context"
	"maps"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
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
	maps.Copy(own, params)
	for _, p := range authParams {
		own.Del(p)
	}
	if to := own.Get("audience"); to != "" && c.audience != "audience" {
		own.Del("audience")
		own.Set(c.audience, to)
	}
	own.Set("response_type", "code")
	own.Set("client_id", c.clientID)
	if own.Get("code_challenge") != "" {
		own.Set("code_challenge_method", "S256")
	}
	return own
}

// PushAuthorization is Authorize with params sent to the provider beforehand (RFC
// 9126), so that the URL shows none of them.
//
// It fails with a *session.APIError: of the provider's code or par_error, and of
// those of Authorize; or with a *session.ConfigurationError when the client secret
// cannot be had. The code overloaded is that of ExchangeCode.
func (c *Client) PushAuthorization(ctx context.Context, issuer string, params url.Values) (string, error) {
	m, err := c.Metadata(ctx, issuer)
	if err != nil {
		return "", err
	}
	for _, e := range []endpoint{
		{"authorization_endpoint", m.AuthorizationEndpoint},
		{"pushed_authorization_request_endpoint", m.PushedAuthorizationRequestEndpoint},
	} {
		if err := e.check(); err != nil {
			return "", err
		}
	}
	release, err := c.admit(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	ctx, cancel := clock.WithTimeout(ctx, c.clock, c.timeout)
	defer cancel()
	r, s, err := c.send(ctx, m, m.PushedAuthorizationRequestEndpoint, c.authorizeParams(params), session.CodePARError, nil)
	if err != nil {
		return "", err
	}
	if r.status != http.StatusOK && r.status != http.StatusCreated {
		return "", readRefusal(r, s, session.CodePARError)
	}
	doc, _ := object(r.body)
	requestURI, _ := text(doc["request_uri"])
	if requestURI == "" {
		return "", &session.APIError{Code: session.CodePARError, Description: "the answer has no request_uri", Status: r.status}
	}
	return withQuery(m.AuthorizationEndpoint, url.Values{
		"client_id":     {c.clientID},
		"request_uri":   {requestURI},
		"response_type": {"code"},
	})
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
	maps.Copy(query, params)
	u.RawQuery = query.Encode()
	return u.String(), nil
}
