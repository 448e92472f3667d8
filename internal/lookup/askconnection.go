package lookup

import (
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// ConnectionCall is one question for the token of an upstream connection.
type ConnectionCall struct {
	Caller  Caller
	Key     session.FlightKey
	Current session.RegistrationID // that the call is for, where a resolver names it

	// The answer, or why there is none: an *AccessTokenForConnectionError, the context's
	// error, or a *ConfigurationError.
	Token session.ConnectionToken
	Err   error

	at     callState
	look   Look
	first  *directory.Flight
	flight *directory.Flight
}

// Step takes the next step and reports whether there is more to wait for.
func (t *ConnectionCall) Step(c *Callers, came Came) (w Wait, more bool) {
	if t.at == callFlying {
		answer, err := landing(t.Caller.Ctx, came, t.flight)
		if err != nil {
			return t.fail(err)
		}
		return t.landed(c, answer)
	}
	if came.What == Begin {
		// Should the session be loaded past its ceiling, this question comes first.
		t.first = directory.NewFlight(&session.TokenQuery{Key: t.Key}, t.Caller.Options)
		t.look = Look{Caller: t.Caller, First: t.first}
		if c.Resolving {
			t.look.First = nil // whose session it is must be known first
		}
	}
	if w, more = t.look.Step(c, came); more {
		return w, true
	}
	return t.found(c)
}

func (t *ConnectionCall) again(c *Callers) (Wait, bool) {
	t.at = callLooking
	return t.Step(c, Came{})
}

func (t *ConnectionCall) fail(err error) (Wait, bool) {
	t.Err = ConnectionError(err)
	return Wait{}, false
}

// found goes on with the session as it is now.
func (t *ConnectionCall) found(c *Callers) (Wait, bool) {
	e, s := t.look.Entry, t.look.Snapshot
	if t.look.Err != nil {
		return t.fail(t.look.Err)
	}
	if code := c.Foreign(s, t.Current); code != "" {
		return t.fail(&session.ConnectionTokenError{Code: code})
	}
	if s.Phase == directory.Ended && s.Reason == session.ReasonLifetime {
		return t.fail(session.ErrMissingRefreshToken)
	}
	t.flight = e.Find(t.Key) // first, for what is off the list has landed
	if answer := t.first.Completed(); answer != nil {
		return t.landed(c, answer)
	}
	now := c.Clock.Now()
	if s.Phase == directory.Ready || s.Phase == directory.Ended {
		if hit, ok := s.State().FindConnection(t.Key, now); ok && !c.Closed() {
			e.Use(now.Unix())
			t.Token = hit
			return Wait{}, false
		}
	}
	switch {
	case t.flight != nil:
	case s.Phase == directory.Ready:
		e.Use(now.Unix())
		if t.flight = fly(c, e, t.first.Query, &t.Caller); t.flight == nil {
			return t.fail(session.ErrOverloaded)
		}
	case e.Snapshot() != s:
		return t.again(c) // what was in the air has landed just now, and is shown
	default:
		return t.fail(session.ErrMissingRefreshToken)
	}
	t.at = callFlying
	return Wait{Done: t.flight.Done(), Gone: e.Gone()}, true
}

func (t *ConnectionCall) landed(c *Callers, a *directory.Answer) (Wait, bool) {
	switch {
	case a.Restart:
		return t.again(c)
	case a.Err != nil:
		t.Err = a.Err
		return Wait{}, false
	case a.Cached && !c.Clock.Now().Before(a.Connection.ExpiresAt):
		return t.again(c)
	}
	t.Token = *a.Connection
	return Wait{}, false
}
