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
func (c *Client) resolving() bool { return c.cfg.DomainResolver != nil }

// currentFor is current for a call about a session, which comes first: where there is
// none, or it is of no domain, a resolver that fails does not matter. That it cannot be read
// is returned as as makes it.
func (c *Client) currentFor(ctx context.Context, o StoreOptions, as func(error) error) (issuer string, err error) {
	issuer, err = c.current(ctx, o.options())
	if err == nil {
		return issuer, nil
	}
	s, unread := c.look(ctx, o.id, o.options())
	switch {
	case unread != nil:
		return "", as(unread)
	case c.callers.Foreign(s, "") == session.CodeMissingSessionDomain:
		return "", nil
	}
	return "", err
}

// current returns the issuer that this call is for.
func (c *Client) current(ctx context.Context, o store.Options) (string, error) {
	t, err := c.tenant(ctx, o)
	return t.issuer, err
}

// tenant is whom a call is for.
type tenant struct {
	issuer string
	domain bool // it was named as an Auth0 domain, not as an issuer URL
}

// tenant returns whom this call is for.
func (c *Client) tenant(ctx context.Context, o store.Options) (t tenant, err error) {
	if !c.resolving() {
		return tenant{c.issuer, c.cfg.Domain != ""}, nil
	}
	defer func() {
		if r := recover(); r != nil {
			t, err = tenant{}, &DomainResolverError{Message: fmt.Sprintf("the domain resolver panicked (%T)", r)}
		}
	}()
	domain, err := c.cfg.DomainResolver(ctx, o)
	if err != nil {
		return t, &DomainResolverError{Message: "the domain resolver failed", Err: err}
	}
	named := Config{Domain: domain}
	if strings.Contains(domain, "://") {
		named = Config{Issuer: domain}
	}
	issuer, err := named.issuer()
	if err != nil {
		return t, &DomainResolverError{Message: "the domain resolver named no usable domain", Err: err}
	}
	return tenant{issuer, named.Domain != ""}, nil
}
