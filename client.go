package tokenward

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/browser"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/feed"
	"github.com/tokenward/tokenward/internal/grants"
	"github.com/tokenward/tokenward/internal/logging"
	"github.com/tokenward/tokenward/internal/logins"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/internal/runner"
	"github.com/tokenward/tokenward/internal/telemetry"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/cookie"
	"github.com/tokenward/tokenward/supervisor"
)

// Names under which sessions and transactions are kept, as in the Auth0 SDKs.
const (
	defaultSessionName     = "_a0_session"
	defaultTransactionName = "_a0_tx"
)

// Client signs users in and hands out their access tokens. One actor per session spends its refresh token, one request at a time:
// any number of concurrent calls cost one refresh. A Client is safe for concurrent use. Close saves changes under way and stops.
//
// The operations are those of the Auth0 server SDKs, for any OpenID Connect provider:
//
//   - sign in: [Client.StartInteractiveLogin], [Client.CompleteInteractiveLogin]; package httpauth has the HTTP handlers
//   - read: [Client.GetUser], [Client.GetSession], [Client.GetSessionData], [Client.UpdateSession]
//   - tokens: [Client.GetAccessToken], [Client.GetAccessTokenForConnection], [Client.ExchangeToken], [Client.MachineToken]
//   - calls to APIs: [Client.Session], [Client.SessionOf], [Client.ContextSession], [Client.MachineTransport]
//   - end: [Client.Logout], [Client.HandleBackchannelLogout], [Client.HandleFrontchannelLogout], [Client.EndSessions], [Client.EndSessionsOf]
//   - step up: [Client.CheckStepUp], [Client.AskStepUp]
//   - administrate: [Client.Sessions], [Client.CountSessions], [Client.EndSession]
//   - observe: [Client.Stats], [Client.Ready], [Client.Provider]
//   - test, stop: [Client.Settle], [Client.Close]
type Client struct {
	cfg     Config
	opts    options
	issuer  string // the configured one
	domain  string // as it is written in a session
	clock   clock.Clock
	log     *zap.Logger
	rand    io.Reader
	policy  session.Policy
	queries lookup.Queries

	idp       *idp.Client
	sealer    *store.Sealer
	browser   browser.Sessions
	env       *actors.Env
	stats     *directory.Stats
	telemetry *telemetry.Telemetry // nil: nothing is told
	pending   *directory.Pending
	runner    *runner.Runner
	lookup    lookup.Lookup
	system    *actor.ActorSystem
	ours      bool // system is
	logins    logins.Logins
	grants    *grants.Cache
	granted   func() *lookup.Queries // of calls of MachineToken and ExchangeToken; made when the first comes
	providers noted[session.RegistrationID]
	audiences noted[[2]string] // issuer and audience, where the provider answers for another one
	losses    *logging.Losses
	stopped   chan struct{} // closed when the supervisor is no more
	closing   sync.Once
	closeErr  error

	// When such a failed login may be logged once more (noteRefused).
	startSaid    eachMinute
	callbackSaid eachMinute
}

// Format prints c without its secrets.
func (c *Client) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "tokenward.Client{Issuer: %q, ClientID: %q}", c.issuer, c.cfg.ClientID)
}

// New returns a Client, ready to use. It makes no request and asks nothing of the
// store. It fails with a *ConfigurationError or *MissingRequiredArgumentError that names
// the field.
func New(cfg Config, opts ...Option) (*Client, error) {
	o := options{
		clock: clock.System(), log: logging.Default(), sessionName: defaultSessionName, txName: defaultTransactionName,
	}
	for _, opt := range opts {
		opt(&o)
	}
	issuer, err := cfg.complete(&o)
	if err != nil {
		return nil, err
	}
	sealer, err := store.NewSealer(o.sessionName, rand.Reader, cfg.Secrets...)
	if err != nil {
		return nil, err
	}
	cfg.AuthorizationParams = maps.Clone(cfg.AuthorizationParams)
	c := &Client{
		cfg: cfg, opts: o, issuer: issuer, domain: session.DomainOf(issuer), clock: o.clock, log: o.log, rand: rand.Reader,
		policy: cfg.policy(),
		sealer: sealer, stats: &directory.Stats{}, pending: &directory.Pending{}, stopped: make(chan struct{}),
	}
	c.queries.Init(c.policy)
	c.telemetry = c.newTelemetry(&o)
	c.losses = logging.NewLosses(c.clock, c.log, &c.stats.Vanished)
	c.logins.Init()
	c.providers.init()
	c.audiences.init()
	c.runner = c.newRunner(&o)
	if c.idp, err = c.newIDP(); err != nil {
		return nil, err
	}
	if err := c.openStores(&o); err != nil {
		return nil, err
	}
	o.states = c.telemetry.Store(o.states)
	c.opts = o
	c.browser.Carrier, _ = store.As[browser.Carrier](o.states)
	if c.browser.Carrier != nil && o.early > 0 {
		return nil, &ConfigurationError{Message: "WithEarlyRefresh: sessions are kept in cookies, and no answer would carry the refresh token that an early refresh brings; leave it out, or use another store"}
	}
	c.warnOfCookies()
	c.start()
	return c, nil
}

