package lookup

import (
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// Read returns the state of a session, nil where none lives. It never waits for a flight, and never asks the provider. A
// session at its ceiling is deleted first, or that was tried.
func (l *Lookup) Read(c *Caller) (*session.State, error) {
	e, s, err := l.Find(c, nil)
	if err != nil {
		return nil, err
	}
	if s.Phase == directory.Ready && l.Foreign(s, c.Current) != "" {
		return nil, nil // another domain's session is neither returned nor deleted
	}
	now := l.Clock.Now()
	switch {
	case s.Phase == directory.Ready && !s.Ceiling.Reached(now):
		e.Use(now.Unix())
		return s.State(), nil
	case s.Phase == directory.Ready, s.Phase == directory.Ended && s.Reason == session.ReasonCeiling:
		return nil, l.expire(c, e, s)
	}
	return nil, nil
}
