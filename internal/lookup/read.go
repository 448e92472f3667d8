package lookup

import (
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// Read returns the state of a session, nil where none lives. It never waits for a flight, and never asks the provider. A
// session at its ceiling is deleted first, or that was tried.
func (l *Lookup) Read(c *Caller) (*session.State, error) {
	for {
		e, s, err := l.Find(c, nil)
		if err != nil {
			return nil, err
		}
		if s.Phase == directory.Ready && l.Foreign(s, c.Current) != "" {
			return nil, nil // another domain's session is neither returned nor deleted
		}
		now := l.Clock.Now()
		if s.Phase == directory.Ready && !s.Ceiling.Reached(now) {
			e.Use(now.Unix())
			return s.State(), nil
		}
		if s.Phase != directory.Ready && (s.Phase != directory.Ended || s.Reason != session.ReasonCeiling) {
			return nil, nil
		}
		if over, err := l.expire(c, e, s); over || err != nil {
			return nil, err
		}
	}
}
