package lookup

import (
	"context"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// fly joins the flight for q, or has the session start one. It returns nil when the
// session has too many.
func fly(c *Callers, e *directory.Entry, q *session.TokenQuery, caller *Caller) *directory.Flight {
	if f := e.Find(q.Key); f != nil { // most of a crowd need no flight of their own
		return f
	}
	f, first := e.Join(directory.NewFlight(q, caller.Options), c.Questions)
	if first {
		to := e.PID()
		if to == nil {
			to = c.Boss // which activates the session
		}
		c.Send(to, &messages.NeedToken{Flight: f, Entry: e})
	}
	return f
}

// landing is how a wait for f ended. An entry that is gone answers nobody: look again.
func landing(ctx context.Context, came Came, f *directory.Flight) (*directory.Answer, error) {
	switch came.What {
	case LeftCame:
		return nil, ctx.Err()
	case DoneCame:
		if a := f.Completed(); a != nil {
			return a, nil
		}
	default:
	}
	return &again, ctx.Err()
}

var again = directory.Answer{Restart: true}
