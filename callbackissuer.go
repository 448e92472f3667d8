package tokenward

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// checkCallbackIssuer checks that a callback comes from the issuer at which its login began. Where a
// resolver names several issuers, one that is hostile could send the browser on to another one, and
// so have that one's code sent to itself (mix-up, RFC 9700 section 4.4). So the callback must
// say its issuer (RFC 9207), or come to a redirect URI that is of this issuer alone, or to where the
// resolver names this issuer. A resolver of registrations must not name another one than the login's.
//
// It returns the tenant that the resolver named, if it was asked and named the login's.
func (c *Client) checkCallbackIssuer(ctx context.Context, tx transaction, u *url.URL, o store.Options) (t tenant, err error) {
	query, of := u.Query(), c.registrationOf(tx)
	if err := c.idp.CheckCallbackIssuer(ctx, of.Issuer, query); err != nil {
		return t, err
	}
	said := query.Get("iss") != "" || tx.OwnRedirect && c.redirects.own(tx.RedirectURI, tx.Domain) && cameTo(u, tx.RedirectURI)
	if !c.resolving() || c.opts.anyCallback || said && !c.registering() {
		return t, nil
	}
	t, err = c.tenant(ctx, o)
	switch {
	case err == nil && t.of.Same(of):
		return t, nil
	case err == nil && c.registering():
		return tenant{}, &IssuerValidationError{Callback: true, Message: "the callback is for another registration than the one for which its login was begun: " +
			"have the RegistrationResolver name the login's by the callback's request, or fail there, or see WithoutMixUpCheck"}
	case said:
		return tenant{}, nil
	}
	return tenant{}, &IssuerValidationError{Callback: true, Message: "the authorization response does not say which of several issuers it is from: " +
		"have the resolver name the issuer by the callback's request, give each issuer a redirect URI of its own, or see WithoutMixUpCheck"}
}

// registrationOf returns the registration for which a login was begun.
func (c *Client) registrationOf(tx transaction) session.RegistrationID {
	return session.RegistrationID{Issuer: session.IssuerOf(tx.Domain), ClientID: cmp.Or(tx.ClientID, c.cfg.ClientID)}
}

// cameTo reports whether a callback came to redirectURI: the query may have more.
func cameTo(callback *url.URL, redirectURI string) bool {
	to, err := url.Parse(redirectURI)
	if err != nil || !strings.EqualFold(to.Scheme, callback.Scheme) || !strings.EqualFold(to.Host, callback.Host) ||
		to.EscapedPath() != callback.EscapedPath() {
		return false
	}
	has := callback.Query()
	for name, values := range to.Query() {
		if !slices.Equal(has[name], values) {
			return false
		}
	}
	return true
}

// ownRedirect reports whether the redirect URI of a login is for logins of its domain alone: the
// host named it for this login or its registration, and for no login of another domain.
func (c *Client) ownRedirect(r LoginRequest, t tenant, tx transaction) bool {
	named := cmp.Or(r.AuthorizationParams["redirect_uri"], t.redirectURI)
	return c.resolving() && named != "" && named != c.cfg.RedirectURI && named != c.cfg.AuthorizationParams["redirect_uri"] &&
		c.redirects.note(named, tx.Domain)
}

const maxRedirectURIs = 10_000

// redirectURIs knows for which domain's logins each redirect URI was named in this process.
type redirectURIs struct {
	mu sync.Mutex
	of map[string]string // "" where it was named for several
}

func (r *redirectURIs) init() { r.of = make(map[string]string) }

// note notes that uri was named for a login of domain, and reports whether that was so each time. Beyond
// maxRedirectURIs it cannot tell.
func (r *redirectURIs) note(uri, domain string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch of, known := r.of[uri]; {
	case !known && len(r.of) >= maxRedirectURIs:
		return false
	case !known:
		r.of[uri] = domain
	case of != domain:
		r.of[uri] = ""
	}
	return r.of[uri] == domain
}

// own reports whether nothing is known of uri that would make it another domain's too.
func (r *redirectURIs) own(uri, domain string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	of, known := r.of[uri]
	return !known || of == domain
}
