package tokenward

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/logging"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Option changes what New makes. Each has a working default. By subject:
//
//   - the provider: [WithProvider], [WithCredentials]
//   - requests to it: [WithHTTPClient], [WithRetry], [WithBreaker], [WithLimits]
//   - sessions: [WithStateStore], [WithTransactionStore], [WithStatelessSessions], [WithCookies], [WithIdentifiers], [WithUserUpdates]
//   - tokens: [WithRefreshBuffer], [WithEarlyRefresh], [WithEndOnDeadToken], [WithRevocation]
//   - the host: [WithActorSystem], [WithClock], [WithLogger], [WithSlog], [WithObserver], [WithHooks]
type Option func(*options)

type options struct {
	system       *actor.ActorSystem
	clock        clock.Clock
	log          *zap.Logger
	observers    []observe.Observer
	http         *http.Client
	states       store.StateStore
	transactions store.TransactionStore
	provider     ProviderConfig
	credentials  *Credentials // nil: those of Config
	limits       session.Limits
	buffer       time.Duration
	early        time.Duration
	updateUser   bool
	revoke       bool
	endOnDead    bool
	sessionName  string
	txName       string
	hooks        Hooks
	cookies      Cookies
	breaker      session.BreakerPolicy // no Failures: there is none
	retry        session.RetryPolicy   // no Attempts: requests are sent once
}

// WithActorSystem lets tokenward live in an actor system of the host, who closes the
// Client before shutting that system down. Several Clients may live in it. A Client's calls may wait, so an actor of the host makes them on
// another goroutine, not in its turn (examples/actors). The default is a system of its own.
func WithActorSystem(s *actor.ActorSystem) Option { return func(o *options) { o.system = s } }

// WithClock says where the time comes from. The default is clock.System; tests
// drive a clock.Fake.
func WithClock(c clock.Clock) Option { return func(o *options) { o.clock = c } }

// WithLogger says where to log. The default writes warnings and errors to standard error;
// zap.NewNop() is silent. No token, secret or full session id is ever logged.
func WithLogger(l *zap.Logger) Option { return func(o *options) { o.log = l } }

// WithSlog says where to log, in place of WithLogger: levels, names (as logger), fields and groups are kept. Where a
// line belongs to a call, the handler gets the call's context: one that knows of traces adds their ids.
func WithSlog(l *slog.Logger) Option {
	return func(o *options) {
		if o.log = nil; l != nil {
			o.log = logging.FromSlog(l.Handler())
		}
	}
}

// WithObserver has ob told what the client does: see package observe. Given more than once, each is told.
func WithObserver(ob observe.Observer) Option {
	return func(o *options) { o.observers = append(o.observers, ob) }
}

// WithHTTPClient says how to reach the provider. It is copied, follows no
// redirects but those to metadata and keys, and its Timeout is not relied on. It must not retry: a repeated token
// request spends a refresh token twice, and the provider ends the session. What net/http would
// repeat over HTTP/2 once the form was sent is an error for the same reason; what failed before
// any of it was sent, on an idle connection that had been closed, goes over another one.
func WithHTTPClient(c *http.Client) Option { return func(o *options) { o.http = c } }

// WithStateStore says where sessions are kept. The default is store.Memory, which
// forgets every session when the process ends, and has no bound: it keeps each session until that ends, or
// Record.TTL is over. Limits.Resident does not bound it.
func WithStateStore(s store.StateStore) Option { return func(o *options) { o.states = s } }

// WithTransactionStore says where logins under way are kept. The default is in sealed
// cookies, and for calls without a browser in memory. Only with cookies is a login bound to the
// browser that began it: elsewhere any browser with the callback's state completes it, so the
// host must see to it that no attacker signs a victim's browser in (login CSRF, RFC 9700 section 4.7).
func WithTransactionStore(s store.TransactionStore) Option {
	return func(o *options) { o.transactions = s }
}

