package tokenward

import (
	"context"
	"fmt"
	"strings"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// DomainResolver says which domain a call is for, where one server serves several
// (Auth0's multiple custom domains): an Auth0 domain or an issuer URL. It is given the
// call's store options, is called once per call, and must be safe for concurrent use. An
// error, a panic or a blank domain fails the call with a *DomainResolverError; there
// is no fallback. At a callback that does not say its issuer it is asked whether the callback is
// from the issuer at which the login began; see WithoutMixUpCheck.
type DomainResolver func(ctx context.Context, o store.Options) (domain string, err error)

// resolving reports whether domains come from a resolver.
func (c *Client) resolving() bool { return c.cfg.DomainResolver != nil || c.registering() }

// currentFor is current for a call about a session, which comes first: where there is
// none, or it is of no domain, a resolver that fails does not matter. That it cannot be read
// is returned as as makes it.
func (c *Client) currentFor(ctx context.Context, o StoreOptions, as func(error) error) (session.RegistrationID, error) {
	t, err := c.tenant(ctx, o.options())
	if err == nil {
		return t.of, nil
	}
	s, unread := c.lookup.Look(ctx, o.id, o.options())
	switch {
	case unread != nil:
		return t.of, as(unread)
	case c.lookup.Foreign(s, t.of) == session.CodeMissingSessionDomain:
		return t.of, nil
	}
	return t.of, err
}

// tenant is whom a call is for.
type tenant struct {
	of     session.RegistrationID
	domain bool // the issuer was named as an Auth0 domain, not as a URL

	// What a RegistrationResolver said beside it.
	redirectURI string
	credentials Credentials
}

// tenant returns whom this call is for.
func (c *Client) tenant(ctx context.Context, o store.Options) (t tenant, err error) {
	if !c.resolving() {
		return tenant{of: session.RegistrationID{Issuer: c.issuer, ClientID: c.cfg.ClientID}, domain: c.cfg.Domain != ""}, nil
	}
	defer func() {
		if r := recover(); r != nil {
			t, err = tenant{}, &DomainResolverError{Message: fmt.Sprintf("the domain resolver panicked (%T)", r)}
		}
	}()
	r, err := c.registration(ctx, o)
	if err != nil {
		return t, &DomainResolverError{Message: "the domain resolver failed", Err: err}
	}
	named := Config{Domain: r.Domain, Issuer: r.Issuer}
	issuer, err := named.issuer()
	switch {
	case err != nil:
		return t, &DomainResolverError{Message: "the domain resolver named no usable domain", Err: err}
	case blank(r.ClientID):
		return t, &DomainResolverError{Message: "the registration resolver named no ClientID"}
	}
	return tenant{
		of: session.RegistrationID{Issuer: issuer, ClientID: r.ClientID}, domain: blank(named.Issuer),
		redirectURI: r.RedirectURI, credentials: r.Credentials,
	}, nil
}

// registration asks the host's resolver.
func (c *Client) registration(ctx context.Context, o store.Options) (Registration, error) {
	if c.registering() {
		return c.cfg.RegistrationResolver(ctx, o)
	}
	domain, err := c.cfg.DomainResolver(ctx, o)
	if strings.Contains(domain, "://") {
		return Registration{Issuer: domain, ClientID: c.cfg.ClientID}, err
	}
	return Registration{Domain: domain, ClientID: c.cfg.ClientID}, err
}
