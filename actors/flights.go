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

// slotGranted says that a request may be sent, or why none may.
type slotGranted struct {
	messages.Redacted
	err error
}

// pollDue says that another process may have let go of the lease.
type pollDue struct{ messages.Redacted }

// renewDue says that the lease is to be renewed.
type renewDue struct{ messages.Redacted }

// renewedLease brings what the store said to that.
type renewedLease struct {
	messages.Redacted
	epoch int64
	err   error
	at    time.Time // when it was asked
}

// flightLanded brings what the provider answered.
type flightLanded struct {
	messages.Redacted
	response session.TokenResponse
	err      error
}

// needToken answers f, now or later.
func (c *core) needToken(f *directory.Flight, now time.Time) {
	if f.Completed() != nil || c.answers(f) {
		return
	}
	switch {
	case c.phase == directory.Ended:
		c.land(f, c.remembered(f, now))
	case c.phase != directory.Ready:
		c.land(f, internal(f)) // it starts again after a defect
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
	if c.air != nil && c.air.flight == f || slices.Contains(c.queue, f) {
		return true
	}
	return slices.ContainsFunc(c.lane, func(w *write) bool { return w.flight == f })
}

// takeOff starts the next flight unless one is in the air. Refresh tokens rotate
// (RFC 6749 section 6), so a session flies one at a time, over all questions; and
// none is spent while the store lacks the newest.
func (c *core) takeOff(now time.Time) {
	for c.phase == directory.Ready && c.air == nil && !c.resting && !c.denied && len(c.queue) > 0 {
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
		if !f.Query.Key.ForConnection() && c.state.Internal.Ceiling.Reached(now) {
			c.end(session.ReasonCeiling, nil, now) // answers the queue
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
				c.save(&write{gate: true})
			}
			return
		}
		c.queue = pop(c.queue)
		c.air = &airborne{flight: f, generation: c.generation}
		c.do(askSlot{})
	}
}

// fromCache looks whether an earlier answer covers f. What f's callers saw may be
// older than what is shown now. What the store was not yet asked to keep is not shown.
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

// slotGranted goes on towards the request, unless nobody waits for it any more.
func (c *core) slotGranted(m *slotGranted, now time.Time) {
	a := c.air
	current := c.current(a)
	switch {
	case m.err != nil:
		c.air = nil
		if current {
			c.land(a.flight, c.failure(a.flight, session.CodeOf(m.err), nil))
		}
	case !current:
		c.giveUp()
	default:
		c.prepare(a, now)
	}
}

// refusal is the answer to f when its request failed with err.
func refusal(f *directory.Flight, err error) directory.Answer {
	if f.Query.Key.ForConnection() {
		return directory.Answer{Err: session.ExchangeFailure(err)}
	}
	return directory.Answer{Err: session.RefreshFailure(err)}
}

// flightLanded keeps a new refresh token first, then judges the rest. A response
// belongs to the generation that sent the request.
func (c *core) flightLanded(m *flightLanded, now time.Time) {
	a := c.air
	c.air = nil
	m.err = c.held.Redact(m.err, c.state, a.state)
	if c.state == c.saved && c.phase == directory.Ready {
		c.do(setUnsaved(directory.Saved))
	}
	theirs := c.theirs(a)
	if theirs {
		late := *m
		late.response.RefreshToken = ""
		m = &late
	}
	if c.current(a) {
		c.throttle.note(m.err, now)
	}
	exchange := a.flight.Query.Key.ForConnection()
	if a.again && m.err != nil && m.response.RefreshToken == "" && (exchange || !session.TokenSettled(m.err)) {
		c.lease.intent = nil // it stands: whether the token still works is not known yet
	}
	c.lease.unspent = !a.again && m.response.RefreshToken == "" && (m.err == nil || refused(m.err))
	switch {
	case a.lasting:
		c.landAfterCeiling(a, m, now)
	case !c.current(a):
		// Whoever waited has been answered. The response is dropped, so that a deleted
		// session stays deleted and a new one keeps its own tokens.
		if a.revoke {
			c.revoke(a.of, cmp.Or(m.response.RefreshToken, a.token), a.state)
		}
	case theirs && m.err == nil:
		c.queue = slices.Insert(c.queue, 0, a.flight) // it looks among their tokens, else asks again
	case exchange:
		c.landConnection(a, m, now)
	default:
		c.landToken(a, m, now)
	}
	if c.putOff {
		c.putOff = false
		c.retry()
	}
}

// theirs reports whether another process spent a's token too, and what it got is known already:
// that stays. An empty one was given up, for it was refused to them.
func (c *core) theirs(a *airborne) bool {
	return c.state.RefreshToken != a.token && c.state.RefreshToken != "" && c.current(a) && !a.lasting
}

func (c *core) landToken(a *airborne, m *flightLanded, now time.Time) {
	f := a.flight
	if c.state.Internal.Ceiling.Reached(now) {
		c.land(f, c.over(f, session.ReasonCeiling))
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

func (c *core) landConnection(a *airborne, m *flightLanded, now time.Time) {
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

// landAfterCeiling answers those who asked for a connection's token before the
// ceiling came. The token joins what stays of the session; nothing is written.
func (c *core) landAfterCeiling(a *airborne, m *flightLanded, now time.Time) {
	f := a.flight
	if m.err != nil {
		c.land(f, directory.Answer{Err: session.ExchangeFailure(m.err)})
		return
	}
	base := c.state
	if a.generation != c.generation || c.phase != directory.Ended {
		base = &session.State{} // it was logged out or replaced since: nothing stays
	}
	next, token, err := base.ApplyConnection(f.Query.Key, m.response, now, c.rules.applyOptions())
	if base == c.state && err == nil {
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
func (c *core) settle(a *airborne, m *flightLanded, answer directory.Answer, now time.Time) {
	if dead := c.dead(a, m.err); m.response.RefreshToken == "" && (dead || invalidGrant(m.err)) {
		w := &write{generation: c.generation, flight: a.flight, answer: answer, spent: a.token, refused: true, dead: dead, again: a.again}
		if !c.rules.Exclusive {
			w.kind = reread // another process may have rotated it
			c.lane = append(c.lane, w)
			return
		}
		if c.dropRefreshToken(w, now) {
			return
		}
	}
	if answer.Err != nil && m.response.RefreshToken == "" {
		c.land(a.flight, answer)
		return
	}
	c.save(&write{flight: a.flight, answer: answer, response: &m.response, received: now, spent: a.token})
}

// dead reports whether err says that the refresh token a has spent is of no use any more. The
// refusal of an exchange may be about the connection's own token: only a refresh finds out.
func (c *core) dead(a *airborne, err error) bool {
	return !a.flight.Query.Key.ForConnection() && session.TokenDead(err)
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
		UpdateUser: r.UpdateUser, MaxTokenSets: r.MaxTokenSets, MaxBytes: r.MaxBytes, Buffer: r.Buffer, DefaultLifetime: r.DefaultLifetime,
	}
}
