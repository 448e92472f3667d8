package idp

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/tokenward/tokenward/session"
)

// tenantVariable is what stands for the user's tenant in an issuer that is a template (Entra ID:
// https://login.microsoftonline.com/{tenantid}/v2.0).
const tenantVariable = "{tenantid}"

const wellKnown = "/.well-known/openid-configuration"

// useIssuer reads what the configuration says of one issuer.
func (c *Client) useIssuer(cfg Config) error {
	wrong := func(why string) error { return &session.ConfigurationError{Message: why} }
	template := strings.Contains(cfg.Issuer, tenantVariable)
	switch {
	case cfg.MetadataURL != "" && cfg.Issuer == "":
		return wrong("MetadataURL: Issuer is required, which its metadata must name")
	case cfg.MetadataURL != "" && !usableAddress(cfg.MetadataURL):
		return wrong("MetadataURL: must be an https URL (http is accepted for loopback hosts only), without user and fragment")
	case cfg.Tenants != nil && cfg.Issuer == "":
		return wrong("Tenants: Issuer is required")
	case template && cfg.Tenants == nil:
		return wrong("Issuer: " + needsTenants)
	case template && cfg.MetadataURL == "":
		return wrong("Issuer: a template has no metadata of its own; MetadataURL says where that is")
	case cfg.Issuer == "":
		return nil
	}
	at, err := normalIssuer(cfg.Issuer)
	if err != nil {
		return err
	}
	c.issuer, c.metadataURL, c.tenants = at, cfg.MetadataURL, cfg.Tenants
	return nil
}

const needsTenants = "it is a template, for users of many tenants: say by ProviderConfig.Tenants which of them may sign in, " +
	"or configure the issuer of one tenant"

// usableAddress reports whether metadata may be fetched from an address.
func usableAddress(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Fragment != "" || u.User != nil {
		return false
	}
	bare := url.URL{Scheme: u.Scheme, Host: u.Host}
	return session.CheckIssuer(bare.String()) == nil
}

// metadataAt returns where the metadata of an issuer is.
func (c *Client) metadataAt(issuer string) string {
	if c.metadataURL != "" && issuer == c.issuer {
		return c.metadataURL
	}
	return issuer + wellKnown
}

// checkMetadata checks that metadata is of the issuer that it was asked for: another one's would
// let that speak for this one (OpenID Connect Discovery section 4.3). It notes where the issuer has
// tenants.
func (c *Client) checkMetadata(m *Metadata, issuer string) error {
	t := tenantsIn(m.Issuer, issuer)
	tenanted := c.tenants != nil && issuer == c.issuer
	switch {
	case t == nil && saysIssuer(m.Issuer, issuer):
		return nil
	case t != nil && tenanted:
		m.tenants = t
		return nil
	case t != nil && t.only == "":
		return &session.IssuerValidationError{Message: "the issuer in the metadata is another than the configured one: " + needsTenants}
	}
	var s scrubber
	return &session.IssuerValidationError{Message: fmt.Sprintf("the metadata is of another issuer, %.200q; if that is the provider, configure it as Issuer, "+
		"and by ProviderConfig.MetadataURL the address of the metadata, if that is not below the issuer", s.said(m.Issuer, maxDescription))}
}

// tenants are the issuers of the tenants behind one issuer: a path segment is the tenant.
type tenants struct {
	prefix, suffix string // in normal form
	only           string // the one tenant; empty where there are many
}

// tenantsIn returns what metadata says of tenants that it calls by named, when it was asked for issuer:
// an alias of the template, such as https://HOST/organizations/v2.0, or of one tenant's issuer, such
// as https://HOST/consumers/v2.0, or the template itself. It is nil where there are none.
func tenantsIn(named, issuer string) *tenants {
	if !strings.Contains(named, "://") || session.CheckIssuer(named) != nil {
		return nil
	}
	names, asked := strings.Split(session.NormalIssuer(named), "/"), strings.Split(issuer, "/")
	if len(names) != len(asked) {
		return nil
	}
	at := -1
	for i := range names {
		switch {
		case names[i] == asked[i] && names[i] != tenantVariable:
		case at >= 0 || i < firstSegment: // more than the tenant is another one's
			return nil
		default:
			at = i
		}
	}
	if at < 0 {
		return nil
	}
	t := &tenants{prefix: strings.Join(names[:at], "/") + "/", suffix: strings.Join(names[at+1:], "/")}
	if at < len(names)-1 {
		t.suffix = "/" + t.suffix
	}
	switch {
	case names[at] == tenantVariable:
	case !isTenant(names[at]):
		return nil
	default:
		t.only = names[at]
	}
	return t
}

