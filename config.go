package tokenward

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/runner"
	"github.com/tokenward/tokenward/session"
)

// Ways in which the client authenticates at the provider, for Config.ClientAuth.
const (
	ClientSecretBasic = idp.ClientSecretBasic // HTTP Basic
	ClientSecretPost  = idp.ClientSecretPost  // in the form
	PublicClient      = idp.PublicClient      // not at all: PKCE alone protects the code

	TLSClientAuth           = idp.TLSClientAuth           // by a certificate that an authority issued
	SelfSignedTLSClientAuth = idp.SelfSignedTLSClientAuth // by a certificate that the provider knows
)

// Config is what every host must decide. Everything else is an Option.
type Config struct {
	// Domain is an Auth0 domain such as tenant.eu.auth0.com, the same as the Issuer
	// https://DOMAIN/. One of the two is required, not both.
	Domain string

	// Issuer is the issuer URL of an OpenID provider. http is accepted for loopback
	// hosts only.
	Issuer string

	// DomainResolver says for each call which domain it is for, in place of Domain and
	// Issuer. A session then belongs to the domain it was begun at.
	DomainResolver DomainResolver

	// RegistrationResolver says for each call which registered application it is for, in place of
	// Domain, Issuer, DomainResolver and ClientSecret: one server serves tenants with registrations of
	// their own. It needs Credentials. ClientID may then be empty; it is that of sessions stored before
	// there was a resolver.
	RegistrationResolver RegistrationResolver

	// Credentials says for each request how the application authenticates, in place of ClientSecret, ClientAuth and
	// WithCredentials: for the applications of RegistrationResolver, and for a secret or key that changes, such as Apple's secret, a
	// JWT of at most six months. An error fails the request with a *ConfigurationError as its cause.
	Credentials CredentialSource

	// ClientID and ClientSecret are those of the application registered at the
	// provider. WithCredentials and Credentials stand in for the secret.
	ClientID     string
	ClientSecret string

	// ClientAuth says how the client authenticates. The default is ClientSecretBasic with a
	// Domain; else, of ClientSecretBasic and ClientSecretPost, the first that the provider's
	// metadata lists (Basic where it lists none). PublicClient declares an application without
	// a secret. TLSClientAuth and SelfSignedTLSClientAuth use the certificate of WithHTTPClient's
	// transport (RFC 8705).
	ClientAuth idp.AuthMethod

	// Secrets seal records and cookies: at least one, each of 32 bytes or more. The first
	// seals, all of them open. To change one: add the new secret second, everywhere;
	// then move it first; then drop the old one when the longest session has ended.
	Secrets []string

	// RedirectURI is where the provider sends users back to. It may be given for each
	// login instead.
	RedirectURI string

	// Audience is the API that tokens are for unless a call names another.
	Audience string

	// Scopes are asked for at login and at every refresh, separated by spaces. When
	// empty, a login asks for "openid profile email offline_access". If you write
	// your own, include offline_access, or there will be nothing to refresh with.
	Scopes string

	// ScopesFor are scopes by audience. When set, Scopes must be empty.
	ScopesFor map[string]string

	// AuthorizationParams are sent with every login. An audience and a scope among them
	// are the same as Audience and Scopes.
	AuthorizationParams map[string]string

	// Organization is asked for at every login that names none.
	Organization string
}

// Format prints c without its secrets.
func (c Config) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "tokenward.Config{Domain: %q, Issuer: %q, ClientID: %q}", c.Domain, c.Issuer, c.ClientID)
}

// MarshalJSON refuses: a Config holds secrets.
func (c Config) MarshalJSON() ([]byte, error) {
	return nil, &ConfigurationError{Message: "a Config holds secrets and is not written as JSON"}
}

// issuer returns the issuer URL that c names.
func (c Config) issuer() (string, error) {
	domain, issuer := strings.TrimSuffix(strings.TrimSpace(c.Domain), "/"), strings.TrimSpace(c.Issuer)
	switch {
	case c.RegistrationResolver != nil && (c.DomainResolver != nil || domain+issuer != ""):
		return "", &ConfigurationError{Message: "RegistrationResolver: it names the issuer; leave Domain, Issuer and DomainResolver out"}
	case c.RegistrationResolver != nil:
		return "", nil
	case c.DomainResolver != nil && domain+issuer != "":
		return "", &ConfigurationError{Message: "DomainResolver: give a DomainResolver, a Domain or an Issuer, not several"}
	case c.DomainResolver != nil:
		return "", nil
	case domain == "" && issuer == "":
		return "", &ConfigurationError{Message: "Domain: a domain or an Issuer is required"}
	case domain != "" && issuer != "":
		return "", &ConfigurationError{Message: "Domain: give a Domain or an Issuer, not both"}
	case domain != "":
		if strings.ContainsAny(domain, "/?#@ ") {
			return "", &ConfigurationError{Message: "Domain: must be a bare host such as tenant.eu.auth0.com; a URL goes into Issuer"}
		}
		issuer = session.IssuerOf(domain)
	}
	if err := session.CheckIssuer(issuer); err != nil {
		return "", err
	}
	return issuer, nil
}

