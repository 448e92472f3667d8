package lookup

import (
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// Connection returns the token of an upstream connection, from the cache while it lasts. It fails with an
// *AccessTokenForConnectionError, with the context's error, or as the flight does (a *ConfigurationError).
//
// The ceiling of a session does not gate the tokens of its connections: a set that the session left at its ceiling is
// handed out until it expires, and an exchange that was in flight at the ceiling is joined. The session's own lifetime does.
func (l *Lookup) Connection(c *Caller, key session.FlightKey) (session.ConnectionToken, error) {
	for {
		hit, e, f, err := l.connectionFlight(c, key)
		switch {
		case err != nil:
			return session.ConnectionToken{}, ConnectionError(err)
		case hit != nil:
			return *hit, nil
		case f == nil:
			continue
		}
		a, err := l.completed(c, e, f)
		switch {
		case err != nil:
			return session.ConnectionToken{}, err
		case a.Restart:
			continue
		case a.Err != nil:
			return session.ConnectionToken{}, a.Err
		case a.Cached && !l.Clock.Now().Before(a.Connection.ExpiresAt):
			continue
		}
		return *a.Connection, nil
	}
}

// connectionFlight returns a token that the session shows, or else the flight to wait for, and its entry. It returns
// nothing where the session is to be looked at once more.
func (l *Lookup) connectionFlight(c *Caller, key session.FlightKey) (*session.ConnectionToken, *directory.Entry, *directory.Flight, error) {
	// A session that is loaded past its ceiling ends at once. This flight goes before that.
	first := l.newFlight(c, &session.TokenQuery{Key: key})
	opening := first
	if l.Resolving {
		opening = nil // the session's issuer must be known first
	}
	e, s, err := l.Find(c, opening)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := l.hasConnections(s, c); err != nil {
		return nil, nil, nil, err
	}
	f := e.Find(key) // before the looks that follow: a flight that is off the list has its answer
	if first.Completed() != nil {
		c.Observed.Join(first.Observed, true)
		return nil, e, first, nil
	}
	if l.endUncertain(e, s) {
		return nil, nil, nil, l.wait(c.Ctx, s.Settled)
	}
	now := l.Clock.Now()
	if s.Phase == directory.Ready || s.Phase == directory.Ended {
		if hit, ok := s.State().FindConnection(key, now); ok && !l.Closed() {
			e.Use(now.Unix())
			c.Observed.Hit()
			return &hit, nil, nil, nil
		}
	}
	switch {
	case f != nil:
		c.Observed.Join(f.Observed, f == first)
	case s.Phase == directory.Ready:
		e.Use(now.Unix())
		if f = l.join(c, e, first.Query); f == nil {
			return nil, nil, nil, session.ErrOverloaded
		}
	case e.Snapshot() != s:
		return nil, nil, nil, nil // what was in flight was completed just now, and is shown
	default:
		return nil, nil, nil, session.ErrMissingRefreshToken
	}
	return nil, e, f, nil
}

// hasConnections returns an error where s has no connection tokens for c: it is of another registration, or its own lifetime is over.
func (l *Lookup) hasConnections(s *directory.Snapshot, c *Caller) error {
	if code := l.Foreign(s, c.Current); code != "" {
		return &session.ConnectionTokenError{Code: code}
	}
	if s.Phase == directory.Ended && s.Reason == session.ReasonLifetime {
		return session.ErrMissingRefreshToken
	}
	return nil
}

// endUncertain reports whether s, which has ended, may have been signed out in another process before: it was not read for too
// long. The store says so when the deletion is tried. Until then no connection token that it left is handed out.
func (l *Lookup) endUncertain(e *directory.Entry, s *directory.Snapshot) bool {
	if s.Phase != directory.Ended || s.Settled == nil || l.Fresh.MayShow(e, l.Clock) {
		return false
	}
	select {
	case <-s.Settled:
		return false
	default:
		return true
	}
}
