// Package idp holds everything that is said to the identity provider: discovery,
// its keys, the authorize and logout URLs, token requests, and the checks of the
// ID tokens and logout tokens that come back. Applications use package tokenward, and of this one ParseSigningKey and AuthMethod;
// of the rest no compatibility is promised.
//
// It decides nothing about sessions. One call makes one token request: there is
// no retry here, no redirect is followed but to metadata and keys, and what the provider
// answers is taken apart but judged by the caller. Issuers are given as issuer URLs or as domains
// (see session.IssuerOf).
package idp

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

const (
	defaultTimeout  = 10 * time.Second
	defaultIdleTime = 30 * time.Second // less than most servers keep a connection

	// maxIdlePerHost matches the default number of requests at one provider at once,
	// so that a burst does not open and close a connection for each.
	maxIdlePerHost = 1024
)

// Config says who the client is and how it talks to providers.
type Config struct {
	ClientID string

	// ClientSecret or SigningKey authenticates the client at the token endpoint; with
	// both the secret is not used. Without either, and where Auth needs one, every token
	// request fails with a *session.ConfigurationError.
	ClientSecret string

	SigningKey   crypto.PrivateKey // *rsa.PrivateKey, *ecdsa.PrivateKey or ed25519.PrivateKey; see ParseSigningKey
	SigningAlg   string            // RFC 7518 section 3.1; default RS256 for RSA keys, ES256 for P-256, and so on
	SigningKeyID string            // kid of the assertions; empty for none

	// SigningCertificate is named in the header of the assertions by its thumbprint (x5t#S256 and
	// x5t, RFC 7515 section 4.1.8), as Entra ID and ADFS demand. It must be of SigningKey.
	SigningCertificate *x509.Certificate

	// AssertTokenEndpoint makes the token endpoint the aud of the assertions, in place of the
	// issuer (RFC 7523 section 3): login.gov and GOV.UK One Login take nothing else.
	AssertTokenEndpoint bool

	// Auth is the method of authentication. The default is PrivateKeyJWT with a SigningKey, else
	// ClientSecretBasic, or with ReadMetadata what the provider's metadata lists of
	// ClientSecretBasic and ClientSecretPost, in this order.
	Auth AuthMethod

	// Issuer is the configured issuer, which MetadataURL and Tenants are about.
	Issuer string

	// MetadataURL is where the metadata of Issuer is, where that is not below Issuer.
	MetadataURL string

	// Tenants, when set, allows Issuer to be a template: metadata whose issuer has {tenantid} in it,
	// in whose place each ID token has the tenant's id (claim tid), as with Entra ID's
	// organizations, common and consumers. Issuer is that template, or an alias that differs from it,
	// or from the one tenant's issuer in the metadata, in the tenant alone. Tenants says which tenants
	// may sign in; a panic is a no. See TenantIssuer.
	Tenants func(ctx context.Context, tenantID string) bool

	// Resource sends the audience as the parameter resource (RFC 8707) in place of audience.
	Resource bool

	// ReadMetadata lets a provider's metadata decide what the host left open.
	ReadMetadata bool

	// HTTPClient makes all requests; nil means one of our own. It is copied, and
	// the copy follows no redirects but those to metadata and keys. It must not retry: a repeated token request
	// spends a refresh token twice. Its Timeout is not relied on.
	HTTPClient *http.Client

	// IdleConnTimeout is how long our own HTTP client keeps a connection that is not used; the
	// default is 30 seconds. A client of the host's is left as it is.
	IdleConnTimeout time.Duration

	// Observe, where not nil, is told of each HTTP request, of a kind of package observe. It returns the context that the request
	// is sent with, and the function that hears of its end; a nil end is told nothing.
	Observe func(ctx context.Context, kind, method, server string) (context.Context, func(status int, failed bool))

	Clock clock.Clock // default clock.System()
	Rand  io.Reader   // default crypto/rand; for the jti of client assertions

	// Algorithms are the signature algorithms accepted in ID and logout tokens
	// (RFC 7518 section 3.1). The default is RS256, or with ReadMetadata what the provider's
	// id_token_signing_alg_values_supported lists; none and HS* are refused always.
	Algorithms []string

	// Leeway is allowed to clocks that differ when exp, iat and nbf are checked. It
	// is taken as it is: zero means none.
	Leeway time.Duration

	// Timeout ends each request that has no flight around it: discovery, keys, the
	// code exchange and so on. The default is 10 seconds.
	Timeout time.Duration

	// Limit, when set, is asked for a permit at the provider, which release gives back, before each
	// request that strangers can cause: code exchanges, UserInfo, pushed authorization requests,
	// discovery and keys for them. What it refuses with session.ErrOverloaded is not sent. first is
	// set for discovery and keys, one at a time for each issuer, which others wait for, and for
	// UserInfo, whose login has spent its code: they go before what waits and are not to be
	// refused. Requests of signed-in users (Refresh, ExchangeConnection, Revoke) are bounded by
	// their callers.
	Limit func(ctx context.Context, first bool) (release func(), err error)
}

