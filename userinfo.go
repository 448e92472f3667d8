package tokenward

import (
	"context"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// withUserInfo returns the claims of a login with those that the provider's UserInfo endpoint adds,
// where it is worth asking.
func (c *Client) withUserInfo(ctx context.Context, client *idp.Client, issuer string, tx transaction, r session.TokenResponse, claims User) User {
	granted := tx.Scope
	if r.HasScope {
		granted = r.Scope
	}
	if !c.asksUserInfo(tx.AtIssuer) || r.AccessToken == "" || !claims.LacksProfile(session.ParseScope(granted)) {
		return claims
	}
	if m, err := client.Metadata(ctx, issuer); err != nil || m.UserInfoEndpoint == "" {
		return claims
	}
	info, err := client.UserInfo(ctx, issuer, r.AccessToken)
	if err != nil {
		c.log.Warn("the UserInfo endpoint did not answer; the login goes on with what the ID token says", zap.Error(err))
		return claims
	}
	all, same := claims.WithUserInfo(info)
	if !same {
		c.log.Warn("the UserInfo endpoint answered for another user; the login goes on with what the ID token says")
	}
	return all
}

// asksUserInfo reports whether logins may ask the UserInfo endpoint.
func (c *Client) asksUserInfo(atIssuer bool) bool {
	if c.opts.userInfo != nil {
		return *c.opts.userInfo
	}
	return atIssuer
}
