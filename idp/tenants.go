package idp

import (
	"context"
	"regexp"
	"strings"

	"github.com/tokenward/tokenward/session"
)

// tenantMark stands for a tenant's id in an issuer that is a template.
const tenantMark = "{tenantid}"

// tenantID is what a tenant's id may be: it becomes part of a URL.
var tenantID = regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z-]{0,126}[0-9A-Za-z])?$`)

// isTemplateOf reports whether the issuer in the metadata of the configured issuer is a template
// that is allowed: on the same host by the same scheme, with one place for the tenant's id in its path.
func (c *Client) isTemplateOf(template, issuer string) bool {
	if c.tenants == nil || !session.SameIssuer(issuer, c.issuer) || strings.Count(template, tenantMark) != 1 {
		return false
	}
	host, _, _ := strings.Cut(template, tenantMark)
	return sameHost(host, issuer)
}

// sameHost reports whether two URLs, which may be cut short in their path, have one scheme and host.
func sameHost(a, b string) bool {
	origin := func(s string) string {
		scheme, rest, _ := strings.Cut(s, "://")
		host, _, path := strings.Cut(rest, "/")
		if !path {
			return ""
		}
		return strings.ToLower(scheme + "://" + host)
	}
	return origin(a) != "" && origin(a) == origin(b)
}

// checkTokenIssuer checks the iss of a token that the keys of issuer verified. Where the issuer is
// a template, the token's tid fills it in, and the host says whether that tenant may sign in.
func (c *Client) checkTokenIssuer(ctx context.Context, issuer string, claims claims) error {
	if c.tenants == nil {
		if strings.Contains(issuer, tenantMark) {
			return &session.IssuerValidationError{Message: "the issuer is a template; say which tenants may sign in by WithTenants"}
		}
		return claims.checkIssuer(issuer)
	}
	m, err := c.metadata(ctx, issuer, strangers)
	if err != nil {
		return err
	}
	if !strings.Contains(m.Issuer, tenantMark) {
		return claims.checkIssuer(issuer)
	}
	tid, _ := claims.text("tid")
	if !tenantID.MatchString(tid) {
		return &session.IssuerValidationError{Message: "the token does not say which tenant it is from (tid)"}
	}
	if err := claims.checkIssuer(strings.Replace(m.Issuer, tenantMark, tid, 1)); err != nil {
		return err
	}
	if !c.tenants(ctx, tid) {
		return &session.IssuerValidationError{Message: "the user's tenant may not sign in here; see WithTenants"}
	}
	return nil
}

// TenantOf returns the issuer that a token, which is not verified, says it is from, where that is of a
// tenant of issuer that is allowed; else issuer.
func (c *Client) TenantOf(ctx context.Context, issuer, token string) string {
	if c.tenants == nil {
		return issuer
	}
	said, err := peek(token)
	if err != nil {
		return issuer
	}
	m, err := c.metadata(ctx, issuer, strangers)
	if err != nil {
		return issuer
	}
	iss, _ := said.text("iss")
	before, after, template := strings.Cut(session.NormalIssuer(m.Issuer), tenantMark)
	tid, okBefore := strings.CutPrefix(session.NormalIssuer(iss), before)
	tid, okAfter := strings.CutSuffix(tid, after)
	if template && okBefore && okAfter && tenantID.MatchString(tid) && c.tenants(ctx, tid) {
		return iss
	}
	return issuer
}
