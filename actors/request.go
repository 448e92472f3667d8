package actors

import (
	"cmp"
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
	generation session.Generation     // that it is for; 0: none any more
	token      string                 // the refresh token that it presents
	state      *session.State         // when it was sent
	of         session.RegistrationID // whose request it is, and where to
	revoke     bool                   // the session was logged out under it: what it brings is revoked
	mayBeSpent bool                   // an earlier request may have spent the token, and was cut off
}

// permitGranted says that a request may be sent, or why none may.
type permitGranted struct {
	messages.Redacted
	err error
}

// providerAnswered brings what the provider said.
type providerAnswered struct {
	messages.Redacted
	response session.TokenResponse
	err      error
}

// errLapsed says that a request was not sent, for its lease lapsed before that.
var errLapsed = errors.New("actors: the lease lapsed before the request was sent")

// current reports whether the session as it is waits for what a brings.
func (c *core) current(a *request) bool {
	return a.generation == c.generation && (c.life == live || c.life == expiring)
}

// needToken answers f, now or later.
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
		c.land(f, c.remembered(f, now))
	case l != live:
		c.land(f, f.Refusal(session.ErrInternal)) // it starts again after a panic
	case c.closing:
		c.land(f, c.failure(f, session.CodeClosed, nil))
	default:
		if a, ok := c.fromCache(f, now); ok {
			c.land(f, a)
			return
		}
		c.queue = append(c.queue, f)
	}
}

// answers reports whether f is being answered already: it was asked for before.
func (c *core) answers(f *directory.Flight) bool {
	return c.request != nil && c.request.flight == f || slices.Contains(c.queue, f) ||
		c.queued(func(o op) bool { l := o.waiting().landed; return l != nil && l.flight == f })
}

// startNext starts the next flight unless a request is under way. Refresh tokens rotate
// (RFC 6749 section 6), so a session sends one request at a time, over all questions; and
// presents none while the store lacks the newest.
func (c *core) startNext(now time.Time) {
	for c.life == live && c.step == noRequest && len(c.queue) > 0 {
		f := c.queue[0]
		if c.state.Internal.Over(now) {
			c.end(session.ReasonLifetime, nil, now) // answers the queue
			return
		}
		if a, ok := c.fromCache(f, now); ok && !c.recovers(f) {
			c.queue = pop(c.queue)
			c.land(f, a)
			continue
		}
		if why := c.outlived(f, now); why != "" {
			c.end(why, nil, now) // answers the queue
			return
		}
		if c.state.RefreshToken == "" {
			c.queue = pop(c.queue)
			c.land(f, c.failure(f, session.CodeMissingRefreshToken, nil))
			continue
		}
		if err := c.throttle.answer(now); err != nil {
			c.queue = pop(c.queue)
			c.land(f, refusal(f, err))
			continue
		}
		if c.state.RefreshToken != c.saved.RefreshToken {
			if !c.saving() {
				c.save(nil)
			}
			return
		}
		c.queue = pop(c.queue)
		c.request, c.step = &request{flight: f, generation: c.generation}, waitingForPermit
		c.do(askPermit{})
	}
}

// fromCache looks whether an earlier answer covers f. What f's callers saw may be
// older than the present snapshot. What the store was not yet asked to keep is not shown.
func (c *core) fromCache(f *directory.Flight, now time.Time) (directory.Answer, bool) {
	a := directory.Answer{Cached: true}
	if c.state.Internal.Over(now) {
		return a, false // its callers asked an earlier login, or the load took long
	}
	if f.Query.Key.ForConnection() {
		t, ok := c.visible.State().FindConnection(f.Query.Key, now)
		a.Connection = &t
		return a, ok
	}
	if c.state.Internal.Ceiling.Reached(now) {
		return a, false
	}
	a.Ceiling = c.state.Internal.Ceiling
	var token session.Token
	found := c.visible.Tokens.Lookup(f.Query, now, c.rules.Buffer, &token)
	a.Token = &token
	return a, found
}

