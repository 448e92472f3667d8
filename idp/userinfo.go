package idp

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
)

// codeUserInfoError is the code of an APIError when the UserInfo endpoint refused, could not be
// reached or answered nonsense.
const codeUserInfoError session.Code = "userinfo_error"

// UserInfo asks the provider's UserInfo endpoint, once, for the claims of the user whose access
// token it is given (OpenID Connect Core section 5.3). A signed answer is verified like an ID
// token. Whether the claims are of the user who signs in is for the caller to see.
//
// It fails with a *session.APIError: configuration_error where the provider's metadata has no
// userinfo_endpoint, userinfo_error, or of VerifyIDToken's codes for a signed answer.
func (c *Client) UserInfo(ctx context.Context, issuer, accessToken string) (session.User, error) {
	m, err := c.metadata(ctx, issuer, strangers)
	if err != nil {
		return nil, err
	}
	if err := (endpoint{"userinfo_endpoint", m.UserInfoEndpoint}).check(); err != nil {
		return nil, err
	}
	release, err := c.admitFirst(ctx)
	if err != nil {
		return nil, failed(codeUserInfoError, err)
	}
	ctx, cancel := clock.WithTimeout(ctx, c.clock, c.timeout)
	defer cancel()
	r, kind, err := c.getWithToken(ctx, m.UserInfoEndpoint, accessToken)
	release() // keys may be needed next, which take a permit of their own
	switch {
	case err != nil:
		return nil, &session.APIError{Code: codeUserInfoError, Status: r.status, Err: err}
	case r.status != http.StatusOK:
		return nil, &session.APIError{Code: codeUserInfoError, Status: r.status, Description: "the UserInfo endpoint refused the access token"}
	case kind == "application/jwt":
		return c.verifyUserInfo(ctx, issuer, strings.TrimSpace(string(r.body)))
	}
	var set claimSet
	if set.UnmarshalJSON(r.body) != nil { // the error may quote the answer
		return nil, &session.APIError{Code: codeUserInfoError, Status: r.status, Err: errNotObject}
	}
	return session.User(set.claims), nil
}

// getWithToken fetches a document with an access token (RFC 6750 section 2.1) and returns its
// media type beside it.
func (c *Client) getWithToken(ctx context.Context, from, accessToken string) (reply, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return reply{}, "", errors.New("the URL cannot be used")
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	r, err := c.do(observe.RequestUserInfo, req, scrubber{}.and(accessToken))
	kind, _, _ := mime.ParseMediaType(r.kind)
	return r, kind, err
}

// verifyUserInfo checks a signed answer: its signature, and iss and aud where it has them
// (OpenID Connect Core section 5.3.2).
func (c *Client) verifyUserInfo(ctx context.Context, issuer, raw string) (session.User, error) {
	h, claims, err := c.verify(ctx, issuer, raw, fromProvider)
	if err != nil {
		return nil, err
	}
	if typ := mediaType(h.typ); strings.HasSuffix(typ, "+jwt") || claims.isLogout() {
		return nil, invalidToken(fmt.Sprintf("it is no UserInfo answer but a %.20q", typ))
	}
	if claims["iss"] != nil {
		if err := claims.checkIssuer(issuer); err != nil {
			return nil, err
		}
	}
	if claims["aud"] != nil {
		if err := claims.checkAudience(c.clientID); err != nil {
			return nil, err
		}
	}
	return session.User(claims), nil
}
