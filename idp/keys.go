package idp

import (
	"context"
	"fmt"
	"net/http"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
)

// source says where a token came from, and so how much it may cost.
type source int

const (
	// fromProvider is the token endpoint, for ID tokens: no stranger decides how many.
	fromProvider source = iota
	// fromStrangers is a door that strangers can knock at, for logout tokens. What they
	// bring cannot keep a login from seeing new keys.
	fromStrangers
)

func errKeyNotFound() error {
	return &session.APIError{Code: session.CodeJWKSKeyNotFound, Description: "the provider has no key for this token"}
}

// keys returns the provider's keys. With not, which lacks a key that is wanted, it
// returns a newer set if there is one or it may be fetched, else that set again.
// Tokens of one source have it fetched at most once in 30 seconds.
func (c *Client) keys(ctx context.Context, issuer string, not *keySet, from source, as class) (*keySet, error) {
	m, err := c.metadata(ctx, issuer, as)
	if err != nil {
		return nil, err
	}
	if m.JWKSURI == "" {
		return nil, &session.APIError{Code: session.CodeMissingJWKSURI, Description: "the provider's metadata has no usable jwks_uri"}
	}
	at := session.NormalIssuer(issuer)
	if set := c.cachedKeys(at, not, from); set != nil {
		return set, nil
	}
	set, err := shared(ctx, c, "keys "+at+" "+m.JWKSURI, as, func(ctx context.Context) (*keySet, error) {
		return c.loadKeys(ctx, at, m.JWKSURI, not, from)
	})
	if err != nil {
		return nil, failed(session.CodeJWKSFetchError, err)
	}
	return set, nil
}

// cachedKeys returns what keys returns when nothing is to be fetched, else nil.
func (c *Client) cachedKeys(issuer string, not *keySet, from source) *keySet {
	now := c.clock.Now()
	p, _ := c.cache.get(issuer)
	if p.keysFresh(now) && (p.keys != not || p.cooling(now, from)) {
		return p.keys
	}
	return nil
}

// loadKeys brings the cached keys up to date. It runs once at a time for each
// issuer.
func (c *Client) loadKeys(ctx context.Context, issuer, uri string, not *keySet, from source) (*keySet, error) {
	if set := c.cachedKeys(issuer, not, from); set != nil {
		return set, nil
	}
	if not != nil {
		// Also when it fails: made-up kids must not become requests. Not before it has
		// ended: callers that come during the request shall wait for it.
		defer func() { c.cache.asked(issuer, c.clock.Now(), from) }()
	}
	set, err := c.fetchKeys(ctx, uri)
	if err != nil {
		return nil, &session.APIError{Code: session.CodeJWKSFetchError, Err: err}
	}
	c.cache.putKeys(issuer, uri, set, c.clock.Now())
	return set, nil
}

func (c *Client) fetchKeys(ctx context.Context, uri string) (*keySet, error) {
	ctx, cancel := clock.WithTimeout(ctx, c.clock, c.timeout)
	defer cancel()
	r, err := c.get(ctx, observe.RequestKeys, uri)
	if err != nil {
		return nil, err
	}
	if r.status != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d", r.status)
	}
	return parseKeySet(r.body)
}