// landCovered answers those in the queue whom the snapshot covers by now.
func (c *core) landCovered(now time.Time) {
	if c.life != live {
		return
	}
	c.queue = slices.DeleteFunc(c.queue, func(f *directory.Flight) bool {
		a, ok := c.fromCache(f, now)
		ok = ok && !c.recovers(f)
		if ok {
			c.land(f, a)
		}
		return ok
	})
}

// permitGranted goes on towards the request, unless its callers were answered.
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
			c.land(a.flight, c.failure(a.flight, session.CodeOf(m.err), nil))
			c.expired()
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

// send sends the request.
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
	e := spend{query: a.flight.Query, scope: scope, of: a.of, token: a.token, options: a.flight.Options}
	if c.lease.epoch != 0 {
		e.lapses = c.lease.lapses
	}
	c.do(e)
}

// giveUp gives the permit of a request back that is not sent.
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

// answeredBy keeps a new refresh token first, then judges the rest. A response
// belongs to the generation that sent the request.
func (c *core) answeredBy(m *providerAnswered, now time.Time) {
	if c.life == failed {
		c.lateAnswer(m)
		return
	}
	a := c.request
	c.request, c.step = nil, noRequest
	if c.state == c.saved && c.life == live {
		c.do(setUnsaved(directory.Saved))
	}
	if errors.Is(m.err, errLapsed) {
		c.notSent(a)
		return
	}
	m.err = c.held.Redact(m.err, c.state, a.state)
	won := c.wonElsewhere(a)
	if won {
		late := *m
		late.response.RefreshToken = ""
		m = &late
	}
	c.judgeIntent(a, m)
	exchange := a.flight.Query.Key.ForConnection()
	if c.current(a) {
		c.throttle.note(m.err, now)
	}
	switch {
	case !c.current(a):
		// Its callers have been answered. The response is dropped, so that a deleted
		// session stays deleted and a new one keeps its own tokens.
		if a.revoke {
			c.revoke(a.of, cmp.Or(m.response.RefreshToken, a.token), a.state)
		}
	case c.life == expiring:
		c.joinRemainder(a, m, now)
	case won && m.err == nil:
		c.queue = slices.Insert(c.queue, 0, a.flight) // it looks among the other's tokens, else asks again
	case exchange:
		c.connectionAnswered(a, m, now)
	default:
		c.tokenAnswered(a, m, now)
	}
	if c.postponed {
		c.postponed = false
		c.retry()
	}
}

// notSent has a flight begin again whose request was not sent.
func (c *core) notSent(a *request) {
	c.lease.unspent = true
	switch {
	case !c.current(a):
	case c.life == expiring:
		c.land(a.flight, c.overFor(a.flight, session.ReasonCeiling))
		c.expired()
	case c.recovers(a.flight): // its try is counted, and the intent that a process left behind stands
		c.lease.intent = nil
		c.land(a.flight, directory.Answer{})
	default:
		c.queue = slices.Insert(c.queue, 0, a.flight)
	}
}

// judgeIntent notes what the answer says of the token that was written down: whether the intent has
// to stand, and whether a next request for the same token presents one that may be spent.
func (c *core) judgeIntent(a *request, m *providerAnswered) {
	kept := m.response.RefreshToken == ""
	if a.mayBeSpent && m.err != nil && kept && (a.flight.Query.Key.ForConnection() || !session.TokenSettled(m.err)) {
		c.lease.intent = nil // it stands: whether the token still works is not known yet
	}
	c.lease.unspent = !a.mayBeSpent && kept && (m.err == nil || refused(m.err))
}

// wonElsewhere reports whether another process has spent a's token too, and its new one is known
// here already: that one stays. An empty one was given up, for it was refused there.
func (c *core) wonElsewhere(a *request) bool {
	return c.life == live && c.current(a) && c.state.RefreshToken != a.token && c.state.RefreshToken != ""
}