// Limits bound what a Client does and keeps. The zero value of a field means its default.
type Limits struct {
	FlightTimeout    time.Duration // of a request to the provider, from sending: 10 s
	StoreTimeout     time.Duration // of each attempt at store work: 5 s
	ProviderRequests int           // at the provider at once, a quarter of them for strangers: 1,024
	QueuedFlights    int           // sessions that wait for the provider, then overloaded: 100,000
	QueuedQueries    int           // different queries queued in one session, then overloaded: 64
	Resident         int           // sessions in memory beside the store, also beside store.Memory; twice that while none can go, then overloaded: 100,000
	PassivateAfter   time.Duration // out of memory when unused for: 15 min
	RememberEnded    time.Duration // session_expired is answered for that long after a ceiling, by default Cookies.Absolute: 72 h
	RememberMissing  time.Duration // the store is not asked again for a session it lacks for: 1 s
	TokenSets        int           // access tokens kept in one session, and connection tokens apart: 64
	GrantedTokens    int           // of MachineToken and ExchangeToken in memory, about; the least used leave first: 10,000
	RetryFirst       time.Duration // wait before a failed save is tried again, doubling: 50 ms
	RetryMost        time.Duration // up to: 5 s
	Lease            time.Duration // of a session while its refresh token is spent, renewed at a third: 5 s
	SnapshotAge      time.Duration // a session is read again after, where a shared store tells of no writes: 30 s
	Outage           time.Duration // a session in memory is served while a shared store is down: 5 min
	ArgumentBytes    int           // of an audience, scope, connection or login hint of a call, not of the Config: 2,048
	SessionDataBytes int           // of what UpdateSession keeps in one session, as JSON: 4,096

	// IdleConnTimeout is how long a connection to the provider is kept that is not used. It should be less than the
	// provider, or the proxy before it, keeps one: a request that is sent while the other end closes the connection
	// fails, and is not sent again, for the provider may have read it. Node's servers close after 5 seconds by default,
	// most others after a minute or more. With WithHTTPClient set IdleConnTimeout of its transport instead (net/http's
	// default is 90 seconds): that client is left as it is, and New refuses both.
	IdleConnTimeout time.Duration // by default: 30 s
}

// WithLimits replaces limits. Fields that are zero keep their defaults.
func WithLimits(l Limits) Option { return func(o *options) { o.limits = session.Limits(l) } }

// WithRefreshBuffer refreshes an access token this long before it expires. The
// default is zero: tokens are used to their last instant.
func WithRefreshBuffer(d time.Duration) Option { return func(o *options) { o.buffer = d } }

// WithEarlyRefresh refreshes a token that is in use up to this long before callers would have to wait for it: before it expires, or
// reaches the refresh buffer. A call that gets a cached token notices, and has it refreshed in the background; it waits for
// nothing. Ten seconds more than a refresh may take is enough; a minute is a good choice. The default, zero, refreshes a token when a caller
// finds none.
//
// A token of a session that no call asks for is left alone, and so is one that would outlive its session. The time is spread over
// up to a quarter of d. It is never more than half of a token's life, which the
// session's record tells: a session that has left memory (Limits.PassivateAfter) loses none of it. Early refreshes take no more than a quarter
// of the requests at the provider (Limits.ProviderRequests), and give way to those that callers wait for. One that fails changes
// nothing for callers while the old token lasts; it is tried again after half a minute. Sessions in cookies cannot have it,
// for the refresh token that it brings would reach no browser: New fails with a *ConfigurationError.
func WithEarlyRefresh(d time.Duration) Option { return func(o *options) { o.early = d } }

// WithUserUpdates lets the ID token of a refresh replace the user's claims. The
// default is to leave them as they were at login. The ceiling never changes, nor does iat,
// which says when the login was.
func WithUserUpdates() Option { return func(o *options) { o.updateUser = true } }

