package signals

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// Caller is a party that may sign users out, and says who it is by a JWT of its own: Okta sends one of the type
// global-token-revocation+jwt in the Authorization header.
type Caller struct {
	// Issuer is the iss of its tokens, by whose OpenID Connect metadata its keys are found, such as
	// https://ORG.okta.com.
	Issuer string

	MetadataURL string   // where its metadata is, where that is not below Issuer
	Algorithms  []string // of its signatures; default RS256

	// Issuers are those whose users it may sign out; default Issuer.
	Issuers []string
}

// LogoutConfig says who may sign users out through a [Logout].
type LogoutConfig struct {
	// Audience is the URL of the endpoint, as callers know it: the aud of their tokens. Required with Callers.
	Audience string

	Callers []Caller

	// Authorize, when set, is asked who calls, where the request has no token of one of Callers. It returns the
	// issuers whose users the caller may sign out. Its error is 401, [ErrForbidden] 403.
	Authorize func(r *http.Request) (issuers []string, err error)

	Resolve Resolve // see there; ErrUnknownSubject is 404, another error 422

	StoreOptions tokenward.StoreOptions // of the calls that end sessions
	HTTPClient   *http.Client           // default one of its own
	Clock        clock.Clock            // default clock.System()
	Logger       *slog.Logger           // default none
}

// ErrForbidden says that a caller is known, and may not sign users out.
var ErrForbidden = errors.New("signals: the caller may not sign users out")

const maxRequest = 64 << 10 // bytes of a request's body

// maxTokenLife is how long a caller's token is good for after its iat: so long it is remembered, that it is good once.
const maxTokenLife = time.Hour

// Logout is an [http.Handler] for universal logout (Global Token Revocation, draft-parecki-oauth-global-token-revocation): a
// POST of {"sub_id": SUBJECT}, a subject identifier of RFC 9493, ends all sessions of that user that began before.
// It answers, with {"error": CODE, "error_description": TEXT} after a failure:
//
//   - 204: the sessions have ended, also where there were none;
//   - 400: the request is no such one, or nothing is known of its format of subjects;
//   - 401: the caller is not known, or its token was used before;
//   - 403: the caller may not sign out users of that issuer;
//   - 404: Resolve knows no such user;
//   - 405 and 413: it is no POST, or longer than 64 KiB;
//   - 422: the user cannot be signed out: Resolve has failed, or the state store cannot find sessions;
//   - 503, with Retry-After: the store, or the caller's keys, cannot be reached. Some of the sessions may have ended.
//
// A token of a caller is good once, and ends no session that began more than 30 seconds after it was made. Close the Logout
// when it is not needed any more.
type Logout struct {
	client  *tokenward.Client
	cfg     LogoutConfig
	callers []caller
	own     *http.Transport
	used    seen // tokens of callers
}

type caller struct {
	Caller
	idp *idp.Client
}

