package actors

import (
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// request is the one request of the session to the provider, from asking for a permit until its
// answer is taken in. core.step says how far it has come.
type request struct {
	flight     *directory.Flight
	generation session.Generation     // that it is for; 0: none any more, so what it brings changes nothing
	token      string                 // the refresh token that it presents
	state      *session.State         // when it was sent
	of         session.RegistrationID // whose request it is, and where to
	revoke     bool                   // the session was logged out under it: what it brings is revoked
	mayBeSpent bool                   // an earlier request may have spent the token, and was cut off
}

// permitGranted says that a request may be sent, or why none may.
type permitGranted struct {
	messages.Redacted
	permit Permit
	err    error
}

// providerAnswered brings what the provider said.
type providerAnswered struct {
	messages.Redacted
	response session.TokenResponse
	err      error

	sent, at time.Duration // by the monotonic clock: when the request was sent, and when it was over
}

// errNoneSpare says that there is no permit for a request that no caller waits for.
var errNoneSpare = errors.New("actors: requests that callers wait for have the permits")

// errLapsed says that a request was not sent, for its lease lapsed before that.
var errLapsed = errors.New("actors: the lease lapsed before the request was sent")

// current reports whether the session as it is waits for what a brings.
func (c *core) current(a *request) bool {
	return a.generation == c.generation && (c.life == live || c.life == expiring)
}

// needToken answers f, now or later.
//
// A flight that is asked for twice is queued once. That happens where a session was released, and woken by another
// command, between the two.
func (c *core) needToken(f *directory.Flight, now time.Time) {
	if f.Completed() != nil || c.answers(f) {
		return
	}
	l := c.life
	if l == released {
		l = c.before
	}
	switch {
	case l.over():
		c.completeFlight(f, c.remembered(f, now))
	case l != live:
		c.completeFlight(f, f.Refusal(session.ErrInternal)) // it starts again after a panic
	case c.closing:
		c.completeFlight(f, c.failure(f, session.CodeClosed, nil))
	default:
		if a, ok := c.fromCache(f, now); ok {
			c.completeFlight(f, a)
			return
		}
		c.queue = append(c.queue, f)
	}
}

// answers reports whether f is being answered already: it was asked for before.
func (c *core) answers(f *directory.Flight) bool {
	return c.request != nil && c.request.flight == f || slices.Contains(c.queue, f) ||
		c.queued(func(o op) bool { l := o.waiting().completion; return l != nil && l.flight == f })
}

// startNext starts the next flight unless a request is under way. Refresh tokens rotate
// (RFC 6749 section 6), so a session sends one request at a time, over all queries; and
// presents none while the store lacks the newest, or an answer that covers the flight.
//
// The order of the queries matters. A session that is over answers no flight, not even from its cache. The cache comes
// before the ceiling, for a connection's token outlives it. A provider that asks to wait comes after both, for a token that is
// cached needs no provider. The save comes last: only a flight that would present the token has to wait for it.
func (c *core) startNext(now time.Time) {
	for c.life == live && c.step == noRequest && len(c.queue) > 0 {
		c.callersFirst()
		f := c.queue[0]
		if c.state.Internal.Over(now) {
			c.end(session.ReasonLifetime, nil, now) // answers the queue
			return
		}
		if a, ok := c.fromCache(f, now); ok && !c.recovers(f) {
			c.queue = pop(c.queue)
			c.completeFlight(f, a)
			continue
		}
		if why := c.endFor(f, now); why != "" {
			c.end(why, nil, now) // answers the queue
			return
		}
		if c.state.RefreshToken == "" {
			c.queue = pop(c.queue)
			c.completeFlight(f, directory.Answer{Err: session.NoRefreshToken(f.Query.Key.ForConnection())})
			continue
		}
		if err := c.throttle.answer(now); err != nil && f != c.again.flight { // that one has waited
			c.queue = pop(c.queue)
			c.completeFlight(f, refusal(f, err))
			continue
		}
		if c.state.RefreshToken != c.saved.RefreshToken {
			if !c.saving() {
				c.save(nil)
			}
			return
		}
		if c.coveredBySave(f, now) {
			return
		}
		c.queue = pop(c.queue)
		c.request, c.step = &request{flight: f, generation: c.generation}, waitingForPermit
		c.do(askPermit{c.rules.registrationOf(c.state).Issuer, f.Unawaited()})
	}
}

// fromCache looks whether an earlier answer covers f. What f's callers saw may be
// older than the present snapshot. What the store was not yet asked to keep is not shown.
//
// It looks in the snapshot that is shown, not in the newest state: a token that is not in the store yet would be
// handed out to one caller, and lost to all others by a crash.
func (c *core) fromCache(f *directory.Flight, now time.Time) (directory.Answer, bool) {
	return c.cached(c.visible, f, now)
}

// coveredBySave reports whether an answer that is on its way to the store covers f, which has only to wait for that. Example: the scopes
// "write read" were answered and are being saved, and a caller asks for "read". A request for it would spend the refresh token for a token
// that is there already.
func (c *core) coveredBySave(f *directory.Flight, now time.Time) bool {
	if !c.saving() || c.recovers(f) {
		return false
	}
	_, covered := c.cached(directory.NewReady(c.generation, c.incarnation, c.state), f, now)
	return covered
}

// cached looks whether s covers f.
func (c *core) cached(s *directory.Snapshot, f *directory.Flight, now time.Time) (directory.Answer, bool) {
	a := directory.Answer{Cached: true}
	if c.state.Internal.Over(now) {
		return a, false // its callers asked an earlier login, or the load took long
	}
	if f.Query.Key.ForConnection() {
		t, ok := s.State().FindConnection(f.Query.Key, now)
		a.Connection = &t
		return a, ok
	}
	if c.state.Internal.Ceiling.Reached(now) {
		return a, false
	}
	a.Ceiling = c.state.Internal.Ceiling
	var token session.Token
	found := c.cachedToken(s, f, now, &token)
	a.Token = &token
	return a, found
}

// completeCovered answers those in the queue whom the snapshot covers by now. It is called where a read or a Begin has brought another
// process's tokens. Without it they would wait until their turn in the queue came, behind requests that they have no part in.
func (c *core) completeCovered(now time.Time) {
	if c.life != live {
		return
	}
	c.queue = slices.DeleteFunc(c.queue, func(f *directory.Flight) bool {
		a, ok := c.fromCache(f, now)
		ok = ok && !c.recovers(f)
		if ok {
			c.completeFlight(f, a)
		}
		return ok
	})
}

// permitGranted goes on towards the request, unless its callers were answered. A permit is never held while another process
// is waited for: there are few, and all sessions share them.
func (c *core) permitGranted(m *permitGranted, now time.Time) {
	a := c.request
	if c.life == failed {
		c.latePermit(m)
		return
	}
	switch {
	case m.err != nil:
		current := c.current(a)
		c.request, c.step = nil, noRequest
		if current {
			c.noPermit(a.flight, m.err)
		}
	case c.life == expiring && c.current(a): // the record is being deleted: nothing can be written down
		c.send()
	case !c.stillNeeded(now):
	case c.rules.Leases || c.rules.Intents:
		c.step = beginning
		c.enqueue(&beginOp{request: a})
	default:
		c.send()
	}
}

// notPermitted is the answer to f where no request may be sent.
func (c *core) notPermitted(f *directory.Flight, err error) directory.Answer {
	var open *session.BreakerOpenError
	if errors.As(err, &open) {
		return refusal(f, open)
	}
	return c.failure(f, session.CodeOf(err), nil)
}

// noPermit answers f, for which there is no permit. An early refresh that no caller has joined by now is left for later. One
// that has been joined asks again, like any other: the caller who joined it has no token to go on with.
func (c *core) noPermit(f *directory.Flight, err error) {
	switch {
	case !errors.Is(err, errNoneSpare):
		c.completeFlight(f, c.notPermitted(f, err))
		c.expired()
	case f.Unawaited():
		c.completeFlight(f, directory.Answer{Restart: true}) // for a caller who joins it at this moment
	default:
		c.queue = slices.Insert(c.queue, 0, f)
	}
}

// callersFirst puts a flight that callers wait for before early refreshes. An early refresh has until the expiry of its token; a caller
// has nothing to hand out.
func (c *core) callersFirst() {
	i := slices.IndexFunc(c.queue, func(f *directory.Flight) bool { return !f.Unawaited() })
	if i > 0 {
		f := c.queue[i]
		c.queue = slices.Insert(slices.Delete(c.queue, i, i+1), 0, f)
	}
}

// send sends the request.
//
// The token is read here, not when the flight was queued: in between another flight may have rotated it. A request that
// the ceiling has overtaken keeps the token of then, for the state has been cleared.
func (c *core) send() {
	a := c.request
	c.step = onTheWire
	if c.state == c.saved && c.life == live {
		c.do(setUnsaved(directory.Saving)) // the answer may bring a new refresh token
	}
	scope := ""
	if c.life == live { // else the token was put aside when the ceiling came
		a.token, a.of, a.state = c.state.RefreshToken, c.rules.registrationOf(c.state), c.state
		scope = c.state.RefreshScope(a.flight.Query)
	}
	e := spend{query: a.flight.Query, scope: scope, of: a.of, token: a.token, options: a.flight.Options, flight: a.flight}
	e.until, e.again = c.presentBy(a.flight, a.token), c.again.flight == a.flight
	if c.lease.epoch != 0 {
		e.lapses = c.lease.lapses
	}
	c.do(e)
}

// giveUp gives the permit of a request back that is not sent. Its flight is the caller's to queue or to answer.
func (c *core) giveUp() {
	c.request, c.step = nil, noRequest
	c.do(dropPermit{})
}

// expired ends the wait for an exchange that the ceiling had overtaken.
func (c *core) expired() {
	if c.life == expiring {
		c.life = ended
	}
}

// refusal is the answer to f when its request failed with err.
func refusal(f *directory.Flight, err error) directory.Answer {
	if f.Query.Key.ForConnection() {
		return directory.Answer{Err: session.ExchangeFailure(err)}
	}
	return directory.Answer{Err: session.RefreshFailure(err)}
}
