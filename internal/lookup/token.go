package lookup

import (
	"cmp"
	"errors"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
)

// Token fills in an access token that the cache did not have. It fails with an *AccessTokenError, with the
// context's error, or as the flight does.
//
// It finds the session, looks in the cache once more, joins the flight of its query and waits. It begins anew where
// the session left memory before the flight was asked, or where the answer is past its time when this goroutine wakes
// up, or does not meet this call's demand, for it is the answer to another's. The errors are those of GetAccessToken: session_expired at the ceiling (after the deletion was tried),
// missing_refresh_token where there is no session, overloaded where the session's queue is full.
func (l *Lookup) Token(c *Caller, q *session.TokenQuery, token *session.Token) error {
	for {
		e, f, err := l.tokenFlight(c, q, token)
		if f == nil || err != nil {
			return TokenError(err)
		}
		a, err := l.completed(c, e, f)
		switch {
		case err != nil:
			return err
		case a.Restart:
			continue
		case errors.Is(a.Err, session.ErrSessionExpired):
			return cmp.Or(TokenError(l.deleted(c.Ctx, e)), a.Err)
		case a.Err != nil:
			return a.Err
		}
		// However late this goroutine woke up, no token is handed out past the ceiling or its expiry.
		now := l.Clock.Now()
		if a.Ceiling.Reached(now) || a.Cached && !now.Before(a.Token.ExpiresAt) || !c.takes(f, a, now) {
			continue
		}
		*token = *a.Token
		return nil
	}
}

// tokenFlight returns the flight to wait for, and its entry. It returns neither where the session shows a token by
// now, and fills that in.
func (l *Lookup) tokenFlight(c *Caller, q *session.TokenQuery, token *session.Token) (*directory.Entry, *directory.Flight, error) {
	e, _, err := l.living(c)
	if err != nil {
		return nil, nil, err
	}
	if l.meets(c, e, q, token) {
		c.Observed.Hit()
		return nil, nil, nil
	}
	e.Use(l.Clock.Now().Unix())
	f := l.join(c, e, q)
	if f == nil {
		return nil, nil, session.ErrOverloaded
	}
	return e, f, nil
}

// living finds the session of a call: one that lives and is of the call's registration. A session at its ceiling is
// deleted first, or that was tried.
func (l *Lookup) living(c *Caller) (*directory.Entry, *directory.Snapshot, error) {
	for {
		e, s, err := l.Find(c, nil)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case s.Phase == directory.Ready && l.Foreign(s, c.Current) != "":
			return nil, nil, &session.AccessTokenError{Code: l.Foreign(s, c.Current)}
		case s.Phase == directory.Ready && s.Ceiling.Reached(l.Clock.Now()), s.Phase == directory.Ended && s.Reason == session.ReasonCeiling:
			over, err := l.expire(c, e, s)
			if err != nil {
				return nil, nil, err
			}
			if over {
				return nil, nil, session.ErrSessionExpired
			}
		case s.Phase != directory.Ready:
			return nil, nil, session.ErrMissingRefreshToken
		default:
			return e, s, nil
		}
	}
}

// Living returns what a session shows that lives and is of the call's registration. The errors are those of Token.
func (l *Lookup) Living(c *Caller) (*directory.Snapshot, error) {
	e, s, err := l.living(c)
	if err != nil {
		return nil, TokenError(err)
	}
	e.Use(l.Clock.Now().Unix())
	return s, nil
}

// meets is Hit for a token that meets the demand of c.
func (l *Lookup) meets(c *Caller, e *directory.Entry, q *session.TokenQuery, token *session.Token) bool {
	return l.hit(e, e.Snapshot(), q, max(l.Buffer, c.Demand.MinRemaining), c.Options.Values, token) && !c.Demand.Refuses(token.AccessToken)
}

// takes reports whether a, the answer to f, is one for c. To a flight with the demand of c it always is: the session has
// judged the demand. Of a flight that c joined, a token from the cache may not be, and one that the provider gave may be the
// one that was refused: it is shown a moment before its flight can be joined no more.
func (c *Caller) takes(f *directory.Flight, a *directory.Answer, now time.Time) bool {
	return f.Demand == c.Demand || !c.Demand.Refuses(a.Token.AccessToken) && (!a.Cached || c.Demand.Lasts(a.Token, now))
}

// join joins the flight for q, or has the session start one. It returns nil where the
// session has too many.
//
// A session's flights all spend its one refresh token, so they queue for it; callers with the same query share one
// flight. Joining is a compare-and-swap on the entry's list: the first caller sends the one message, the others none.
func (l *Lookup) join(c *Caller, e *directory.Entry, q *session.TokenQuery) *directory.Flight {
	if f := e.Find(q.Key); f != nil { // most of a crowd need no flight of their own
		f.Await()
		c.Observed.Join(f.Observed, false)
		return f
	}
	f, first := e.Join(l.newFlight(c, q), l.MaxFlights)
	if f != nil {
		c.Observed.Join(f.Observed, first)
	}
	switch {
	case first:
		l.needToken(e, f)
	case f != nil:
		f.Await()
	}
	return f
}

// needToken has the session start f.
func (l *Lookup) needToken(e *directory.Entry, f *directory.Flight) {
	f.Observed.Start()
	to := e.PID()
	if to == nil {
		to = l.Supervisor // which activates the session
	}
	l.Send(to, &messages.NeedToken{Entry: e, Flight: f})
}

// newFlight returns a flight for q that c may start.
func (l *Lookup) newFlight(c *Caller, q *session.TokenQuery) *directory.Flight {
	f := directory.NewFlight(q, c.Options)
	f.Demand, f.Observed = c.Demand, l.Telemetry.NewFlight(c.Ctx, q)
	return f
}

// completed waits for f. A caller who leaves ends the wait and not the flight: its token is kept, and the others get
// it. An entry that is gone answers no flight, so its callers look again.
func (l *Lookup) completed(c *Caller, e *directory.Entry, f *directory.Flight) (*directory.Answer, error) {
	if a := f.Completed(); a != nil {
		return a, nil
	}
	switch event := l.await(c.Ctx, Wait{Done: f.Done(), Gone: e.Gone()}); event.Kind {
	case ContextEnded:
		select {
		case <-e.Gone():
			f.Observed.End(observe.Unasked, nil)
		default:
		}
		return nil, c.Ctx.Err()
	case Done:
		if a := f.Completed(); a != nil {
			return a, nil
		}
	default:
		f.Observed.End(observe.Unasked, nil)
	}
	return &lookAgain, c.Ctx.Err()
}

// lookAgain is the answer of a flight that was never asked.
var lookAgain = directory.Answer{Restart: true}