func (c Config) check() error {
	switch {
	case len(c.Secrets) == 0:
		return &MissingRequiredArgumentError{Argument: "secret"}
	case c.RegistrationResolver != nil && c.Credentials == nil:
		return &ConfigurationError{Message: "Credentials: RegistrationResolver needs them"}
	case blank(c.ClientID) && c.RegistrationResolver == nil:
		return &ConfigurationError{Message: "ClientID: is required"}
	case c.ScopesFor != nil && (c.Scopes != "" || c.AuthorizationParams["scope"] != ""):
		return &ConfigurationError{Message: "Scopes: give Scopes or ScopesFor, not both"}
	case c.Audience != "" && c.AuthorizationParams["audience"] != "" && c.AuthorizationParams["audience"] != c.Audience:
		return &ConfigurationError{Message: "Audience: AuthorizationParams names another one"}
	}
	return c.checkUTF8()
}

// checkUTF8 refuses text that a session or a login cannot keep as it is (RFC 8259 section 8.1): it would come back as another client id, audience or
// scope. Issuers are held to it by session.CheckIssuer.
func (c Config) checkUTF8() error {
	for _, text := range [][2]string{
		{"ClientID", c.ClientID}, {"RedirectURI", c.RedirectURI}, {"Audience", c.Audience}, {"Scopes", c.Scopes}, {"Organization", c.Organization},
	} {
		if !utf8.ValidString(text[1]) {
			return notUTF8(text[0])
		}
	}
	for name, texts := range map[string]map[string]string{"ScopesFor": c.ScopesFor, "AuthorizationParams": c.AuthorizationParams} {
		for key, value := range texts {
			if !utf8.ValidString(key) || !utf8.ValidString(value) {
				return notUTF8(name)
			}
		}
	}
	return nil
}

func notUTF8(field string) error { return &ConfigurationError{Message: field + ": is not UTF-8"} }

// authenticate settles how the application authenticates: by what o has, else by what c has. It refuses an application that nothing
// authenticates and that is not declared public.
func (c Config) authenticate(o *options) error {
	a, option := Credentials{ClientSecret: c.ClientSecret, Auth: c.ClientAuth}, o.credentials
	wrong := ""
	switch {
	case c.Credentials != nil:
		if option != nil || c.ClientSecret != "" || c.ClientAuth != "" {
			wrong = "Credentials: they say how an application authenticates; leave ClientSecret, ClientAuth and WithCredentials out"
		}
	case option == nil:
		if a.lackSecret() {
			wrong = "ClientSecret: a secret or WithCredentials is required; an application without either is declared by ClientAuth PublicClient"
		}
	case c.ClientSecret != "" && option.ClientSecret != "":
		wrong = "ClientSecret: give it in Config or in WithCredentials, not both"
	case c.ClientAuth != "" && option.Auth != "" && c.ClientAuth != option.Auth:
		wrong = "ClientAuth: WithCredentials has another Auth"
	default:
		a = *option
		a.Auth = cmp.Or(a.Auth, c.ClientAuth)
		if a.lackSecret() {
			wrong = "WithCredentials: a ClientSecret, a SigningKey or an Auth that needs neither is required"
		}
	}
	if wrong != "" {
		return &ConfigurationError{Message: wrong}
	}
	o.credentials = &a
	return nil
}

func (c Config) policy() session.Policy {
	return session.Policy{
		Audience: cmp.Or(c.Audience, c.AuthorizationParams["audience"]),
		Scope:    session.MergeScopes(c.Scopes, c.AuthorizationParams["scope"]),
		ScopeFor: maps.Clone(c.ScopesFor),
	}
}

// RedirectURI returns the redirect URI (RFC 6749 section 3.1.2) of logins that name none of their own, "" when none
// was configured.
func (c *Client) RedirectURI() string { return c.cfg.redirectURI() }

func (c Config) redirectURI() string {
	return cmp.Or(c.AuthorizationParams["redirect_uri"], c.RedirectURI)
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }

