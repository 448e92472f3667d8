package lookup

import (
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
)

// join joins the flight for q, or has the session start one. It returns nil where the
// session has too many.
//
// A session's flights all spend its one refresh token, so they queue for it; callers with the same query share one
// flight. Joining is a compare-and-swap on the entry's list: the first caller sends the one message, the others none.
func (l *Lookup) join(c *Caller, e *directory.Entry, q *session.TokenQuery) *directory.Flight {
	if f := e.Find(q.Key); f != nil { // most of a crowd need no flight of their own
		c.Observed.Join(f.Observed, false)
		return f
	}
	f, first := e.Join(l.newFlight(c, q), l.MaxFlights)
	if f != nil {
		c.Observed.Join(f.Observed, first)
	}
	if first {
		f.Observed.Start()
		to := e.PID()
		if to == nil {
			to = l.Supervisor // which activates the session
		}
		l.Send(to, &messages.NeedToken{Entry: e, Flight: f})
	}
	return f
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