// WithRevocation revokes the refresh token when a user logs out (RFC 7009): Logout
// answers first, a refresh under way is waited for, a failure is logged. The default
// is not to: at most providers the grant is shared, and the user's other devices are
// signed out as well.
func WithRevocation() Option { return func(o *options) { o.revoke = true } }

// WithEndOnDeadToken ends a session, in every process, as soon as the provider refuses its
// refresh token for good, as it does for a user whose access was revoked. The caller who met
// the refusal gets refresh_token_error, for which LoginRequired is true; later calls find no
// session. The default is to drop the refresh token only: the user stays signed in, and tokens
// are served until they expire.
func WithEndOnDeadToken() Option { return func(o *options) { o.endOnDead = true } }

// WithIdentifiers names sessions and transactions: in store keys, and in the sealing of
// records. The defaults are _a0_session and _a0_tx. With other names, records
// stored before are no sessions.
func WithIdentifiers(session, transaction string) Option {
	return func(o *options) { o.sessionName, o.txName = session, transaction }
}

// Choice is whether something is done: Always or Never. The zero value leaves it to the provider, to its metadata or to whether it
// is named by a Domain or an Issuer; the field says how.
type Choice int

// What a Choice may be, beside its zero value.
const (
	Always Choice = iota + 1
	Never
)

// or returns the choice of the host, and byProvider where it made none.
func (c Choice) or(byProvider bool) bool {
	return c == Always || c != Never && byProvider
}

// AsLongAsTheSession is for ProviderConfig.TokenLifetime: a token is kept until its session ends.
const AsLongAsTheSession = session.AsLongAsTheSession

