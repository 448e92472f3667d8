package lookup

import (
	"errors"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// Update has change make new values of those that the application keeps in a session, and returns once the store has
// them. Where another caller was first, change is called again with that one's. It runs on this goroutine.
//
// The session is the one that was found first: if it ends, or a login takes its place, the update fails, for the values may
// have been made for another user. It fails with ErrSessionExpired, ErrMissingSession, as change does, as Find does and as the save does.
func (l *Lookup) Update(c *Caller, change func(session.RawData) (session.RawData, error)) error {
	var of session.Incarnation
	for {
		e, s, err := l.Find(c, nil)
		if err != nil {
			return err
		}
		switch {
		case s.Phase == directory.Ready && l.Foreign(s, c.Current) != "":
			return session.ErrMissingSession
		case s.Phase == directory.Ready && s.Ceiling.Reached(l.Clock.Now()), s.Phase == directory.Ended && s.Reason == session.ReasonCeiling:
			over, err := l.expire(c, e, s)
			if err != nil {
				return err
			}
			if over {
				return session.ErrSessionExpired
			}
			continue
		case s.Phase != directory.Ready, !of.IsZero() && of != s.Incarnation:
			return session.ErrMissingSession
		}
		of = s.Incarnation
		if done, err := l.update(c, e, s, change); done {
			return err
		}
	}
}

// update changes the values of a session that was found. It is not done where the session is to be looked for again.
func (l *Lookup) update(c *Caller, e *directory.Entry, s *directory.Snapshot, change func(session.RawData) (session.RawData, error)) (done bool, err error) {
	e.Use(l.Clock.Now().Unix())
	for from := s.State().Data; ; {
		to, err := change(from)
		if err != nil || to == from {
			return true, err
		}
		call := directory.NewCall(c.Ctx, c.Options)
		m := &messages.UpdateSession{Key: e.Key, Incarnation: s.Incarnation, From: from, To: to, Call: call}
		err = l.Order(c.Ctx, m, call)
		var overtaken *directory.OvertakenError
		switch {
		case errors.As(err, &overtaken):
			from = overtaken.Newest
		case err == nil:
			return true, nil
		case c.Ctx.Err() != nil:
			return true, c.Ctx.Err()
		case errors.Is(err, session.ErrMissingSession):
			return false, nil
		default:
			return true, StoreError(err)
		}
	}
}
