package lookup

import (
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// join joins the flight for q, or has the session start one. It returns nil where the
// session has too many.
func (l *Lookup) join(c *Caller, e *directory.Entry, q *session.TokenQuery) *directory.Flight {
	if f := e.Find(q.Key); f != nil { // most of a crowd need no flight of their own
		return f
	}
	f, first := e.Join(directory.NewFlight(q, c.Options), l.MaxFlights)
	if first {
		to := e.PID()
		if to == nil {
			to = l.Supervisor // which activates the session
		}
		l.Send(to, &messages.NeedToken{Entry: e, Flight: f})
	}
	return f
}

// completed waits for f. An entry that is gone answers no flight, so its callers look again.
func (l *Lookup) completed(c *Caller, e *directory.Entry, f *directory.Flight) (*directory.Answer, error) {
	if a := f.Completed(); a != nil {
		return a, nil
	}
	switch event := l.await(c.Ctx, Wait{Done: f.Done(), Gone: e.Gone()}); event.Kind {
	case ContextEnded:
		return nil, c.Ctx.Err()
	case Done:
		if a := f.Completed(); a != nil {
			return a, nil
		}
	default:
	}
	return &lookAgain, c.Ctx.Err()
}

var lookAgain = directory.Answer{Restart: true}
