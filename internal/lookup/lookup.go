package lookup

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/telemetry"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Lookup is what all calls of a client have in common. Its fields are set before the first call and do not change
// afterwards. It reads the memory in internal/directory, and writes nothing there but flights that it joins and the
// time of the last use.
type Lookup struct {
	Directory  *directory.Directory
	Clock      clock.Clock
	Buffer     time.Duration // how long before its expiry a token counts as expired
	Renewable  time.Duration // a token with no more left may be due for an early refresh; 0: none is
	MaxFlights int           // of one session, in flight and queued
	Name       string        // the identifier under which sessions are kept
	Resolving  bool          // a session must be of the registration that the call is for
	ClientID   string        // of sessions that have none of their own
	Supervisor *actor.PID
	Send       func(to *actor.PID, message any)
	Fresh      *directory.Freshness
	Stopped    <-chan struct{} // closed when the supervisor has stopped

	Telemetry *telemetry.Telemetry // nil: nothing is told

	// Await waits for w. Where it is nil, the calling goroutine blocks.
	Await func(ctx context.Context, w Wait) Event

	closed atomic.Bool
}

// Caller is one call: its context, the session and the registration that it is about, and what the stores are given.
type Caller struct {
	Ctx      context.Context //nolint:containedctx // a Caller is one call
	ID       string
	Options  store.Options
	Current  session.RegistrationID // that the call is for, where a resolver names it
	Demand   session.Demand         // of a call of Token
	Observed *telemetry.Call        // what is told of it; nil: nothing
}

// Close refuses every call from here on, hits included.
func (l *Lookup) Close() { l.closed.Store(true) }

// Closed reports whether calls are refused.
func (l *Lookup) Closed() bool { return l.closed.Load() }

// Key names the record of the session id.
func (l *Lookup) Key(id string) session.Key { return session.KeyOf(l.Name, id) }

// Cached is Hit for the session id, and false where that is not resident.
func (l *Lookup) Cached(id string, q *session.TokenQuery, values map[string]any, token *session.Token) bool {
	e, s := l.Directory.Find(id)
	return e != nil && l.Hit(e, s, q, values, token)
}

// Hit finds the answer in s, which e shows, fills in token and reports whether there was one. It takes no lock,
// sends no message and allocates nothing. The exception is the one hit that finds the token due for an early refresh: it has the
// session make one. values are the call's free store options, which such a flight keeps.
func (l *Lookup) Hit(e *directory.Entry, s *directory.Snapshot, q *session.TokenQuery, values map[string]any, token *session.Token) bool {
	if !l.hit(e, s, q, l.Buffer, values, token) {
		return false
	}
	if l.Telemetry != nil {
		l.Telemetry.Hits.Add()
	}
	return true
}

// hit is Hit for a token that does not count as expired before buffer is left.
func (l *Lookup) hit(e *directory.Entry, s *directory.Snapshot, q *session.TokenQuery, buffer time.Duration, values map[string]any, token *session.Token) bool {
	if s.Phase != directory.Ready || l.closed.Load() {
		return false
	}
	now := l.Clock.Now()
	if s.Ceiling.Reached(now) || s.Over(now) || !l.Fresh.MayShow(e, l.Clock) || !s.Tokens.Lookup(q, now, buffer, token) {
		return false
	}
	e.Use(now.Unix())
	if l.Renewable > 0 && token.ExpiresAt.Sub(now) <= l.Renewable {
		l.renew(e, s, q, token, now, values)
	}
	return true
}

// KeepUntil returns how long a token that answered q may be kept outside: until its expiry, or the end of the session
// that shows it, the earlier of the two. It returns the present where the session shows another token, or has ended.
func (l *Lookup) KeepUntil(id string, q *session.TokenQuery, token *session.Token) time.Time {
	now := l.Clock.Now()
	e, s := l.Directory.Find(id) // token and ceiling are of one login
	if e == nil {
		return now
	}
	var shown session.Token
	if s.Phase != directory.Ready || !s.Tokens.Lookup(q, now, 0, &shown) || shown.AccessToken != token.AccessToken {
		return now
	}
	until := token.ExpiresAt
	if ends := s.Ceiling.Deadline(); s.Ceiling.Legal() && ends.Before(until) {
		until = ends
	}
	if ends := time.Unix(s.EndsAt, 0); s.EndsAt != 0 && ends.Before(until) {
		until = ends
	}
	return until
}

// Foreign says why a session is not of a registration: missing_session_domain, also where its client id is not
// known, or domain_mismatch, also where only the client id differs; "" when it is. Without a resolver every session is
// ours.
func (l *Lookup) Foreign(s *directory.Snapshot, current session.RegistrationID) session.Code {
	if !l.Resolving {
		return ""
	}
	of := session.RegistrationID{Issuer: s.State().SessionDomain(""), ClientID: s.State().SessionClient(l.ClientID)}
	switch {
	case of.Issuer == "" || of.ClientID == "":
		return session.CodeMissingSessionDomain
	case !of.Same(current):
		return session.CodeDomainMismatch
	}
	return ""
}

// Order sends m to the supervisor, and waits until the work that m lends call to has ended. It returns how that
// ended. If the caller leaves or the client stops before the work began, the call is abandoned, and the error says why.
// Once the work has begun with what the caller lends, it is waited for, however long it takes: it may hold an HTTP
// request, which must not be used after the handler has returned.
func (l *Lookup) Order(ctx context.Context, m messages.Awaited, call *directory.Call) error {
	l.send(m)
	if err := l.wait(ctx, call.Done()); err != nil {
		if call.Abandon() {
			return err
		}
		l.await(ctx, Wait{Done: call.Done(), Bound: true})
	}
	_, err := call.Ended()
	return err
}

func (l *Lookup) send(m messages.Awaited) { l.Send(l.Supervisor, m) }