// RetryPolicy says how often and how soon a refresh or a connection exchange that failed is sent again for the same callers. The
// zero value of a field means its default.
type RetryPolicy struct {
	Attempts int           // requests at most, with the first: 4
	First    time.Duration // before the second attempt up to this long is waited, drawn at random: 200 ms, and twice that before each next one
	Most     time.Duration // up to: 5 s
	Within   time.Duration // no attempt begins later than this after the first was sent: 30 s. A longer Retry-After is an error at once
}

// BreakerPolicy says when a provider that does not work is left alone. The zero value of a field means its default.
type BreakerPolicy struct {
	// Failures is how many requests in a row open the breaker: refreshes and connection exchanges that could not be sent,
	// were not answered within Limits.FlightTimeout, or were answered 5xx. The default is 5.
	Failures int

	// Probe is how often one request is sent while the breaker is open: 10 s, which is the most, too.
	Probe time.Duration
}

// mostProbe is the longest time between two requests to a provider that does not work.
const mostProbe = 10 * time.Second

// WithBreaker puts a circuit breaker before each provider, for all sessions of the process: after p.Failures failed requests in
// a row (5 where that is 0) one request is sent each p.Probe (10 s where that is 0, and at most), until one is answered. Calls
// that need the provider fail in between, without a request, with the code refresh_token_error (a connection's with
// retrieval_error) and a *BreakerOpenError as the cause; LoginRequired is false for it. Tokens that have not expired are handed
// out. The recovery of requests that a crash cut off waits as well, and a refresh token is not revoked. The default is no
// breaker: each session asks the provider for itself.
//
// An open breaker does not make the client unready (Ready): cached tokens are served, and other processes are no better off.
// Stats.BreakersOpen shows it.
func WithBreaker(p BreakerPolicy) Option {
	return func(o *options) {
		or(&p.Failures, 5)
		or(&p.Probe, mostProbe)
		o.breaker = session.BreakerPolicy(p)
	}
}

// WithRetry sends a refresh or a connection exchange that failed again, for the same callers: p.Attempts requests at most (4
// where that is 0), with waits drawn at random up to p.First (200 ms), doubling to p.Most (5 s), and no longer than the provider's
// Retry-After; the last begins within p.Within (30 s) of the first. Callers who ask for the same join; other queries of the
// session wait. A caller whose context ends is answered at once, and a logout or the ceiling ends the wait. The default is to
// send each request once.
//
// Sent again is what failed before anything of it was sent, a 429 and a 503. A request that was not answered, or was answered by
// another 5xx, may have rotated the refresh token: it is sent again only within ProviderConfig.RotationOverlap of when it was sent first,
// and not at all without it. Where refresh tokens do not rotate, give a long one. Any other refusal is final.
//
// With WithBreaker a wait ends in its error where the breaker has opened. Stats.Retries counts. WithHTTPClient must not retry.
func WithRetry(p RetryPolicy) Option {
	return func(o *options) {
		or(&p.Attempts, 4)
		or(&p.First, 200*time.Millisecond)
		or(&p.Most, 5*time.Second)
		or(&p.Within, 30*time.Second)
		o.retry = session.RetryPolicy(p)
	}
}

func (o *options) checkPolicies() error {
	if r := o.retry; r.Attempts < 0 || r.First < 0 || r.Most < 0 || r.Within < 0 {
		return &ConfigurationError{Message: "WithRetry: Attempts, First, Most and Within must not be negative"}
	}
	if b := o.breaker; b.Failures < 0 || b.Probe < 0 || b.Probe > mostProbe {
		return &ConfigurationError{Message: "WithBreaker: Failures and Probe must not be negative, and Probe is 10 s at most"}
	}
	return nil
}

// newRunner makes what sends requests and has turns taken.
func (c *Client) newRunner(o *options) *runner.Runner {
	paceFrom := math.MaxInt // without retries no session waits for another: each has its own answer from the provider
	if o.retry.Attempts > 0 {
		paceFrom = runner.PaceFrom
	}
	users := runner.NewAdmission(runner.AdmissionConfig{
		Clock: c.clock, Permits: runner.UserRequests(o.limits), Waiting: o.limits.QueuedFlights, Breaker: o.breaker,
		PaceFrom: paceFrom, Stats: c.stats, Turned: c.breakerTurned,
	})
	return runner.New(o.limits, c.pending, users)
}

// breakerTurned logs that a provider works no more, or again.
func (c *Client) breakerTurned(issuer string, open bool) {
	if open {
		c.log.Warn("a provider does not work: it is asked once in a while only, until it answers", zap.String("issuer", issuer))
		return
	}
	c.log.Info("a provider works again", zap.String("issuer", issuer))
}