func (c *core) tokenAnswered(a *request, m *providerAnswered, now time.Time) {
	f := a.flight
	if c.state.Internal.Ceiling.Reached(now) {
		c.land(f, c.overFor(f, session.ReasonCeiling))
		c.end(session.ReasonCeiling, nil, now)
		return
	}
	answer := directory.Answer{Ceiling: c.state.Internal.Ceiling}
	if m.err != nil {
		c.keepToken(m.response)
		answer.Err = session.RefreshFailure(m.err)
	} else {
		next, token, err := c.state.ApplyRefresh(f.Query, m.response, now, c.rules.applyOptions())
		c.change(next)
		answer.Token, answer.Err = &token, err
	}
	c.settle(a, m, answer, now)
}

func (c *core) connectionAnswered(a *request, m *providerAnswered, now time.Time) {
	f := a.flight
	answer := directory.Answer{}
	if m.err != nil {
		c.keepToken(m.response)
		answer.Err = session.ExchangeFailure(m.err)
	} else {
		next, token, err := c.state.ApplyConnection(f.Query.Key, m.response, now, c.rules.applyOptions())
		c.change(next)
		answer.Connection, answer.Err = &token, err
	}
	if c.state.Internal.Ceiling.Reached(now) {
		c.land(f, answer)
		c.end(session.ReasonCeiling, nil, now)
		return
	}
	c.settle(a, m, answer, now)
}

// joinRemainder answers those who asked for a connection's token before the ceiling came. The
// token joins the remainder; nothing is written.
func (c *core) joinRemainder(a *request, m *providerAnswered, now time.Time) {
	f := a.flight
	c.expired()
	if m.err != nil {
		c.land(f, directory.Answer{Err: session.ExchangeFailure(m.err)})
		return
	}
	next, token, err := c.state.ApplyConnection(f.Query.Key, m.response, now, c.rules.applyOptions())
	if err == nil {
		c.state = remainder(next, now)
		c.saved = c.state
		c.showEnd(now)
	}
	c.land(f, directory.Answer{Connection: &token, Err: err})
}

// keepToken keeps a refresh token that came with an otherwise useless answer.
func (c *core) keepToken(r session.TokenResponse) {
	if r.RefreshToken != "" {
		c.change(c.state.WithRefreshToken(r.RefreshToken))
	}
}

// settle writes what the flight changed and then answers; at once where it changed nothing.
func (c *core) settle(a *request, m *providerAnswered, answer directory.Answer, now time.Time) {
	l := &landed{flight: a.flight, answer: answer, spent: a.token, mayBeSpent: a.mayBeSpent}
	if kept := m.response.RefreshToken == ""; kept && (c.deadFor(a.flight, m.err) || invalidGrant(m.err)) {
		l.refused = m.err
		if !c.rules.Exclusive { // another process may have rotated it
			c.enqueue(&readOp{waiters: waiters{landed: l}, why: refusedToken, generation: c.generation})
			return
		}
		if c.dropRefreshToken(l, now) {
			return
		}
	}
	if answer.Err != nil && m.response.RefreshToken == "" {
		c.land(a.flight, answer)
		return
	}
	l.refused, l.response, l.received = nil, &m.response, now
	c.save(l)
}

// deadFor reports whether err says that the refresh token which f has presented is of no use any more.
// The refusal of an exchange may be about the connection's own token: only a refresh finds out.
func (c *core) deadFor(f *directory.Flight, err error) bool {
	return !f.Query.Key.ForConnection() && session.TokenDead(err)
}

// invalidGrant reports whether a token was refused, that of a connection perhaps.
func invalidGrant(err error) bool {
	var e *session.APIError
	return errors.As(err, &e) && e.Code == session.CodeInvalidGrant
}

// refused reports whether the provider said that it did nothing.
func refused(err error) bool {
	var e *session.APIError
	return session.TokenSettled(err) || errors.As(err, &e) && e.Status >= 400 && e.Status < 500
}

func (r *Rules) applyOptions() session.ApplyOptions {
	return session.ApplyOptions{
		ClientID: r.ClientID, Issuer: r.Issuer, StrictAudience: r.StrictAudience,
		UpdateUser: r.UpdateUser, MaxTokenSets: r.TokenSets, MaxBytes: r.MaxBytes, Buffer: r.Buffer, DefaultLifetime: r.DefaultLifetime,
	}
}
