package idp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/tokenward/tokenward/session"
)

// logoutEvent is the member of events that makes a token a logout token.
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// LogoutToken says which sessions the provider has ended. At least one of SID and
// Subject is set.
type LogoutToken struct {
	Issuer   string
	SID      string
	Subject  string
	JTI      string // jti, or a hash of the token without one: a token that comes again has the same
	IssuedAt int64  // seconds since the Unix epoch
}

// VerifyLogoutToken checks a logout token (OpenID Connect Back-Channel Logout
// section 2.6). It fails with a *session.BackchannelLogoutError, which wraps a
// *session.IssuerValidationError when the token is from another issuer. That is
// looked at before anything is asked of the provider.
func (c *Client) VerifyLogoutToken(ctx context.Context, issuer, raw string) (LogoutToken, error) {
	t, _, err := c.VerifyLogoutTokenFor(ctx, issuer, raw, nil)
	return t, err
}

// VerifyLogoutTokenFor is VerifyLogoutToken for a token that may be for other applications than this Client's too. known
// returns nil for the client id of one; it is asked last, of at most 10 values of aud, and may be nil. clientIDs are
// those of the applications.
func (c *Client) VerifyLogoutTokenFor(ctx context.Context, issuer, raw string, known func(clientID string) error) (t LogoutToken, clientIDs []string, err error) {
	t, aud, err := c.verifyLogoutToken(ctx, issuer, raw)
	if err == nil {
		clientIDs, err = c.applications(aud, known)
	}
	if err != nil {
		return LogoutToken{}, nil, &session.BackchannelLogoutError{Message: "the logout token was refused", Err: err}
	}
	return t, clientIDs, nil
}

// maxAudiences is how many values of a logout token's aud known is asked about.
const maxAudiences = 10

// applications returns those of an aud that are this Client's or known.
func (c *Client) applications(aud []string, known func(clientID string) error) (ids []string, err error) {
	for i, id := range aud {
		switch {
		case id == c.clientID:
			ids = append(ids, id)
		case known == nil || i >= maxAudiences:
		default:
			if unknown := known(id); unknown == nil {
				ids = append(ids, id)
			} else if err == nil {
				err = unknown
			}
		}
	}
	if len(ids) == 0 {
		return nil, &session.APIError{Code: session.CodeInvalidAudience, Description: "the token is for another client", Err: err}
	}
	return ids, nil
}

func (c *Client) verifyLogoutToken(ctx context.Context, issuer, raw string) (t LogoutToken, aud []string, err error) {
	if raw == "" {
		return t, nil, invalidToken("it is empty")
	}
	unverified, err := peek(raw)
	if err != nil {
		return t, nil, err
	}
	from, err := c.issuerOfLogout(ctx, issuer, unverified)
	if err != nil {
		return t, nil, err
	}
	if err := unverified.checkIssuer(from); err != nil {
		return t, nil, err
	}
	h, claims, err := c.verify(ctx, issuer, raw, fromStrangers)
	if err != nil {
		return t, nil, err
	}
	if typ := mediaType(h.typ); typ != "" && typ != "jwt" && typ != "logout+jwt" {
		return t, nil, invalidToken("it is not a logout token")
	}
	now := c.now()
	aud, err = claims.audiences()
	err = cmp.Or(
		err,
		claims.checkIssuer(from),
		claims.checkPast("iat", now, c.leeway),
		claims.checkPast("nbf", now, c.leeway),
		claims.checkLogoutAge(now, c.leeway),
		claims.checkLogout(),
	)
	if err != nil {
		return t, nil, err
	}
	return claims.logoutToken(raw), aud, nil
}

// logoutToken returns what the claims of a verified logout token say.
func (c claims) logoutToken(raw string) LogoutToken {
	var t LogoutToken
	t.Issuer, _ = c.text("iss")
	t.SID, _ = c.text("sid")
	t.Subject, _ = c.text("sub")
	if t.JTI, _ = c.text("jti"); t.JTI == "" {
		signed := raw[:strings.LastIndex(raw, ".")] // a signature can have several forms
		t.JTI = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(signed)))
	}
	iat, _ := c.date("iat")
	t.IssuedAt = iat.Unix()
	return t
}

// maxLogoutAge is how old a logout token without exp may be.
const maxLogoutAge = 10 * time.Minute

// checkLogoutAge checks iat, which must be there, and exp. A token without exp (Hydra sends none; Back-Channel Logout
// section 2.4 did not ask for it at first) is taken for a while after its iat.
func (c claims) checkLogoutAge(now time.Time, leeway time.Duration) error {
	if c["iat"] == nil {
		return invalidToken("it has no iat")
	}
	if c["exp"] != nil {
		return c.checkExpiry(now, leeway)
	}
	if iat, _ := c.date("iat"); now.Sub(iat) > maxLogoutAge {
		return &session.APIError{Code: session.CodeTokenExpired, Description: "the token has no exp, and is older than 10 minutes"}
	}
	return nil
}

// checkLogout checks what makes a token a logout token, and what keeps an ID token
// from being taken for one.
func (c claims) checkLogout() error {
	if !c.isLogout() {
		return invalidToken("its events do not have the logout event")
	}
	if c["nonce"] != nil {
		return invalidToken("it has a nonce")
	}
	for _, name := range []string{"sid", "sub"} {
		if _, ok := c.text(name); !ok && c[name] != nil {
			return invalidToken("its " + name + " is not a non-empty string")
		}
	}
	if c["sid"] == nil && c["sub"] == nil {
		return invalidToken("it has neither sid nor sub")
	}
	return nil
}

// isLogout reports whether the token says of itself that it is a logout token.
func (c claims) isLogout() bool {
	events, _ := c["events"].(map[string]any)
	_, ok := events[logoutEvent].(map[string]any)
	return ok
}
