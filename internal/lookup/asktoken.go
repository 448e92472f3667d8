package lookup

import (
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// TokenCall is one question for an access token that the cache did not answer.
type TokenCall struct {
	Caller  Caller
	Query   *session.TokenQuery
	Current session.RegistrationID // that the call is for, where a resolver names it

	// The answer, not to be changed, or why there is none: an *AccessTokenError, or the
	// context's error.
	Token session.Token
	Err   error

	at     callState
	look   Look
	expiry expiry
	flight *directory.Flight
}

type callState uint8

const (
	callLooking callState = iota
	callExpiring
	callFlying
)

// Step takes the next step and reports whether there is more to wait for.
func (t *TokenCall) Step(c *Callers, came Came) (w Wait, more bool) {
	switch t.at {
	case callLooking:
		if came.What == Begin {
			t.look = Look{Caller: t.Caller}
		}
		if w, more = t.look.Step(c, came); more {
			return w, true
		}
		return t.found(c)
	case callExpiring:
		w, more, err := t.expiry.step(came, &t.look)
		switch {
		case more:
			return w, true
		case err != nil:
			return t.fail(err)
		}
		return t.fail(session.ErrSessionExpired)
	case callFlying:
		answer, err := landing(t.Caller.Ctx, came, t.flight)
		if err != nil {
			return t.fail(err)
		}
		return t.landed(c, answer)
	}
	panic("lookup: a call in no state")
}

func (t *TokenCall) again(c *Callers) (Wait, bool) {
	t.at = callLooking
	return t.Step(c, Came{})
}

func (t *TokenCall) fail(err error) (Wait, bool) {
	t.Err = TokenError(err)
	return Wait{}, false
}

// found goes on with the session as it is now.
func (t *TokenCall) found(c *Callers) (w Wait, more bool) {
	e, s := t.look.Entry, t.look.Snapshot
	if t.look.Err != nil {
		return t.fail(t.look.Err)
	}
	now := c.Clock.Now()
	switch {
	case s.Phase == directory.Ready && c.Foreign(s, t.Current) != "":
		return t.fail(&session.AccessTokenError{Code: c.Foreign(s, t.Current)})
	case s.Phase == directory.Ready && s.Ceiling.Reached(now), s.Phase == directory.Ended && s.Reason == session.ReasonCeiling:
		t.at = callExpiring
		if w, more = t.expiry.begin(c, &t.look); !more {
			return t.fail(session.ErrSessionExpired)
		}
		return w, true
	case s.Phase != directory.Ready:
		return t.fail(session.ErrMissingRefreshToken)
	}
	if c.Hit(e, t.Query, &t.Token) {
		return Wait{}, false
	}
	e.Use(now.Unix())
	if t.flight = fly(c, e, t.Query, &t.Caller); t.flight == nil {
		return t.fail(session.ErrOverloaded)
	}
	t.at = callFlying
	return Wait{Done: t.flight.Done(), Gone: e.Gone()}, true
}

func (t *TokenCall) landed(c *Callers, a *directory.Answer) (Wait, bool) {
	switch {
	case a.Restart:
		return t.again(c)
	case a.Err != nil:
		t.Err = a.Err
		return Wait{}, false
	}
	// However long this caller took to wake up, nothing is handed out too late.
	now := c.Clock.Now()
	if a.Ceiling.Reached(now) || a.Cached && !now.Before(a.Token.ExpiresAt) {
		return t.again(c)
	}
	t.Token = *a.Token
	return Wait{}, false
}
