package signals

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// Config says which transmitter a [Receiver] listens to, and what its events do.
type Config struct {
	// Issuer is the transmitter: the iss of its tokens, by whose metadata its keys are found. Required.
	Issuer string

	// Audience is the aud of its tokens, which the transmitter chose for the stream. Required.
	Audience string

	// MetadataURL is where the transmitter's metadata is, where that is not at /.well-known/ssf-configuration, put
	// between host and path of Issuer.
	MetadataURL string

	// Algorithms are the signature algorithms that are accepted; default RS256.
	Algorithms []string

	// Issuers are those whose users the transmitter may speak of; default Issuer. What it says of other users ends
	// nothing.
	Issuers []string

	// Reactions says what events of a type do. By default [SessionRevoked], [AccountDisabled], [AccountPurged] and
	// [SessionsRevoked] are End, [CredentialChange] is StepUp, and so is an [AssuranceLevelChange], but for one whose
	// change_direction is increase, which is Tell. Any other type is Tell.
	Reactions map[string]Reaction

	// Tell, when set, is called for each event, of unknown types too, after it has had its effect. The event is acknowledged
	// when Tell returns nil; after an error it comes again. It may come twice. It must be safe for concurrent use.
	Tell func(ctx context.Context, e Event) error

	Resolve Resolve // see there

	// PushAuthorization, when set, is the value of the Authorization header that pushes must have.
	PushAuthorization string

	// Authorization, when set, returns the value of the Authorization header of requests to the transmitter, such as
	// "Bearer TOKEN". It must be safe for concurrent use.
	Authorization func(ctx context.Context) (string, error)

	StoreOptions tokenward.StoreOptions // of the calls that end sessions
	HTTPClient   *http.Client           // default one of its own
	Clock        clock.Clock            // default clock.System()
	Logger       *slog.Logger           // default none
}

const (
	eventLife  = 24 * time.Hour // for which an event's id is kept
	clockDrift = 30 * time.Second
)

// Receiver receives the events of one transmitter. It is safe for concurrent use. Close it when it is not needed any
// more.
type Receiver struct {
	client  *tokenward.Client
	cfg     Config
	scope   scope
	idp     *idp.Client
	http    *http.Client
	own     *http.Transport // nil: the host brought its client
	clock   clock.Clock
	log     *slog.Logger
	handled seen

	mu      sync.Mutex
	awaited map[string]chan struct{} // verification events, by state
}

