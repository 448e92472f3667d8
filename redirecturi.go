package tokenward

import "cmp"

// RedirectURI returns the redirect URI (RFC 6749 section 3.1.2) of logins that name none of their own, "" when none
// was configured.
func (c *Client) RedirectURI() string { return c.cfg.redirectURI() }

func (c Config) redirectURI() string {
	return cmp.Or(c.AuthorizationParams["redirect_uri"], c.RedirectURI)
}