// NewLogout returns a Logout that ends sessions of client. It makes no request. It fails with a
// *tokenward.ConfigurationError.
func NewLogout(client *tokenward.Client, cfg LogoutConfig) (*Logout, error) {
	wrong := func(why string) error { return &tokenward.ConfigurationError{Message: "signals: " + why} }
	audience, err := url.Parse(cfg.Audience)
	switch {
	case client == nil:
		return nil, wrong("a Logout needs a client")
	case len(cfg.Callers) == 0 && cfg.Authorize == nil:
		return nil, wrong("a Logout needs Callers or Authorize: else it would let anyone sign users out")
	case len(cfg.Callers) > 0 && (err != nil || audience.Host == ""):
		return nil, wrong("Audience must be the URL of the endpoint, such as https://app.example/global-token-revocation") // no ID token has it
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Logout{client: client, cfg: cfg}
	var h *http.Client
	h, l.own = httpClient(cfg.HTTPClient)
	for _, c := range cfg.Callers {
		if c.Issuer == "" {
			return nil, wrong("a Caller needs an Issuer")
		}
		if len(c.Issuers) == 0 {
			c.Issuers = []string{c.Issuer}
		}
		verifier, err := idp.New(idp.Config{
			ClientID: cfg.Audience, Issuer: c.Issuer, MetadataURL: c.MetadataURL, Algorithms: c.Algorithms,
			Leeway: clockDrift, Clock: cfg.Clock, HTTPClient: h,
		})
		if err == nil {
			l.callers = append(l.callers, caller{c, verifier})
			err = checkIssuers(c.Issuers)
		}
		if err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// Close ends the fetching of metadata and keys.
func (l *Logout) Close() {
	for _, c := range l.callers {
		c.idp.Close()
	}
	if l.own != nil {
		l.own.CloseIdleConnections()
	}
}

// answer is a failure, as it is written.
type answer struct {
	status     int
	code, text string
	err        error // for the log; nil where there is nothing to add
}

func (a *answer) Error() string { return a.code + ": " + a.text }

// ServeHTTP implements http.Handler.
func (l *Logout) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	ended, no := l.serve(w, r)
	if no == nil {
		l.cfg.Logger.InfoContext(r.Context(), "a user was signed out everywhere", "sessions", ended)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	l.cfg.Logger.WarnContext(r.Context(), "a universal logout was refused", "status", no.status, "reason", no.text, "error", no.err)
	switch no.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		w.Header().Set("WWW-Authenticate", challenge(r, no))
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "30")
	}
	writeJSON(w, no.status, map[string]string{"error": no.code, "error_description": no.text})
}

// challenge returns the WWW-Authenticate of an answer. A caller that has sent no token is told no error (RFC 6750 section 3.1).
func challenge(r *http.Request, no *answer) string {
	const realm = `Bearer realm="universal logout"`
	if kind, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); !strings.EqualFold(kind, "Bearer") {
		return realm
	}
	return realm + `, error="` + no.code + `"`
}

func (l *Logout) serve(w http.ResponseWriter, r *http.Request) (ended int, no *answer) {
	s, no := readRequest(w, r)
	if no != nil && no.status == http.StatusRequestEntityTooLarge {
		return 0, no // before anything costs more
	}
	who, refused := l.authenticate(r)
	switch {
	case refused != nil:
		return 0, refused
	case no != nil:
		return 0, no
	}
	if who.token != "" && !l.used.add(who.token, who.now, who.until) {
		return 0, &answer{http.StatusUnauthorized, "invalid_token", "the token was used before", nil}
	}
	ended, no = l.signOut(r.Context(), s, who)
	if no != nil && who.token != "" {
		l.used.drop(who.token, l.cfg.Clock.Now())
	}
	return ended, no
}

// identity is who calls.
type identity struct {
	issuers []string // whose users it may sign out
	now     time.Time
	by      time.Time // when the call was made
	token   string    // names the caller's token; empty where the host knows the caller
	until   time.Time // how long the token is good
}

func (l *Logout) authenticate(r *http.Request) (identity, *answer) {
	now := l.cfg.Clock.Now()
	kind, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	no := &answer{http.StatusUnauthorized, "invalid_token", "the caller is not known", nil}
	if strings.EqualFold(kind, "Bearer") {
		for _, c := range l.callers {
			who, err := c.verify(r.Context(), strings.TrimSpace(raw), now)
			var other *session.IssuerValidationError
			switch {
			case err == nil:
				return who, nil
			case temporary(err): // also where the metadata is of another issuer
				return identity{}, &answer{http.StatusServiceUnavailable, "temporarily_unavailable", "the caller's keys cannot be had now", err}
			case errors.As(err, &other):
				continue
			}
			no.err = err
		}
	}
	if l.cfg.Authorize == nil {
		return identity{}, no
	}
	issuers, err := l.cfg.Authorize(r)
	switch {
	case errors.Is(err, ErrForbidden):
		return identity{}, &answer{http.StatusForbidden, "insufficient_scope", "the caller may not sign users out", nil}
	case err != nil:
		return identity{}, no
	}
	return identity{issuers: issuers, now: now, by: now}, nil
}

