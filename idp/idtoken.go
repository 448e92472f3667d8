package idp

import (
	"cmp"
	"context"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/tokenward/tokenward/session"
)

// Expect is what a login asked for and its ID token must show.
type Expect struct {
	Nonce string // empty when none was sent

	// Organization is the one that was asked for: an id that starts with org_, else
	// a name. Empty when any will do.
	Organization string

	// MaxAge is the max_age that was sent, in seconds; nil when none was. The user must have
	// signed in at the provider no longer ago.
	MaxAge *int64
}

// VerifyIDToken checks an ID token (OpenID Connect Core section 3.1.3.7) and
// returns its claims: unknown ones too, numbers as json.Number, session_expiry as
// it came.
//
// It fails with a *session.APIError of the codes invalid_token, jwks_key_not_found,
// jwks_fetch_error, missing_jwks_uri, metadata_error, invalid_signature,
// invalid_audience or token_expired, with a *session.IssuerValidationError or with
// a *session.OrganizationTokenValidationError.
func (c *Client) VerifyIDToken(ctx context.Context, issuer, raw string, e Expect) (session.User, error) {
	h, claims, err := c.verify(ctx, issuer, raw, fromProvider)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(mediaType(h.typ), "+jwt") || claims.isLogout() {
		return nil, invalidToken("it is not an ID token") // RFC 8725 section 3.11
	}
	now := c.now()
	err = cmp.Or(
		claims.checkAudience(c.clientID),
		claims.checkParty(c.clientID),
		claims.checkExpiry(now, c.leeway),
		claims.checkPast("iat", now, c.leeway),
		claims.checkPast("nbf", now, c.leeway),
		claims.checkIssuer(issuer),
		claims.checkNonce(e.Nonce),
		claims.checkAuthTime(e.MaxAge, now, c.leeway),
		claims.checkOrganization(e.Organization),
		claims.checkSubject(),
	)
	if err != nil {
		return nil, err
	}
	return session.User(claims), nil
}

// checkNonce checks that the token has the nonce that was sent, if one was, and that the claims which bind it are of
// their types.
func (c claims) checkNonce(sent string) error {
	for _, name := range []string{"nonce", "azp", "at_hash"} {
		if _, ok := c[name].(string); !ok && c[name] != nil {
			return invalidToken("its " + name + " is not a string")
		}
	}
	if nonce, _ := c.text("nonce"); sent != "" && nonce != sent {
		return invalidToken("its nonce is not the one that was sent")
	}
	return nil
}

func (c claims) checkSubject() error {
	if _, ok := c.text("sub"); !ok {
		return invalidToken("its sub is not a non-empty string")
	}
	return nil
}

// checkAuthTime checks that the user signed in at the provider no longer than maxAge seconds
// ago (OpenID Connect Core section 3.1.3.7, step 13): the browser carries max_age to the provider,
// and could have left it out.
func (c claims) checkAuthTime(maxAge *int64, now time.Time, leeway time.Duration) error {
	if maxAge == nil {
		return nil
	}
	t, ok := c.date("auth_time")
	switch {
	case c["auth_time"] == nil:
		return invalidToken("it has no auth_time, which max_age calls for")
	case !ok:
		return invalidToken("its auth_time is not a date")
	case t.After(now.Add(leeway)): // in milliseconds, for example: no sign-in would ever be too long ago
		return invalidToken("its auth_time is in the future")
	case t.Add(time.Duration(*maxAge) * time.Second).Add(leeway).Before(now):
		return invalidToken("its auth_time is longer ago than max_age allows; the user must sign in at the provider again")
	}
	return nil
}

// mediaType returns the media type that a typ header means, in small letters and
// without "application/" (RFC 7515 section 4.1.9). One that ends in +jwt names a
// kind of token, and an ID token has none of that.
func mediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// checkOrganization checks that the token is for the organization that was asked
// for. Ids are compared as they are, names without regard to case, and in Unicode's
// composed form (NFC) for either side may have typed them.
func (c claims) checkOrganization(want string) error {
	if want == "" {
		return nil
	}
	name, same := "org_name", func(a, b string) bool {
		return strings.EqualFold(norm.NFC.String(a), norm.NFC.String(b))
	}
	if strings.HasPrefix(want, "org_") {
		name, same = "org_id", func(a, b string) bool { return a == b }
	}
	switch got, ok := c.text(name); {
	case !ok:
		return &session.OrganizationTokenValidationError{Message: "the ID token has no " + name}
	case !same(got, want):
		return &session.OrganizationTokenValidationError{Message: "the ID token is for another organization"}
	}
	return nil
}