// NewReceiver returns a Receiver that ends sessions of client. It makes no request. It fails with a
// *tokenward.ConfigurationError.
func NewReceiver(client *tokenward.Client, cfg Config) (*Receiver, error) {
	if client == nil || cfg.Issuer == "" || cfg.Audience == "" {
		return nil, &tokenward.ConfigurationError{Message: "signals: a receiver needs a client, an Issuer and an Audience"}
	}
	for eventType, reaction := range cfg.Reactions {
		if reaction < Tell || reaction > End {
			return nil, &tokenward.ConfigurationError{Message: "signals: Reactions: " + eventType + ": there is no such reaction"}
		}
	}
	if len(cfg.Issuers) == 0 {
		cfg.Issuers = []string{cfg.Issuer}
	}
	if err := checkIssuers(cfg.Issuers); err != nil {
		return nil, err
	}
	if cfg.MetadataURL == "" {
		cfg.MetadataURL = wellKnown(cfg.Issuer)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Receiver{
		client: client, cfg: cfg, clock: cfg.Clock, log: cfg.Logger, awaited: make(map[string]chan struct{}),
		scope: scope{issuers: cfg.Issuers, resolve: cfg.Resolve},
	}
	r.http, r.own = httpClient(cfg.HTTPClient)
	var err error
	r.idp, err = idp.New(idp.Config{
		ClientID: cfg.Audience, Issuer: cfg.Issuer, MetadataURL: cfg.MetadataURL, Algorithms: cfg.Algorithms,
		Leeway: clockDrift, Clock: cfg.Clock, HTTPClient: r.http,
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Close ends the fetching of metadata and keys.
func (r *Receiver) Close() {
	r.idp.Close()
	if r.own != nil {
		r.own.CloseIdleConnections()
	}
}

// httpClient returns a client that follows no redirects: they would take the Authorization header along. The second
// result is its transport where it is not the host's.
func httpClient(h *http.Client) (*http.Client, *http.Transport) {
	var own *http.Transport
	c := http.Client{}
	if h != nil {
		c = *h
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		own = t.Clone()
		c.Transport = own
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c, own
}

// wellKnown returns where the metadata of a transmitter is (Shared Signals Framework 1.0 section 7.2).
func wellKnown(issuer string) string {
	const at = "/.well-known/ssf-configuration"
	u, err := url.Parse(session.IssuerOf(issuer))
	if err != nil {
		return issuer + at // which is refused
	}
	return u.Scheme + "://" + u.Host + at + strings.TrimRight(u.EscapedPath(), "/")
}

// refusal says that a token is not accepted, and will not be when it comes again.
type refusal struct {
	code, text string // of RFC 8935 section 2.4
	err        error
}

func (e *refusal) Error() string { return e.code + ": " + e.text }
func (e *refusal) Unwrap() error { return e.err }

// The codes of RFC 8935 section 2.4, and of Shared Signals Framework 1.0 section 8.1.4.1.
const (
	invalidRequest       = "invalid_request"
	invalidKey           = "invalid_key"
	invalidIssuer        = "invalid_issuer"
	invalidAudience      = "invalid_audience"
	invalidState         = "invalid_state"
	authenticationFailed = "authentication_failed"
)

// take deals with one token. When it returns nil, what the event ends has ended in the store. A *refusal is for good;
// after any other error the token should come again.
func (r *Receiver) take(ctx context.Context, raw string) error {
	t, err := r.idp.VerifySigned(ctx, r.cfg.Issuer, raw, "secevent+jwt")
	if err != nil {
		return refused(err)
	}
	s, err := readSET(t)
	if err != nil {
		return &refusal{invalidRequest, err.Error(), err}
	}
	if r.handled.has(s.jti, r.clock.Now()) {
		return nil
	}
	for _, e := range s.events {
		if err := r.react(ctx, e); err != nil {
			return err
		}
	}
	now := r.clock.Now()
	r.handled.add(s.jti, now, now.Add(eventLife))
	return nil
}

// refused returns what the failed verification of a token means. A key that is not among those that were fetched for it is refused. One that
// could not be asked for yet is not: keys are fetched again at most once in 30 seconds.
func refused(err error) error {
	if temporary(err) {
		return err
	}
	switch tokenward.CodeOf(err) {
	case session.CodeIssuerValidation:
		return &refusal{invalidIssuer, "the token is from another issuer", err}
	case session.CodeInvalidSignature, session.CodeJWKSKeyNotFound:
		return &refusal{invalidKey, "the token was not signed by a key of the transmitter", err}
	case session.CodeInvalidAudience:
		return &refusal{invalidAudience, "the token is for another receiver", err}
	case session.CodeInvalidToken, session.CodeTokenExpired:
		return &refusal{invalidRequest, "the token is no Security Event Token that is accepted", err}
	}
	return err
}

// react does what an event is to do. A panic of the host's functions is an error: its value is not shown.
func (r *Receiver) react(ctx context.Context, e Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	if e.Type == verification {
		return r.verified(e)
	}
	reaction, chosen := r.cfg.Reactions[e.Type]
	if !chosen {
		reaction = defaultReaction(e.Type, e.Members)
	}
	e.Reaction = reaction
	var t targets
	if e.Type != StreamUpdated { // whose subject is a stream, and no user
		if t, err = r.scope.targets(ctx, e.Subject); err != nil && !errors.Is(err, ErrUnknownSubject) {
			return err
		}
		e.Unresolved = !t.known || t.outside
		err = nil // an unknown subject has no sessions
	}
	switch reaction {
	case End:
		e.Ended, err = ofAll(ctx, r.client.EndSessions, t.list, e.At, r.cfg.StoreOptions)
	case StepUp:
		e.Asked, err = ofAll(ctx, r.client.AskStepUp, t.list, e.At, r.cfg.StoreOptions)
	case Tell:
	}
	if err != nil {
		return err
	}
	if reaction != Tell && e.Unresolved {
		r.log.WarnContext(ctx, "an event does nothing, or less than it says: its subject cannot be matched with sessions", "type", e.Type, "format", format(e.Subject))
	}
	if r.cfg.Tell != nil {
		return r.cfg.Tell(ctx, e)
	}
	return nil
}

// format returns the format of a subject where it is a known one: another may be any text.
func format(s Subject) string {
	switch s.Format {
	case FormatIssuerSubject, FormatEmail, FormatOpaque, FormatAliases, FormatComplex:
		return s.Format
	}
	return "other"
}

// act is what the client does to the sessions that a request names.
type act func(ctx context.Context, r tokenward.EndRequest, o tokenward.StoreOptions) (int, error)

// ofAll has do deal with the sessions of list that began by a time and 30 seconds, and returns to how many it did something.
func ofAll(ctx context.Context, do act, list []tokenward.EndRequest, by time.Time, o tokenward.StoreOptions) (n int, err error) {
	for _, q := range list {
		q.BeganBy = by
		more, err := do(ctx, q, o)
		n += more
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