// complete fills in what o leaves open, and checks both. It returns the issuer that c names.
func (c Config) complete(o *options) (issuer string, err error) {
	if err := cmp.Or(c.check(), o.checkIdle()); err != nil {
		return "", err
	}
	or(&o.limits.RememberEnded, o.cookies.Absolute)
	o.limits = limitsOrDefaults(o.limits)
	o.cookies = o.cookies.orDefaults()
	o.provider = o.provider.orDefaults()
	if err := cmp.Or(checkLimits(o.limits), o.check()); err != nil {
		return "", err
	}
	if o.cookies, err = o.cookies.at(c.redirectURI()); err != nil {
		return "", err
	}
	if issuer, err = c.issuer(); err != nil {
		return "", err
	}
	return issuer, cmp.Or(c.authenticate(o), o.provider.check(c.Issuer))
}

// newIDP returns what talks to providers.
func (c *Client) newIDP() (*idp.Client, error) {
	o, p, a := &c.opts, &c.opts.provider, c.opts.credentials
	return idp.New(idp.Config{
		ClientID: cmp.Or(c.cfg.ClientID, "of no registration"), ClientSecret: a.ClientSecret, Auth: a.Auth,
		SigningKey: a.SigningKey, SigningAlg: a.SigningAlg, SigningKeyID: a.SigningKeyID,
		SigningCertificate: a.SigningCertificate, AssertTokenEndpoint: a.AssertTokenEndpoint,
		Issuer: c.issuer, MetadataURL: p.MetadataURL, Tenants: p.Tenants, ReadMetadata: c.cfg.Domain == "", Resource: p.Resource,
		HTTPClient: cmp.Or(a.HTTPClient, o.http), IdleConnTimeout: o.limits.IdleConnTimeout, Clock: o.clock,
		Algorithms: p.Algorithms, Leeway: p.Leeway, Timeout: o.limits.FlightTimeout, Limit: c.runner.Limit, Observe: c.observeRequest(),
	})
}

// openStores makes the stores that o does not name, and what seals the marks of sign-outs.
func (c *Client) openStores(o *options) (err error) {
	if c.logins.Marks.Sealer, err = store.NewSealer(o.sessionName+"\nsign-outs", rand.Reader, c.cfg.Secrets...); err != nil {
		return err
	}
	switch o.states.(type) {
	case nil:
		o.states = store.NewMemory(o.clock)
	case statelessSessions:
		mine, err := store.NewSealer(o.sessionName+"\n"+c.issuer+"\n"+c.cfg.ClientID, rand.Reader, c.cfg.Secrets...) // no other client's session opens
		if err != nil {
			return err
		}
		o.states = cookie.NewStates(mine, o.clock, o.sessionName, o.cookies.attributes())
	}
	if o.transactions == nil {
		o.transactions = cookie.NewTransactions(c.sealer, o.clock, o.txName, o.cookies.ofLogins())
	}
	return nil
}