// ProviderConfig completes the provider's metadata, or overrides it. The zero value of a field
// means its default.
type ProviderConfig struct {
	// MetadataURL is where the provider's metadata is, where that is not Config.Issuer followed by
	// /.well-known/openid-configuration: with Azure AD B2C, Entra External ID, and Entra ID's tenants. The
	// issuer in it must still be Config.Issuer.
	MetadataURL string

	// Tenants lets users of many tenants sign in at one issuer, as with Entra ID's aliases
	// organizations, common and consumers: Config.Issuer is such an alias
	// (https://login.microsoftonline.com/organizations/v2.0), or the template with {tenantid} that its
	// metadata names, with a MetadataURL. Each ID token says by its claim tid which tenant it is from.
	// Tenants says whether users of that tenant may sign in, before the token's signature is verified; it
	// must be safe for concurrent use, and a panic is a no. The default, nil, is to refuse such metadata.
	//
	// A session belongs to its tenant's own issuer: its ID token is verified by that one's keys, its
	// tokens are refreshed there, and its user is signed out there. Tenants is asked at logins only: a
	// session of a tenant that is not allowed any more goes on until it ends by itself or by Logout.
	Tenants func(ctx context.Context, tenantID string) bool

	// Algorithms are the signature algorithms that are accepted in ID and logout tokens, by their names (RFC 7518 section
	// 3.1). The default with Config.Domain is RS256; else it is what the metadata lists
	// (id_token_signing_alg_values_supported), RS256 where it lists none. none and HS* are refused.
	Algorithms []string

	// Leeway is by how much clocks may differ when a token's exp, iat and nbf are
	// checked. The default is 30 seconds; a negative one allows no difference.
	Leeway time.Duration

	// NoMixUpCheck accepts callbacks that do not say which issuer they are from, where a resolver names
	// several, and callbacks for another registration than their login's. Use it only where none of these issuers can be
	// hostile or taken over, as with custom domains of one tenant. The default is to refuse a callback unless it has iss
	// (RFC 9207), or its login has a redirect URI that only logins of its issuer have, or the resolver, asked with
	// the callback's request, names that issuer (RFC 9700 section 4.4); and one for which a RegistrationResolver names another
	// registration.
	NoMixUpCheck bool

	// NoPKCE sends no code challenge and no verifier (RFC 7636), for providers such as LinkedIn that refuse
	// them. A nonce takes their place unless Nonce forbids it too: then a stolen code opens its owner's account. The
	// default is to send them.
	NoPKCE bool

	// Nonce says whether a nonce is sent with every login and required in the ID token (OpenID
	// Connect Core section 3.1.2.1). The default is to for an issuer URL whose
	// metadata does not list S256 in code_challenge_methods_supported: a provider that ignores PKCE lets
	// a stolen code open its owner's account in a thief's browser (RFC 9700 section 2.1.1). Elsewhere
	// state and PKCE bind the callback to the login.
	Nonce Choice

	// PushedAuthorization sends the parameters of a login to the provider beforehand (RFC
	// 9126), so that the browser sees none of them. The default is that the browser
	// brings them, unless the metadata of an issuer requires pushing. It costs each login one more request.
	PushedAuthorization bool

	// Resource sends the audience as the parameter resource (RFC 8707), for providers that know no
	// parameter audience.
	Resource bool

	// UserInfo says whether a login asks the provider's UserInfo endpoint (OpenID Connect Core
	// section 5.3), once, where the ID token lacks the name or the email that the granted scopes are to
	// give. What the ID token says wins, and what ends or names a session counts only there. If it
	// fails, the login goes on without it. The default is that it does at an issuer, and does not at an
	// Auth0 domain.
	UserInfo Choice

	// EndSession says whether Logout uses the provider's end_session_endpoint (OpenID Connect
	// RP-Initiated Logout), or never uses it and always uses Auth0's /v2/logout. The default is the former
	// for an issuer URL, and the latter for a domain, configured or named by the resolver.
	EndSession Choice

	// NoIDTokenHint keeps Logout from telling an end_session_endpoint by the session's ID token whose
	// session to end; login.gov refuses it. The default is that it does, so that the provider need not ask the user.
	NoIDTokenHint bool

	// TokenLifetime is how long an access token is good for, from its receipt, where
	// the provider's answer has no expires_in (RFC 6749 section 5.1) and the token is no JWT
	// that tells: whole seconds, at least one, or AsLongAsTheSession. The default is an hour. A
	// provider that never sends expires_in (Salesforce) sets the life of its tokens
	// elsewhere: give that. A life that is too long costs calls that an API refuses; one that is too short costs
	// a refresh, and with rotation a refresh token, each time.
	TokenLifetime time.Duration

	// RotationOverlap is how long the provider accepts a refresh token once more after
	// it was rotated (Auth0: the rotation overlap period, or leeway). WithRetry keeps to it. Beside that it is for a
	// warning: a process that ends between the provider's answer and its save leaves a session
	// that can go on only within that time, so it should be at least Limits.Lease,
	// Limits.FlightTimeout and Limits.StoreTimeout together. The default is to say nothing; a negative one says that
	// the provider accepts none.
	RotationOverlap time.Duration

	// StrictAudience refuses a token that the provider issued for another audience than
	// the one asked for (incorrect_audience). The default is to hand it out and say so in
	// Token.ActualAudience.
	StrictAudience bool
}

// WithProvider says how to treat the provider. Given more than once, the last counts. New fails with a *ConfigurationError
// that names the field: for MetadataURL or Tenants without Config.Issuer, a metadata address by http that is not on
// loopback, an algorithm that is unknown or refused, a TokenLifetime that is not a whole number of seconds, at least one, and a Choice that is none.
func WithProvider(p ProviderConfig) Option { return func(o *options) { o.provider = p } }

// orDefaults returns p with a default for each field that is zero. A Leeway that is negative is none.
func (p ProviderConfig) orDefaults() ProviderConfig {
	or(&p.Leeway, 30*time.Second)
	p.Leeway = max(p.Leeway, 0)
	or(&p.TokenLifetime, time.Hour)
	return p
}

