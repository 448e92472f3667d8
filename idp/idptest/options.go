package idptest

import (
	"maps"
	"strings"
	"time"

	"github.com/tokenward/tokenward/clock"
)

// Option changes how a tenant behaves, at New or later by Set.
type Option func(*config)

type config struct {
	profile   *Profile // is never changed, and never nil
	clock     clock.Clock
	address   string
	issuer    string
	inProcess bool
	wrong     error // of an option that makes no sense; nil where all do

	clients map[string]client
	users   map[string]Claims
	user    string // who signs in without a login_hint

	audience         string
	policy           map[string]string
	connections      map[string][]string
	tokenLife        time.Duration
	connectionLife   time.Duration
	latency          time.Duration
	overlap          time.Duration
	noRotation       bool
	exchangeRotation bool
	opaque           bool
	responseIssuer   bool

	editIDToken         func(*Draft)
	editAccessToken     func(*Draft)
	editConnectionToken func(*Draft)
}

func defaults() config {
	standard := auth0()
	return config{
		profile:        &standard,
		clock:          clock.System(),
		address:        "127.0.0.1:0",
		clients:        map[string]client{ClientID: {id: ClientID, secret: ClientSecret}},
		user:           Subject,
		users:          map[string]Claims{Subject: {"name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true}},
		tokenLife:      TokenLife,
		connectionLife: ConnectionTokenLife,
	}
}

// WithClock sets the clock by which tokens are dated and expire, and delays pass.
// The default is clock.System().
func WithClock(c clock.Clock) Option { return func(cfg *config) { cfg.clock = c } }

// WithAddress sets the address to listen on. The default is 127.0.0.1:0, which
// picks a free port.
func WithAddress(addr string) Option { return func(cfg *config) { cfg.address = addr } }

// InProcess makes a tenant that does not listen: it is reached through Transport,
// Client and Authorize only. Its issuer is https://tenant.example/, or that of its profile,
// unless WithIssuer says otherwise.
func InProcess() Option { return func(cfg *config) { cfg.inProcess = true } }

// WithIssuer sets the issuer, with a path or not, as discovery shall say it. The
// default is the address the tenant listens on. A profile whose issuer has a path of
// its own has that below this URL.
func WithIssuer(issuer string) Option { return func(cfg *config) { cfg.issuer = issuer } }

// WithUser adds a user. Its claims go into every ID token, verbatim. A login is this
// user's where its login_hint says so, or WithDefaultUser. See Tenant.SetUser.
func WithUser(subject string, claims Claims) Option {
	return func(cfg *config) {
		cfg.users[subject] = claims.clone() // the tenant's own map, under its lock
	}
}

// WithDefaultUser says who signs in when there is no login_hint. The default is
// Subject.
func WithDefaultUser(subject string) Option { return func(cfg *config) { cfg.user = subject } }

// WithAudience sets the tenant's default audience, for logins that name none. By
// default such a login's tokens are for the userinfo endpoint.
func WithAudience(audience string) Option { return func(cfg *config) { cfg.audience = audience } }

// WithPolicy limits what a refresh token is good for (Auth0's multi-resource
// refresh tokens): it maps each allowed audience to its allowed scopes, separated
// by spaces. Other scopes are not granted, save those of OpenID Connect; an
// audience that the policy does not name is answered with a token for the login's
// own audience, which need not be named: there a login is granted what it asks for, and
// a refresh no more than the login was. Without a policy whatever is asked for is
// granted.
func WithPolicy(scopesByAudience map[string]string) Option {
	return func(cfg *config) { cfg.policy = maps.Clone(scopesByAudience) }
}

// WithConnection adds a connection for the token exchange, and the accounts that a
// user has there; a login_hint chooses one, the first is used without. When no
// connection was added every connection and every login_hint has an account.
func WithConnection(name string, accounts ...string) Option {
	return func(cfg *config) {
		cfg.connections = maps.Clone(cfg.connections)
		if cfg.connections == nil {
			cfg.connections = map[string][]string{}
		}
		cfg.connections[name] = accounts
	}
}

// WithTokenLife sets how long access tokens live. The default is TokenLife.
func WithTokenLife(d time.Duration) Option { return func(cfg *config) { cfg.tokenLife = d } }

// WithConnectionTokenLife sets how long a connection's tokens live. The default is
// ConnectionTokenLife.
func WithConnectionTokenLife(d time.Duration) Option {
	return func(cfg *config) { cfg.connectionLife = d }
}

// WithLatency makes every request to the token endpoint wait d on the tenant's
// clock before anything else happens to it. The default is not to wait.
func WithLatency(d time.Duration) Option { return func(cfg *config) { cfg.latency = d } }

// WithOverlap lets the previous refresh token be presented again for d after it was
// rotated, as Auth0's rotation overlap does: it is answered with one more child of
// the same family. An older one still revokes. The default is none.
func WithOverlap(d time.Duration) Option { return func(cfg *config) { cfg.overlap = d } }

// WithoutRotation makes refresh tokens good for any number of uses.
func WithoutRotation() Option { return func(cfg *config) { cfg.noRotation = true } }

// WithExchangeRotation makes a connection exchange rotate the refresh token too,
// and return the new one. By default it only presents it.
func WithExchangeRotation() Option { return func(cfg *config) { cfg.exchangeRotation = true } }

// WithOpaqueTokens makes access tokens random words instead of JWTs. They cost no
// signature, which is most of what a token request costs.
func WithOpaqueTokens() Option { return func(cfg *config) { cfg.opaque = true } }

// WithResponseIssuer makes the tenant send its issuer as iss in every authorization
// response, and promise that in its metadata (RFC 9207). By default it does neither.
func WithResponseIssuer() Option { return func(cfg *config) { cfg.responseIssuer = true } }

// WithIDToken lets edit change every ID token before it is signed, or forge it. Only
// refreshes, for example, or none of them: look at Draft.Kind. It is called by
// several goroutines at once when requests come so.
func WithIDToken(edit func(*Draft)) Option { return func(cfg *config) { cfg.editIDToken = edit } }

// WithAccessToken lets edit change every access token before it is signed. It does
// not see opaque ones.
func WithAccessToken(edit func(*Draft)) Option {
	return func(cfg *config) { cfg.editAccessToken = edit }
}

// WithConnectionToken lets edit change every connection's token, which is opaque: Raw is
// what will be sent, and Claims say whose it is (sub, connection, account).
func WithConnectionToken(edit func(*Draft)) Option {
	return func(cfg *config) { cfg.editConnectionToken = edit }
}

// scopes splits a scope string, without duplicates.
func scopes(s string) []string {
	var out []string
	seen := map[string]bool{}
	for _, w := range strings.Fields(s) {
		if !seen[w] {
			seen[w] = true
			out = append(out, w)
		}
	}
	return out
}
