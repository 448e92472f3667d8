package idp

import (
	"context"
	"net/http"
	"net/url"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

// CodeRevocationError is the code of an APIError when the provider did not revoke a
// token and did not say why, or could not be reached.
const CodeRevocationError session.Code = "revocation_error"

// Revoke makes a refresh token useless, once (RFC 7009): at most providers that ends
// the whole family it was rotated from. A token that the provider does not know, or
// that is spent, is revoked already: that is no error.
//
// It fails with a *session.ConfigurationError when the client secret cannot be
// had, else with a *session.APIError: of the code configuration_error when
// the provider's metadata has no revocation_endpoint, of metadata_error, of the
// provider's code, or of revocation_error. The token may be good still.
func (c *Client) Revoke(ctx context.Context, issuer, refreshToken string) error {
	if refreshToken == "" {
		return &session.MissingRequiredArgumentError{Argument: "refresh_token"}
	}
	m, err := c.metadata(ctx, issuer, users)
	if err != nil {
		return err
	}
	if err := (endpoint{"revocation_endpoint", m.RevocationEndpoint}).check(); err != nil {
		return err
	}
	ctx, cancel := clock.WithTimeout(ctx, c.clock, c.timeout)
	defer cancel()
	form := url.Values{"token": {refreshToken}, "token_type_hint": {"refresh_token"}}
	r, s, err := c.send(ctx, m, m.RevocationEndpoint, form, CodeRevocationError, nil)
	if err != nil {
		return err
	}
	if r.status != http.StatusOK {
		return readRefusal(r, s, CodeRevocationError)
	}
	return nil
}