func (p ProviderConfig) check(issuer string) error {
	chosen := func(c Choice) bool { return c >= 0 && c <= Never }
	wrong := ""
	switch {
	case issuer == "" && p.MetadataURL != "":
		wrong = "MetadataURL needs Config.Issuer"
	case issuer == "" && p.Tenants != nil:
		wrong = "Tenants needs Config.Issuer"
	case !chosen(p.Nonce) || !chosen(p.UserInfo) || !chosen(p.EndSession):
		wrong = "Nonce, UserInfo and EndSession are Always, Never or zero"
	case p.TokenLifetime < time.Second, p.TokenLifetime%time.Second != 0 && p.TokenLifetime != AsLongAsTheSession:
		wrong = "TokenLifetime must be whole seconds, at least one, or AsLongAsTheSession"
	default:
		return nil
	}
	return &ConfigurationError{Message: "WithProvider: " + wrong}
}

// WithCredentials says how the application authenticates, in place of Config.ClientSecret: by a key that signs, or by an HTTP
// client of its own. A SigningKey wins over Config.ClientSecret. The default is Config.ClientSecret by Config.ClientAuth; credentials
// that change come from Config.Credentials. New fails with a *ConfigurationError that names the field: where there is neither a
// secret nor a key and Auth needs one, where Config has another ClientAuth, or both have a ClientSecret, and for a key, an algorithm or
// a certificate that cannot be used.
func WithCredentials(a Credentials) Option { return func(o *options) { o.credentials = &a } }

// limitsOrDefaults returns l with a default for each field that is zero.
func limitsOrDefaults(l session.Limits) session.Limits {
	or(&l.FlightTimeout, 10*time.Second)
	or(&l.StoreTimeout, 5*time.Second)
	or(&l.ProviderRequests, 1024)
	or(&l.QueuedFlights, 100_000)
	or(&l.QueuedQueries, 64)
	or(&l.Resident, 100_000)
	or(&l.PassivateAfter, 15*time.Minute)
	or(&l.RememberEnded, 72*time.Hour)
	or(&l.RememberMissing, time.Second)
	or(&l.TokenSets, 64)
	or(&l.GrantedTokens, 10_000)
	or(&l.RetryFirst, 50*time.Millisecond)
	or(&l.RetryMost, 5*time.Second)
	or(&l.Lease, 5*time.Second)
	or(&l.SnapshotAge, 30*time.Second)
	or(&l.Outage, 5*time.Minute)
	or(&l.ArgumentBytes, 2048)
	or(&l.SessionDataBytes, 4096)
	or(&l.IdleConnTimeout, 30*time.Second)
	return l
}

func or[T int | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

func checkLimits(l session.Limits) error {
	for name, v := range map[string]int64{
		"FlightTimeout": int64(l.FlightTimeout), "StoreTimeout": int64(l.StoreTimeout),
		"ProviderRequests": int64(l.ProviderRequests), "QueuedFlights": int64(l.QueuedFlights),
		"QueuedQueries": int64(l.QueuedQueries), "Resident": int64(l.Resident),
		"PassivateAfter": int64(l.PassivateAfter), "RememberEnded": int64(l.RememberEnded),
		"RememberMissing": int64(l.RememberMissing), "TokenSets": int64(l.TokenSets), "GrantedTokens": int64(l.GrantedTokens),
		"RetryFirst": int64(l.RetryFirst), "RetryMost": int64(l.RetryMost),
		"Lease": int64(l.Lease), "SnapshotAge": int64(l.SnapshotAge), "Outage": int64(l.Outage),
		"ArgumentBytes": int64(l.ArgumentBytes), "SessionDataBytes": int64(l.SessionDataBytes),
		"IdleConnTimeout": int64(l.IdleConnTimeout),
	} {
		if v < 0 {
			return &ConfigurationError{Message: "Limits." + name + ": must not be negative"}
		}
	}
	if l.PassivateAfter < time.Second {
		return &ConfigurationError{Message: "Limits.PassivateAfter: must be a second or more"}
	}
	return nil
}
