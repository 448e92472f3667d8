package actors

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// answeredBy keeps a new refresh token first, then judges the rest. A response
// belongs to the generation that sent the request.
//
// The order is fixed: first the request counts as over, so that nothing below can start beside it. Then the answer is
// redacted, for a provider may quote a token in its error. Then it is judged, by the session as it is now and
// not as it was when the request was sent.
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
	if errors.Is(m.err, errLapsed) || errors.Is(m.err, errTooLate) {
		c.notSent(a, m.err)
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
	again := c.sendAgain(a, m, now)
	if c.current(a) {
		c.throttle.note(m.err, now)
	}
	if !again {
		c.judge(a, m, won, now)
	}
}

// judge deals with the answer to a, which is not sent again. Where won is true another process has spent the token, and its
// answer stays.
func (c *core) judge(a *request, m *providerAnswered, won bool, now time.Time) {
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
	case a.flight.Query.Key.ForConnection():
		c.connectionAnswered(a, m, now)
	default:
		c.tokenAnswered(a, m, now)
	}
}

// notSent has a flight begin again whose request was not sent.
//
// The intent stands with this process's name on it, and its token was not presented: the next Begin finds it, and does not
// take the token for spent.
func (c *core) notSent(a *request, why error) {
	c.lease.unspent = true
	switch {
	case !c.current(a):
	case c.life == expiring:
		c.completeFlight(a.flight, c.overFor(a.flight, session.ReasonCeiling))
		c.expired()
	case c.recovers(a.flight): // its try is counted, and the intent that a process left behind stands
		c.lease.intent = nil
		c.completeFlight(a.flight, directory.Answer{})
	case errors.Is(why, errTooLate):
		c.completeFlight(a.flight, refusal(a.flight, c.again.err))
	default:
		c.queue = slices.Insert(c.queue, 0, a.flight)
	}
}

// judgeIntent notes what the answer says of the token that was written down: whether the intent has
// to stand, and whether a next request for the same token presents one that may be spent.
//
// Example: another process has crashed with a request out. Our request presents the same token, and fails with a time-out. Whether
// the token was spent is as unknown as before, so the intent stays, and a recovery goes on asking.
func (c *core) judgeIntent(a *request, m *providerAnswered) {
	kept := m.response.RefreshToken == ""
	if a.mayBeSpent && m.err != nil && kept && (a.flight.Query.Key.ForConnection() || !session.TokenSettled(m.err)) {
		c.lease.intent = nil // it stands: whether the token still works is not known yet
	}
	c.lease.unspent = !a.mayBeSpent && kept && (m.err == nil || refused(m.err))
}

// wonElsewhere reports whether another process has spent a's token too, and its new one is known
// here already: that one stays. An empty one was given up, for it was refused there.
//
// It happens under leases only where one has lapsed, and without leases whenever two processes refresh at once. The one whose save
// the store took first has won; a provider that detects reuse may revoke both (RFC 9700, section 4.14.2).
func (c *core) wonElsewhere(a *request) bool {
	return c.life == live && c.current(a) && c.state.RefreshToken != a.token && c.state.RefreshToken != ""
}

// tokenAnswered applies the answer to a refresh. Where the ceiling has come while the request was out, its token is handed to no
// caller, and the session ends: the timer may be late, the answer may not.
func (c *core) tokenAnswered(a *request, m *providerAnswered, now time.Time) {
	f := a.flight
	if c.state.Internal.Ceiling.Reached(now) {
		c.completeFlight(f, c.overFor(f, session.ReasonCeiling))
		c.end(session.ReasonCeiling, nil, now)
		return
	}
	answer := directory.Answer{Ceiling: c.state.Internal.Ceiling}
	if m.err != nil {
		c.keepToken(m.response)
		answer.Err = session.RefreshFailure(m.err)
	} else {
		next, token, err := c.applyRefresh(c.state, f, m.response, now)
		c.change(next)
		answer.Token, answer.Err = &token, err
	}
	c.noteDemand(a, answer.Token, now)
	c.settle(a, m, answer, now)
}

// connectionAnswered applies the answer to an exchange. A ceiling that came while the request was out ends the session too, but its callers get
// the token: connection tokens outlive the ceiling.
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
		c.completeFlight(f, answer)
		c.end(session.ReasonCeiling, nil, now)
		return
	}
	c.settle(a, m, answer, now)
}

// joinRemainder answers those who asked for a connection's token before the ceiling came. The
// token joins the remainder, in the store too.
//
// A refresh token in the answer is dropped with its session: after a ceiling nothing is refreshed.
func (c *core) joinRemainder(a *request, m *providerAnswered, now time.Time) {
	f := a.flight
	c.expired()
	if m.err != nil {
		c.completeFlight(f, directory.Answer{Err: session.ExchangeFailure(m.err)})
		return
	}
	next, token, err := c.state.ApplyConnection(f.Query.Key, m.response, now, c.rules.applyOptions())
	if err == nil {
		c.state = remainder(next, now)
		c.saved = c.state
		c.showEnd(c.reason())
		c.enqueue(&deleteOp{only: c.incarnation, why: session.ReasonCeiling})
	}
	c.completeFlight(f, directory.Answer{Connection: &token, Err: err})
}

// keepToken keeps a refresh token that came with an otherwise useless answer.
//
// The provider has spent the token before it, whatever else is wrong with the answer. Without the new one the next refresh would be
// taken for a replay, and cost the user the session (RFC 9700, section 4.14.2).
func (c *core) keepToken(r session.TokenResponse) {
	if r.RefreshToken != "" {
		c.change(c.state.WithRefreshToken(r.RefreshToken))
	}
}

// settle writes what the flight changed and then answers; at once where it changed nothing.
//
// A refusal is not believed at once where other processes write: it may be about a token that one of them has
// rotated. The record says whether the session has another token by now.
func (c *core) settle(a *request, m *providerAnswered, answer directory.Answer, now time.Time) {
	l := &completion{flight: a.flight, answer: answer, spent: a.token, mayBeSpent: a.mayBeSpent}
	if kept := m.response.RefreshToken == ""; kept && (c.deadFor(a.flight, m.err) || invalidGrant(m.err)) {
		l.refused = m.err
		if !c.rules.Exclusive { // another process may have rotated it
			c.enqueue(&readOp{waiters: waiters{completion: l}, why: refusedToken, generation: c.generation})
			return
		}
		if c.dropRefreshToken(l, now) {
			return
		}
	}
	if answer.Err != nil && m.response.RefreshToken == "" {
		c.completeAnswered(l)
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
		KeepIssuedAt: !r.Early.Off(),
	}
}

// dropRefreshToken gives a refresh token up that the provider refused for good, or ends the
// session where the rules say so, and reports whether it did: the session may have another one
// by now. The user and the tokens that have not expired stay. A token that may have been spent
// in a request that was cut off counts as lost.
func (c *core) dropRefreshToken(l *completion, now time.Time) bool {
	if !c.deadFor(l.flight, l.refused) || c.state.RefreshToken != l.spent {
		return false
	}
	if l.lost = l.mayBeSpent; l.lost {
		c.do(tokenLost{l.answer.Err})
	}
	if c.rules.EndOnDead {
		c.end(session.ReasonRevoked, nil, now)
		c.completeAnswered(l)
		return true
	}
	next := c.state.Clone()
	next.RefreshToken = ""
	c.change(next)
	c.save(&completion{flight: l.flight, answer: l.answer, spent: l.spent, lost: l.lost})
	return true
}
