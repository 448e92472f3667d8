// Package telemetry tells observers what a client does. A nil *Telemetry tells no observer, and each of its
// methods costs a comparison then. A panic of the observer is contained.
package telemetry

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
)

// Telemetry tells observers.
type Telemetry struct {
	Hits Counter

	observer  observe.Observer
	clock     clock.Clock
	audiences map[string]bool
	log       *zap.Logger
	failed    func()
	closed    func()
}

// New returns a Telemetry that tells observers. Audiences that p does not configure are observe.OtherAudience. Each panic of an
// observer is logged to log and counted by failed.
func New(observers []observe.Observer, c clock.Clock, p session.Policy, log *zap.Logger, failed func()) *Telemetry {
	t := &Telemetry{clock: c, log: log, failed: failed, audiences: map[string]bool{session.DefaultAudience: true}}
	var each []observe.Observer
	for _, o := range observers {
		each = append(each, t.contained(o))
	}
	t.observer = observe.All(each...)
	key, _ := p.EffectiveAudience("")
	t.audiences[key] = true
	for audience := range p.ScopeFor {
		t.audiences[audience] = true
	}
	return t
}

// Open tells of a new client, whose figures may be read until Close.
func (t *Telemetry) Open(figures func() observe.Figures) {
	if t == nil || t.observer.Client == nil {
		return
	}
	t.closed = t.observer.Client(figures)
}

// Close tells that the client is closed.
func (t *Telemetry) Close() {
	if t == nil || t.closed == nil {
		return
	}
	t.closed()
}

// Ended tells that a session has ended.
func (t *Telemetry) Ended(why session.Reason) {
	if t == nil || t.observer.Ended == nil {
		return
	}
	t.observer.Ended(observe.Ended{Reason: string(why), At: t.clock.Now()})
}

// Deleted tells that a session was deleted, and when, that was due at its ceiling; 0 tells nothing.
func (t *Telemetry) Deleted(due session.Ceiling, at time.Time) {
	if t == nil || t.observer.Ceiling == nil || due == 0 {
		return
	}
	t.observer.Ceiling(observe.Ceiling{Due: due.Deadline(), Deleted: at})
}

// Request tells of a request to a provider. It returns the context for it, and the end to be called; a nil end is none.
func (t *Telemetry) Request(ctx context.Context, kind, method, server string) (context.Context, func(status int, failed bool)) {
	if t == nil || t.observer.Request == nil {
		return ctx, nil
	}
	next, end := begin(ctx, t.observer.Request, observe.Request{Kind: kind, Method: method, Server: server, At: t.clock.Now()})
	if end == nil {
		return next, nil
	}
	return next, func(status int, failed bool) {
		end(observe.RequestEnd{At: t.clock.Now(), Status: status, Failed: failed})
	}
}

// begin calls the start of a pair. It returns the context to go on with, and the end, nil where there is none.
func begin[S, E any](ctx context.Context, f func(context.Context, S) (context.Context, func(E)), start S) (context.Context, func(E)) {
	next, end := f(ctx, start)
	if next == nil {
		next = ctx
	}
	return next, end
}

// audience returns the audience of q where it is configured: users may name any other.
func (t *Telemetry) audience(q *session.TokenQuery) string {
	switch {
	case q == nil, q.Key.ForConnection():
		return ""
	case t.audiences[q.Key.Audience]:
		return q.Key.Audience
	}
	return observe.OtherAudience
}

// code returns the code of err: one of a list, for a provider, or a callback that a stranger made up, may name any.
func code(err error) string {
	switch c := session.CodeOf(err); {
	case err == nil:
		return ""
	case listed[string(c)], answers[string(c)]:
		return string(c)
	case c == "" && errors.Is(err, context.Canceled):
		return "canceled"
	case c == "" && errors.Is(err, context.DeadlineExceeded):
		return "deadline_exceeded"
	}
	return observe.Other
}

// oauth returns the error code that the provider gave, "" where err is not of a provider's answer.
func oauth(err error) string {
	var e *session.APIError
	switch {
	case !errors.As(err, &e) || e.Status == 0 || e.Code == "":
		return ""
	case answers[string(e.Code)]:
		return string(e.Code)
	case listed[string(e.Code)]: // a code of ours: the answer was no OAuth error
		return ""
	}
	return observe.Other
}

// answers are the errors of token and authorization endpoints: RFC 6749 sections 4.1.2.1 and 5.2, RFC 8693 section 2.2.2, OpenID
// Connect Core section 3.1.2.6, and Auth0's.
var answers = set(
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
	"access_denied", "unsupported_response_type", "server_error", "temporarily_unavailable", "invalid_target",
	"interaction_required", "login_required", "account_selection_required", "consent_required", "mfa_required", "too_many_requests",
)

var listed = set(
	session.CodeMissingRefreshToken, session.CodeRefreshTokenError, session.CodeSessionExpired, session.CodeMissingSession,
	session.CodeMissingSessionDomain, session.CodeDomainMismatch, session.CodeIncorrectAudience, session.CodeMFARequired,
	session.CodeAPIError, session.CodeRetrievalError, session.CodeOverloaded, session.CodeClosed, session.CodeStoreError,
	session.CodeInternalError, session.CodeSessionTooLarge, session.CodeMetadataError, session.CodeTokenError,
	session.CodeConfiguration, session.CodeInvalidResponse, session.CodeInvalidToken, session.CodeInvalidSignature,
	session.CodeInvalidAudience, session.CodeTokenExpired, session.CodeJWKSKeyNotFound, session.CodeJWKSFetchError,
	session.CodeFailedToRequestToken, session.CodeInvalidTokenFormat, session.CodeMissingActorTokenType, session.CodeTokenExchangeFailed,
	session.CodeMissingJWKSURI, session.CodeMissingRequiredArgument, session.CodeInvalidArgument, session.CodeMissingTransaction,
	session.CodeIssuerValidation, session.CodeOrganizationTokenValidation, session.CodeBackchannelLogout, session.CodeDomainResolver,
	session.CodeLoginRefused, session.CodeStepUp,
	session.CodePARError, "revocation_error", "userinfo_error",
)

func set[S ~string](codes ...S) map[string]bool {
	m := make(map[string]bool, len(codes))
	for _, c := range codes {
		m[string(c)] = true
	}
	return m
}

func since(began, now time.Duration) time.Duration { return max(0, now-began) }