// verify returns who has made a token.
func (c caller) verify(ctx context.Context, raw string, now time.Time) (identity, error) {
	t, err := c.idp.VerifySigned(ctx, c.Issuer, raw, "global-token-revocation+jwt", "jwt", "")
	switch {
	case err != nil:
		return identity{}, err
	case t.JTI == "" || len(t.JTI) > maxName || t.Expires == 0 || t.Expires-t.IssuedAt > int64(maxTokenLife/time.Second):
		return identity{}, errToken
	}
	made := time.Unix(t.IssuedAt, 0)
	if made.After(now) {
		made = now
	}
	return identity{
		issuers: c.Issuers, now: now, by: made,
		token: session.NormalIssuer(c.Issuer) + " " + t.JTI, until: time.Unix(t.Expires, 0).Add(clockDrift),
	}, nil
}

var errToken = errors.New("the token needs jti, iat, and exp within an hour of iat")

// temporary reports whether a token may be good, and cannot be verified now.
func temporary(err error) bool {
	switch tokenward.CodeOf(err) {
	case session.CodeMetadataError, session.CodeJWKSFetchError, session.CodeMissingJWKSURI, session.CodeOverloaded:
		return true
	case session.CodeJWKSKeyNotFound: // keys may not be asked for yet
		var api *tokenward.APIError
		return errors.As(err, &api) && api.RetryAfter > 0
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// readRequest reads whom a request names. Drafts before 04 called sub_id subject.
func readRequest(w http.ResponseWriter, r *http.Request) (Subject, *answer) {
	no := func(text string) *answer { return &answer{http.StatusBadRequest, invalidRequest, text, nil} }
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return Subject{}, no("the Content-Type must be application/json")
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return Subject{}, &answer{http.StatusRequestEntityTooLarge, invalidRequest, "the request is too long", nil}
	case err != nil:
		return Subject{}, no("the request did not arrive whole")
	}
	m, err := decodeObject(b)
	if err != nil {
		return Subject{}, no(err.Error())
	}
	named := m["sub_id"]
	if named == nil {
		named = m["subject"]
	}
	s, err := readSubject(named)
	if err != nil {
		return Subject{}, no(err.Error())
	}
	return s, nil
}

// signOut ends the sessions of s.
func (l *Logout) signOut(ctx context.Context, s Subject, who identity) (ended int, no *answer) {
	t, err := scope{who.issuers, l.cfg.Resolve}.targets(ctx, s)
	switch {
	case errors.Is(err, ErrUnknownSubject):
		return 0, &answer{http.StatusNotFound, "unknown_subject", "there is no such user", nil}
	case err != nil:
		return 0, &answer{http.StatusUnprocessableEntity, "unprocessable", "the user cannot be signed out", err}
	case !t.known:
		return 0, &answer{http.StatusBadRequest, invalidRequest, "the subject is of a format that is not known here", nil}
	case len(t.list) == 0:
		return 0, &answer{http.StatusForbidden, "insufficient_scope", "the caller may not sign out users of that issuer", nil}
	}
	ended, err = ofAll(ctx, l.client.EndSessions, t.list, who.by, l.cfg.StoreOptions)
	var configuration *tokenward.ConfigurationError
	var argument *tokenward.InvalidArgumentError // of Resolve's
	switch {
	case errors.As(err, &configuration), errors.As(err, &argument):
		return ended, &answer{http.StatusUnprocessableEntity, "unprocessable", "the user cannot be signed out", err}
	case err != nil:
		return ended, &answer{http.StatusServiceUnavailable, "temporarily_unavailable", "the sessions could not be ended; try again", err}
	}
	return ended, nil
}
