package actors

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// slotGranted says that a request may be sent, or why none may.
type slotGranted struct {
	messages.Redacted
	err error
}

// flightLanded brings what the provider answered.
type flightLanded struct {
	messages.Redacted
	response session.TokenResponse
	err      error
}

// needToken answers f, now or later.
func (c *core) needToken(f *messages.Flight, now time.Time) {
	if slices.Contains(c.queue, f) {
		return
	}
	switch {
	case c.phase == messages.Ended:
		c.do(land{f, c.remembered(f, now)})
	case c.phase != messages.Ready:
		c.do(land{f, internal(f)}) // it starts again after a defect
	case c.closing:
		c.do(land{f, c.failure(f, session.CodeClosed, nil)})
	default:
		if a, ok := c.fromCache(f, now); ok {
			c.do(land{f, a})
			return
		}
		c.queue = append(c.queue, f)
	}
}

// takeOff starts the next flight unless one is in the air. Refresh tokens rotate
// (RFC 6749 section 6), so a session flies one at a time, over all questions; and
// none is spent while the store lacks the newest.
func (c *core) takeOff(now time.Time) {
	for c.phase == messages.Ready && c.air == nil && !c.resting && len(c.queue) > 0 {
		f := c.queue[0]
		if a, ok := c.fromCache(f, now); ok {
			c.queue = pop(c.queue)
			c.do(land{f, a})
			continue
		}
		if !f.Question.Key.ForConnection() && c.state.Internal.Ceiling.Reached(now) {
			c.end(session.ReasonCeiling, nil, now) // answers the queue
			return
		}
		if c.state.RefreshToken == "" {
			c.queue = pop(c.queue)
			c.do(land{f, c.failure(f, session.CodeMissingRefreshToken, nil)})
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
func (c *core) fromCache(f *messages.Flight, now time.Time) (messages.Answer, bool) {
	a := messages.Answer{Cached: true}
	ok := false
	if f.Question.Key.ForConnection() {
		a.Connection, ok = c.visible.State.FindConnection(f.Question.Key, now)
		return a, ok
	}
	if c.state.Internal.Ceiling.Reached(now) {
		return a, false
	}
	a.Ceiling = c.state.Internal.Ceiling
	a.Token, ok = c.visible.Tokens.Find(f.Question, now, c.rules.Buffer)
	return a, ok
}

// slotGranted sends the request, with the refresh token as it is now, unless what came
// while it waited for the slot answers it.
func (c *core) slotGranted(m *slotGranted, now time.Time) {
	a := c.air
	current := c.current(a)
	switch {
	case m.err != nil:
		c.air = nil
		if current {
			c.do(land{a.flight, c.failure(a.flight, session.CodeOf(m.err), nil)})
		}
	case !current:
		c.air = nil
		c.do(dropSlot{})
	default:
		if !a.lasting {
			if answer, ok := c.fromCache(a.flight, now); ok {
				c.air = nil
				c.do(dropSlot{})
				c.do(land{a.flight, answer})
				return
			}
		}
		a.sent = true
		if c.state == c.saved && c.phase == messages.Ready {
			c.do(setUnsaved(c.unsaved()))
		}
		if !a.lasting { // else the token was put aside when the session ended
			a.token, a.domain = c.state.RefreshToken, c.domain()
		}
		c.do(spend{a.flight.Question, a.domain, a.token, a.flight.Options})
	}
}

// domain is where the session's requests go (behaviour of the Auth0 SDKs: its own
// domain, else the configured one, else the issuer of its user).
func (c *core) domain() string {
	return c.rules.domainOf(c.state)
}

// flightLanded keeps a new refresh token first, then judges the rest. A response
// belongs to the generation that sent the request.
func (c *core) flightLanded(m *flightLanded, now time.Time) {
	a := c.air
	c.air = nil
	if c.state == c.saved && c.phase == messages.Ready {
		c.do(setUnsaved(messages.Saved))
	}
	if c.state.RefreshToken != a.token && c.current(a) && !a.lasting {
		// Another process spent the token too, and what it got is known already: that stays.
		theirs := *m
		theirs.response.RefreshToken = ""
		m = &theirs
	}
	switch {
	case a.lasting:
		c.landAfterCeiling(a, m, now)
	case !c.current(a):
		// Whoever waited has been answered. The response is dropped, so that a deleted
		// session stays deleted and a new one keeps its own tokens.
		if a.revoke {
			c.revoke(a.domain, cmp.Or(m.response.RefreshToken, a.token))
		}
	case a.flight.Question.Key.ForConnection():
		c.landConnection(a, m, now)
	default:
		c.landToken(a, m, now)
	}
}

func (c *core) landToken(a *airborne, m *flightLanded, now time.Time) {
	f := a.flight
	if c.state.Internal.Ceiling.Reached(now) {
		c.do(land{f, c.over(f, session.ReasonCeiling)})
		c.end(session.ReasonCeiling, nil, now)
		return
	}
	answer := messages.Answer{Ceiling: c.state.Internal.Ceiling}
	if m.err != nil {
		c.keepToken(m.response)
		answer.Err = session.RefreshFailure(m.err)
	} else {
		next, token, err := c.state.ApplyRefresh(f.Question, m.response, now, c.rules.applyOptions())
		c.change(next)
		answer.Token, answer.Err = token, err
	}
	c.settle(a, m, answer, now)
}

func (c *core) landConnection(a *airborne, m *flightLanded, now time.Time) {
	f := a.flight
	answer := messages.Answer{}
	if m.err != nil {
		c.keepToken(m.response)
		answer.Err = session.ExchangeFailure(m.err)
	} else {
		next, token, err := c.state.ApplyConnection(f.Question.Key, m.response, now, c.rules.applyOptions())
		c.change(next)
		answer.Connection, answer.Err = token, err
	}
	if c.state.Internal.Ceiling.Reached(now) {
		c.do(land{f, answer})
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
		c.do(land{f, messages.Answer{Err: session.ExchangeFailure(m.err)}})
		return
	}
	base := c.state
	if a.generation != c.generation || c.phase != messages.Ended {
		base = &session.State{} // it was logged out or replaced since: nothing stays
	}
	next, token, err := base.ApplyConnection(f.Question.Key, m.response, now, c.rules.applyOptions())
	if base == c.state && err == nil {
		c.state = remainder(next, now)
		c.saved = c.state
		c.showEnd(now)
	}
	c.do(land{f, messages.Answer{Connection: token, Err: err}})
}

// keepToken keeps a refresh token that came with an otherwise useless answer.
func (c *core) keepToken(r session.TokenResponse) {
	if r.RefreshToken != "" {
		c.change(c.state.WithRefreshToken(r.RefreshToken))
	}
}

// settle writes what the flight changed and then answers; at once where it changed nothing.
func (c *core) settle(a *airborne, m *flightLanded, answer messages.Answer, now time.Time) {
	if m.response.RefreshToken == "" && c.mayBeOvertaken(m.err) {
		c.lane = append(c.lane, &write{kind: reread, generation: c.generation, flight: a.flight, answer: answer, spent: a.token, refused: true})
		return
	}
	if answer.Err != nil && m.response.RefreshToken == "" {
		c.do(land{a.flight, answer})
		return
	}
	c.save(&write{flight: a.flight, answer: answer, response: m.response, received: now, spent: a.token})
}

// mayBeOvertaken reports whether another process may have rotated the refresh
// token that the provider just refused.
func (c *core) mayBeOvertaken(err error) bool {
	var refused *session.APIError
	return !c.rules.Exclusive && errors.As(err, &refused) && refused.Code == "invalid_grant"
}

func (r *Rules) applyOptions() session.ApplyOptions {
	return session.ApplyOptions{
		ClientID: r.ClientID, Issuer: r.Issuer, StrictAudience: r.StrictAudience,
		UpdateUser: r.UpdateUser, MaxTokenSets: r.MaxTokenSets,
	}
}