// Format implements fmt.Formatter; it leaves the secret out.
func (c Config) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "idp.Config{ClientID: %q}", c.ClientID) }

// Client talks to providers on behalf of one registered application. It is safe
// for concurrent use.
type Client struct {
	clientID string
	auth     credentials
	http     *http.Client
	*common
}

// common is what a Client shares with those that For makes of it.
type common struct {
	issuer       string // that of metadataURL and tenants, in normal form
	metadataURL  string // empty: below the issuer
	tenants      func(ctx context.Context, tenantID string) bool
	readMetadata bool
	audience     string          // the name of the parameter
	own          *http.Transport // nil when the host brought its client
	clock        clock.Clock
	rand         io.Reader
	algorithms   []string // empty: see acceptedAlgorithms
	leeway       time.Duration
	timeout      time.Duration
	limit        func(ctx context.Context, first bool) (release func(), err error)
	observe      func(ctx context.Context, kind, method, server string) (context.Context, func(status int, failed bool)) // nil: nothing is

	cache   *cache
	recent  atomic.Pointer[recentMetadata]
	posts   atomic.Pointer[blankPost]
	flights flights         // discovery and keys only, never token requests
	open    context.Context // ends with Close; the flights end with it
	close   context.CancelFunc
}

// New returns a Client. It makes no request. It fails with a
// *session.ConfigurationError that names the field.
func New(cfg Config) (*Client, error) {
	if cfg.ClientID == "" {
		return nil, &session.ConfigurationError{Message: "ClientID is required"}
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System()
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	auth, err := newCredentials(cfg)
	if err == nil && auth.signer != nil {
		err = auth.signer.try()
	}
	if err != nil {
		return nil, err
	}
	if err := checkAlgorithms(cfg.Algorithms); err != nil {
		return nil, err
	}
	if cfg.Leeway < 0 {
		return nil, &session.ConfigurationError{Message: "Leeway must not be negative"}
	}
	if cfg.Timeout < 0 {
		return nil, &session.ConfigurationError{Message: "Timeout must not be negative"}
	}
	if cfg.IdleConnTimeout < 0 {
		return nil, &session.ConfigurationError{Message: "IdleConnTimeout must not be negative"}
	}
	c := &Client{clientID: cfg.ClientID, auth: auth, common: &common{
		clock: cfg.Clock, rand: cfg.Rand,
		algorithms: slices.Clone(cfg.Algorithms), readMetadata: cfg.ReadMetadata, audience: "audience",
		leeway:  cfg.Leeway,
		timeout: cfg.Timeout,
		limit:   cfg.Limit,
		observe: cfg.Observe,
		cache:   newCache(),
	}}
	if cfg.Resource {
		c.audience = "resource"
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	if err := c.useIssuer(cfg); err != nil {
		return nil, err
	}
	c.flights.byKey = make(map[string]*flight)
	c.open, c.close = context.WithCancel(context.Background())
	c.useHTTP(cfg.HTTPClient, cmp.Or(cfg.IdleConnTimeout, defaultIdleTime))
	return c, nil
}

// Close ends the fetching of metadata and keys, also for the Clients that For made, and drops
// idle connections where the HTTP client is our own. Token requests under way end with their own
// contexts.
func (c *Client) Close() {
	c.close()
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// Format implements fmt.Formatter; it leaves the secret out.
func (c *Client) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "idp.Client(%q)", c.clientID) }

// Ready reports whether users could sign in now: the provider's metadata is known
// and complete, and its keys are. Cached ones are not fetched again. It waits for no permit: a
// flood of strangers does not make the client unready.
func (c *Client) Ready(ctx context.Context, issuer string) error {
	m, err := c.metadata(ctx, issuer, users)
	if err != nil {
		return err
	}
	for _, e := range []endpoint{{"authorization_endpoint", m.AuthorizationEndpoint}, {"token_endpoint", m.TokenEndpoint}} {
		if err := e.check(); err != nil {
			return err
		}
	}
	_, err = c.keys(ctx, issuer, nil, fromProvider, users)
	return err
}