// warnOfCookies logs what of the configured cookies may surprise.
func (c *Client) warnOfCookies() {
	if c.opts.cookies.Secure && strings.HasPrefix(c.cfg.redirectURI(), "http:") {
		c.log.Warn("Secure is set for an http RedirectURI on this machine: Chrome and Firefox keep what is set there, Safari does not")
	}
	if c.browser.Carrier != nil {
		c.log.Warn("sessions are kept in cookies: two processes may spend one refresh token, one that no answer has carried " +
			"is lost with the process, and copied cookies outlive a logout in other processes and after a restart")
	}
}

func (o *options) check() error {
	switch {
	case o.clock == nil:
		return &ConfigurationError{Message: "WithClock: the clock must not be nil"}
	case o.log == nil:
		return &ConfigurationError{Message: "WithLogger, WithSlog: the logger must not be nil"}
	case o.buffer < 0 || o.early < 0:
		return &ConfigurationError{Message: "WithRefreshBuffer, WithEarlyRefresh: must not be negative"}
	}
	return cmp.Or(checkCookieName(o.sessionName, "the session"), checkCookieName(o.txName, "a transaction"), o.checkPolicies(), o.cookies.check())
}

// checkIdle refuses, before there are defaults, an idle time that would change nothing.
func (o *options) checkIdle() error {
	if o.limits.IdleConnTimeout != 0 && (o.http != nil || o.credentials != nil && o.credentials.HTTPClient != nil) {
		return &ConfigurationError{Message: "Limits.IdleConnTimeout: does not change the host's HTTP client; set IdleConnTimeout of its transport"}
	}
	return nil
}

// start brings the actors to life.
func (c *Client) start() {
	o := c.opts
	c.system, c.ours = o.system, o.system == nil
	if c.ours {
		c.system = logging.NewActorSystem(c.log)
	}
	shared := !store.IsExclusive(o.states) && c.browser.Carrier == nil
	var changes store.ChangeFeed // nil where no other process writes, or none tells
	if shared {
		changes, _ = store.As[store.ChangeFeed](o.states)
	}
	c.env = c.newEnv(shared)
	l := &c.lookup
	l.Fresh, l.Directory, l.Clock, l.Buffer, l.MaxFlights = c.env.Fresh, directory.NewDirectory(), c.clock, o.buffer, o.limits.QueuedQueries+1
	l.Telemetry = c.telemetry
	if o.early > 0 {
		l.Renewable = o.early + o.buffer
	}
	l.Name, l.Resolving, l.ClientID, l.Send, l.Stopped = o.sessionName, c.resolving(), c.cfg.ClientID, c.env.Send, c.stopped
	l.Supervisor = c.system.Root.Spawn(supervisor.Props(c.env, l.Directory))
	c.openGrants()
	b := &c.browser
	b.Rules, b.Sealer, b.Env, b.Lookup = o.cookies.rules(o.sessionName), c.sealer, c.env, l
	g := &c.logins
	g.Name, g.Issuer, g.Transactions, g.Sealer, g.Env, g.Shared = o.txName, c.issuer, o.transactions, c.sealer, c.env, shared
	if shared {
		g.Marks.Index, _ = store.As[store.Index](o.states)
	}
	if c.telemetry != nil {
		c.telemetry.Open(c.figures())
	}
	if changes != nil {
		w := &feed.Watcher{Feed: changes, Env: c.env, Changed: c.changed}
		c.runner.Go(func() { w.Run(c.runner.Context()) })
	}
}

// changed passes on that another process wrote a session.
func (c *Client) changed(key session.Key, v session.Version) {
	if v == (session.Version{}) {
		c.browser.Ended.Add(key, session.ReasonLogout) // or for another reason, which a late answer need not know
	}
	c.send(&messages.Changed{Key: key, Version: v})
}

