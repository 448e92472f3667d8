package idp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
)

// Metadata is what a provider says about itself (OpenID Connect Discovery
// section 3). An endpoint that is missing, or that is not an absolute https URL
// (or, of an issuer at a loopback host by http, one such as that), is empty.
type Metadata struct {
	Issuer                             string
	AuthorizationEndpoint              string
	TokenEndpoint                      string
	JWKSURI                            string
	EndSessionEndpoint                 string
	PushedAuthorizationRequestEndpoint string
	RevocationEndpoint                 string
	UserInfoEndpoint                   string

	// ScopesSupported are scopes that the provider knows, though perhaps not all of them; nil
	// when it does not say.
	ScopesSupported []string

	// CodeChallengeMethodsSupported are the PKCE methods (RFC 8414 section 2); nil when the
	// provider does not say, which may mean that it ignores PKCE.
	CodeChallengeMethodsSupported []string

	// TokenEndpointAuthMethodsSupported are the methods of client authentication that the token
	// endpoint takes; nil when the provider does not say.
	TokenEndpointAuthMethodsSupported []string

	// IDTokenSigningAlgValuesSupported are the algorithms that ID tokens may be signed by; nil when
	// the provider does not say.
	IDTokenSigningAlgValuesSupported []string

	algorithms []string // of these, the ones that can be accepted
	tenants    *tenants // whose users may sign in; nil where the issuer is one
	streams    StreamEndpoints

	// mutual is for clients that authenticate by a certificate; nil where mtls_endpoint_aliases
	// cannot be read.
	mutual *Metadata

	// RequirePushedAuthorizationRequests says that a login must be pushed (RFC 9126 section 5).
	RequirePushedAuthorizationRequests bool

	// AuthorizationResponseIssParameterSupported promises an iss in every
	// authorization response (RFC 9207 section 3).
	AuthorizationResponseIssParameterSupported bool
}

// Metadata returns the provider's metadata (OpenID Connect Discovery section 4). The provider is asked at most once
// in 10 minutes, and once for all callers at the same time. Older metadata is used for
// another 24 hours while it is renewed in the background: a provider that hangs or
// fails delays no caller then.
//
// It fails with a *session.APIError of the code metadata_error.
func (c *Client) Metadata(ctx context.Context, issuer string) (*Metadata, error) {
	m, err := c.metadata(ctx, issuer, strangers)
	if err != nil {
		return nil, err
	}
	own := *m
	return &own, nil
}

// recentMetadata is the cached metadata of the issuer that was asked for last, with that issuer
// as the caller spelled it. It is no older than the cache's, and found without a lock.
type recentMetadata struct {
	issuer string
	meta   *Metadata
	at     time.Time
}

// metadata is Metadata, but what it returns is not to be changed.
func (c *Client) metadata(ctx context.Context, issuer string, as class) (*Metadata, error) {
	now := c.clock.Now()
	if r := c.recent.Load(); r != nil && r.issuer == issuer && within(now, r.at, cacheFor) {
		return c.mine(r.meta)
	}
	at, err := normalIssuer(issuer)
	if err != nil {
		return nil, &session.APIError{Code: session.CodeMetadataError, Err: err}
	}
	p, known := c.cache.get(at)
	switch {
	case known && p.fresh(now):
		c.recent.Store(&recentMetadata{issuer, &p.meta, p.metaAt})
		return c.mine(&p.meta)
	case known && p.usable(now):
		if ctx.Value(probing{}) == nil {
			c.renew(at, p, now)
		}
		return c.mine(&p.meta)
	}
	m, err := shared(ctx, c, "metadata "+at, as, func(ctx context.Context) (Metadata, error) {
		return c.discover(ctx, at)
	})
	if err != nil {
		return nil, failed(session.CodeMetadataError, err)
	}
	return c.mine(&m)
}

// probing is the key of contexts of Probing.
type probing struct{}

// Probing returns a copy of ctx for a request that finds out whether a provider works again: metadata that is past its time, and
// still usable, is not renewed beside it, for that would be a second request.
func Probing(ctx context.Context) context.Context { return context.WithValue(ctx, probing{}, true) }

// mine returns metadata with the endpoints that are for this client.
func (c *Client) mine(m *Metadata) (*Metadata, error) {
	switch {
	case !c.auth.method.UsesCertificate():
		return m, nil
	case m.mutual == nil:
		return nil, &session.APIError{Code: session.CodeMetadataError, Err: errNotObject}
	}
	return m.mutual, nil
}

// renew has metadata that is past its time fetched in the background, by one request for each
// issuer, in the class of strangers: a request that hangs takes no permit of signed-in users. After a
// failure the provider is left alone for a while.
func (c *Client) renew(issuer string, p provider, now time.Time) {
	if p.paused(now) {
		return
	}
	c.join(context.Background(), "metadata "+issuer, strangers, true, func(ctx context.Context) (any, error) {
		return c.discover(ctx, issuer)
	})
}

// discover brings the cached metadata up to date. It runs once at a time for each
// issuer.
func (c *Client) discover(ctx context.Context, issuer string) (Metadata, error) {
	p, known := c.cache.get(issuer)
	now := c.clock.Now()
	if known && (p.fresh(now) || p.usable(now) && p.paused(now)) {
		return p.meta, nil
	}
	m, err := c.fetchMetadata(ctx, issuer)
	now = c.clock.Now()
	if err != nil {
		c.cache.failed(issuer, now)
		return Metadata{}, err
	}
	if r := c.recent.Load(); r != nil {
		c.cache.get(session.NormalIssuer(r.issuer)) // it was used since the cache was last asked for it
	}
	c.cache.put(issuer, m, now)
	return m, nil
}