// firstSegment is the place of a path's first segment where a URL is split at slashes.
const firstSegment = 3

// isTenant reports whether a text can be a tenant in an issuer: a GUID or a name, not a path.
func isTenant(tid string) bool {
	const longest = 100
	for i, r := range tid {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		case i > 0 && (r == '-' || r == '.' || r == '_'):
		default:
			return false
		}
	}
	return tid != "" && len(tid) <= longest
}

// issuer returns the issuer of a tenant, "" where there is none such.
func (t *tenants) issuer(tid string) string {
	if !isTenant(tid) || t.only != "" && tid != t.only {
		return ""
	}
	return t.prefix + tid + t.suffix
}

// tenant returns the tenant whose issuer iss is, "" where it is none's.
func (t *tenants) tenant(iss string) string {
	if !strings.Contains(iss, "://") {
		return ""
	}
	rest, ok := strings.CutPrefix(session.NormalIssuer(iss), t.prefix)
	tid, also := strings.CutSuffix(rest, t.suffix)
	if !ok || !also || t.issuer(tid) == "" {
		return ""
	}
	return tid
}

// says reports whether iss is an issuer that the metadata speaks for.
func (m *Metadata) says(iss string) bool {
	return saysIssuer(iss, m.Issuer) || m.tenants != nil && m.tenants.tenant(iss) != ""
}

// TenantIssuer returns the issuer that an ID token must come from which a token endpoint of issuer
// has answered with. That is issuer itself; where users of several tenants sign in (see
// Config.Tenants) it is the issuer of the token's tenant, by its claim tid. The token is not verified:
// VerifyIDToken does that, by that tenant's own keys.
//
// It fails with a *session.IssuerValidationError where iss is not that tenant's, or the tenant may not
// sign in, and with a *session.APIError of the codes invalid_token and metadata_error.
func (c *Client) TenantIssuer(ctx context.Context, issuer, raw string) (string, error) {
	if !c.hasTenants(issuer) {
		return issuer, nil
	}
	m, err := c.metadata(ctx, issuer, strangers)
	switch {
	case err != nil:
		return "", err
	case m.tenants == nil:
		return issuer, nil
	}
	claims, err := peek(raw)
	if err != nil {
		return "", err
	}
	tid, ok := claims.text("tid")
	if !ok {
		return "", invalidToken("it has no tid, which says of which tenant its user is")
	}
	of := m.tenants.issuer(tid)
	if of == "" {
		return "", &session.IssuerValidationError{Message: "the tid of the ID token is not a tenant of the issuer"}
	}
	if err := claims.checkIssuer(of); err != nil {
		return "", err
	}
	if !c.allowed(ctx, tid) {
		return "", &session.IssuerValidationError{Message: "users of the tenant " + tid + " may not sign in; see ProviderConfig.Tenants"}
	}
	return of, nil
}

// hasTenants reports whether issuer is the one whose users may be of several tenants.
func (c *Client) hasTenants(issuer string) bool {
	return c.tenants != nil && session.NormalIssuer(issuer) == c.issuer
}

// allowed asks the host whether users of a tenant may sign in. A panic is a no.
func (c *Client) allowed(ctx context.Context, tid string) (may bool) {
	defer func() {
		if recover() != nil {
			may = false
		}
	}()
	return c.tenants(ctx, tid)
}

// issuerOfLogout returns the issuer that a logout token must come from: that of the tenant that
// its iss names, whether its users may sign in or not.
func (c *Client) issuerOfLogout(ctx context.Context, issuer string, unverified claims) (string, error) {
	if !c.hasTenants(issuer) {
		return issuer, nil
	}
	m, err := c.metadata(ctx, issuer, strangers)
	if err != nil {
		return "", err
	}
	if iss, _ := unverified.text("iss"); m.tenants != nil && m.tenants.tenant(iss) != "" {
		return iss, nil
	}
	return issuer, nil
}