// newEnv returns what session actors have in common. Which abilities of the store they use depends on
// whether other processes share it.
func (c *Client) newEnv(shared bool) *actors.Env {
	o := c.opts
	exclusive := store.IsExclusive(o.states)
	leaser, leases := store.As[store.Leaser](o.states)
	intents, written := store.As[store.Intents](o.states)
	leases = leases && shared
	if shared && !leases {
		c.log.Warn("the state store has no leases: two processes may spend one refresh token, and one whose request a crash cuts off is not recovered")
	}
	written = written && (leases || !shared)
	env := &actors.Env{
		Rules: actors.Rules{
			ClientID: c.cfg.ClientID, Issuer: c.issuer, Buffer: o.buffer, StrictAudience: o.provider.StrictAudience,
			Limits: o.limits, UpdateUser: o.updateUser, DefaultLifetime: o.provider.TokenLifetime, Exclusive: exclusive,
			Revoke: o.revoke, EndOnDead: o.endOnDead, Retry: o.retry, Overlap: max(o.provider.RotationOverlap, 0), Early: directory.EarlyRefresh{Ahead: o.early, Buffer: o.buffer},
			Leases: leases, Intents: written, DefaultQuery: c.queries.Default,
		},
		Leaser: leaser, Owner: session.RandomString(c.rand, 22),
		Clock: c.clock, Rand: c.rand, Store: o.states, Codec: &store.Codec{Sealer: c.sealer, Domain: c.issuer},
		Provider: provider{c}, Revoke: provider{c}.revoke, Runner: c.runner, Pipeline: c.runner.Pipeline, Stats: c.stats, Pending: c.pending, Log: c.log, Telemetry: c.telemetry, Send: c.system.Root.Send,
		OnSaveError: c.saveFailed(), Hooks: c.newHooks(),
		Fresh: &directory.Freshness{
			Shared: shared, Age: o.limits.SnapshotAge, Outage: o.limits.Outage, Attempt: o.limits.StoreTimeout,
			Missing: o.limits.RememberMissing, Stats: c.stats,
		},
	}
	if c.browser.Carrier != nil {
		env.Rules.MaxBytes = c.browser.Carrier.StateCapacity()
	}
	if leases {
		env.Fresh.Grace = o.limits.Lease + o.limits.RetryMost*5/4
	}
	if exclusive || leases { // else its tombstones may be in another process, as those of store.Simple
		env.Vanished = c.losses.Note
	}
	if written {
		env.Intents = intents
		c.warnOfOverlap()
	}
	if _, ok := store.As[store.Toucher](o.states); ok || c.browser.Carrier != nil { // else use would not keep it
		env.Inactivity = o.cookies.inactivity()
	}
	return env
}

// warnOfOverlap logs where the provider's rotation overlap is too short for the limits.
func (c *Client) warnOfOverlap() {
	l, overlap := &c.opts.limits, c.opts.provider.RotationOverlap
	if need := l.Lease + l.FlightTimeout + l.StoreTimeout; overlap != 0 && overlap < need {
		c.log.Warn("the rotation overlap at the provider is too short for what a crash cuts off to be recovered in time",
			zap.Duration("overlap", max(overlap, 0)), zap.Duration("needed", need))
	}
}

func (c *Client) send(m any) { c.system.Root.Send(c.lookup.Supervisor, m) }

// provider is how session actors reach the provider.
type provider struct{ c *Client }

// Refresh implements actors.Provider. A demand for a second factor becomes an error
// whose token is sealed, for it may travel through a browser.
func (p provider) Refresh(ctx context.Context, clientID string, r idp.RefreshRequest) (session.TokenResponse, error) {
	client, err := p.c.application(ctx, session.RegistrationID{Issuer: r.Issuer, ClientID: clientID})
	if err != nil {
		return session.TokenResponse{}, err
	}
	t, err := client.Refresh(ctx, r)
	if err == nil {
		p.c.noteAudience(ctx, r, t)
	}
	p.c.beforeUpdate(ctx, &t)
	var challenge *idp.MFAChallenge
	if errors.As(err, &challenge) && challenge.Token() != "" {
		return t, p.c.mfaRequired(challenge, r, err)
	}
	return t, err
}

// ExchangeConnection implements actors.Provider.
func (p provider) ExchangeConnection(ctx context.Context, clientID string, r idp.ConnectionExchange) (session.TokenResponse, error) {
	client, err := p.c.application(ctx, session.RegistrationID{Issuer: r.Issuer, ClientID: clientID})
	if err != nil {
		return session.TokenResponse{}, err
	}
	return client.ExchangeConnection(ctx, r)
}

// revoke is actors.Env.Revoke.
func (p provider) revoke(ctx context.Context, of session.RegistrationID, token string) error {
	client, err := p.c.application(ctx, of)
	if err != nil {
		return err
	}
	return client.Revoke(ctx, of.Issuer, token)
}