func (c *Client) fetchMetadata(ctx context.Context, issuer string) (Metadata, error) {
	ctx, cancel := clock.WithTimeout(ctx, c.clock, c.timeout)
	defer cancel()
	r, err := c.get(ctx, observe.RequestMetadata, c.metadataAt(issuer))
	if err == nil && r.status != http.StatusOK {
		err = fmt.Errorf("HTTP status %d", r.status)
	}
	if err != nil {
		return Metadata{}, &session.APIError{Code: session.CodeMetadataError, Err: err}
	}
	secure := strings.HasPrefix(issuer, "https:")
	m, err := parseMetadata(r.body, false, secure)
	if err == nil {
		err = c.checkMetadata(&m, issuer)
	}
	if err != nil {
		return Metadata{}, &session.APIError{Code: session.CodeMetadataError, Err: err}
	}
	if mutual, err := parseMetadata(r.body, true, secure); err == nil {
		mutual.tenants = m.tenants
		m.mutual = &mutual
	}
	return m, nil
}

// parseMetadata reads a metadata document, for clients that authenticate by a certificate with
// the endpoints that are for these (mtls_endpoint_aliases, RFC 8705 section 5). With secure, as
// for an https issuer, an endpoint by http is none.
func parseMetadata(body []byte, certificate, secure bool) (Metadata, error) {
	doc, err := object(body)
	if err != nil {
		return Metadata{}, err
	}
	if certificate && !absent(doc["mtls_endpoint_aliases"]) {
		aliases, err := object(doc["mtls_endpoint_aliases"])
		if err != nil {
			return Metadata{}, err
		}
		for name, alias := range aliases {
			if strings.HasSuffix(name, "_endpoint") {
				doc[name] = alias
			}
		}
	}
	usable := func(endpoint string) string { return usableURL(doc[endpoint], secure) }
	m := Metadata{
		AuthorizationEndpoint:              usable("authorization_endpoint"),
		TokenEndpoint:                      usable("token_endpoint"),
		JWKSURI:                            usable("jwks_uri"),
		EndSessionEndpoint:                 usable("end_session_endpoint"),
		PushedAuthorizationRequestEndpoint: usable("pushed_authorization_request_endpoint"),
		RevocationEndpoint:                 usable("revocation_endpoint"),
		UserInfoEndpoint:                   usable("userinfo_endpoint"),

		ScopesSupported:                   listed(doc["scopes_supported"]),
		CodeChallengeMethodsSupported:     listed(doc["code_challenge_methods_supported"]),
		TokenEndpointAuthMethodsSupported: listed(doc["token_endpoint_auth_methods_supported"]),
		IDTokenSigningAlgValuesSupported:  listed(doc["id_token_signing_alg_values_supported"]),

		RequirePushedAuthorizationRequests:         string(doc["require_pushed_authorization_requests"]) == "true",
		AuthorizationResponseIssParameterSupported: string(doc["authorization_response_iss_parameter_supported"]) == "true",
	}
	m.streams = StreamEndpoints{Configuration: usable("configuration_endpoint"), Verification: usable("verification_endpoint")}
	m.Issuer, _ = text(doc["issuer"])
	for _, alg := range m.IDTokenSigningAlgValuesSupported {
		if slices.Contains(knownAlgorithms, alg) {
			m.algorithms = append(m.algorithms, alg)
		}
	}
	return m, nil
}

// listed returns the strings of a list, nil where it is absent or no list of strings.
func listed(value json.RawMessage) []string {
	var list []string
	if json.Unmarshal(value, &list) != nil {
		return nil
	}
	return list
}

// usableURL returns an endpoint's URL, or nothing where it is not one to send
// secrets to: https, or http at a loopback host for an issuer that is such a one itself. An https
// issuer that names http://127.0.0.1:6379/ would have the client's credentials sent to whatever
// listens beside it. It may have a query but no fragment (RFC 6749 section 3.1).
func usableURL(value json.RawMessage, secure bool) string {
	s, _ := text(value)
	u, err := url.Parse(s)
	if err != nil || u.Fragment != "" || u.Opaque != "" || !fetchable(u, secure) {
		return ""
	}
	return s
}

// endpoint is an endpoint and the name it has in the metadata.
type endpoint struct{ name, url string }

// check returns an APIError of the code configuration_error when there is none.
func (e endpoint) check() error {
	if e.url == "" {
		return &session.APIError{Code: session.CodeConfiguration, Description: "the provider's metadata has no usable " + e.name}
	}
	return nil
}

// normalIssuer returns the form under which an issuer is cached and asked.
func normalIssuer(issuer string) (string, error) {
	at := session.NormalIssuer(issuer)
	if err := session.CheckIssuer(at); err != nil {
		return "", err
	}
	return at, nil
}

// saysIssuer reports whether what the other end gives as its issuer is issuer. It
// must be a URL: a bare domain means one in a configuration only.
func saysIssuer(iss, issuer string) bool {
	return strings.Contains(iss, "://") && session.SameIssuer(iss, issuer)
}
