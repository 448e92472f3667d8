package idp

import (
	"context"
	"fmt"
	"net/http"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

// verificationKeys returns the keys that may have signed a token with this header.
// A kid that is not known has the keys fetched again, unless that was done less
// than 30 seconds ago.
func (c *Client) verificationKeys(ctx context.Context, issuer string, h header) ([]any, error) {
	if len(h.kid) > maxKID {
		return nil, errKeyNotFound()
	}
	set, err := c.keys(ctx, issuer, nil)
	if err != nil {
		return nil, err
	}
	found, known := set.find(h)
	if known {
		return found, nil
	}
	set, err = c.keys(ctx, issuer, set)
	if err != nil {
		return nil, err
	}
	if found, known = set.find(h); !known {
		return nil, errKeyNotFound()
	}
	return found, nil
}

func errKeyNotFound() error {
	return &session.APIError{Code: session.CodeJWKSKeyNotFound, Description: "the provider has no key for this token"}
}

// keys returns the provider's keys. With not, which lacks a key that is wanted, it
// returns a newer set if it may have one fetched, else that set again.
func (c *Client) keys(ctx context.Context, issuer string, not *keySet) (*keySet, error) {
	m, err := c.Metadata(ctx, issuer)
	if err != nil {
		return nil, err
	}
	if m.JWKSURI == "" {
		return nil, &session.APIError{Code: session.CodeMissingJWKSURI, Description: "the provider's metadata has no usable jwks_uri"}
	}
	at := session.NormalIssuer(issuer)
	if p, ok := c.cache.get(at); ok && p.keysFresh(c.clock.Now()) && p.keys != not {
		return p.keys, nil
	}
	set, err := shared(ctx, c, "keys "+at, func(ctx context.Context) (*keySet, error) {
		return c.loadKeys(ctx, at, m.JWKSURI, not)
	})
	if err != nil {
		return nil, failed(session.CodeJWKSFetchError, err)
	}
	return set, nil
}

// loadKeys brings the cached keys up to date. It runs once at a time for each
// issuer.
func (c *Client) loadKeys(ctx context.Context, issuer, uri string, not *keySet) (*keySet, error) {
	now := c.clock.Now()
	p, _ := c.cache.get(issuer)
	if p.keysFresh(now) {
		if p.keys != not {
			return p.keys, nil
		}
		if p.cooling(now) {
			return not, nil
		}
		c.cache.asked(issuer, now) // also when it fails: made-up kids must not become requests
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
	r, err := c.get(ctx, uri)
	if err != nil {
		return nil, err
	}
	if r.status != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d", r.status)
	}
	return parseKeySet(r.body)
}
