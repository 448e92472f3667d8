package lookup

import (
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// ReadCall is one reading of a session's state.
type ReadCall struct {
	Caller  Caller
	Current session.RegistrationID // that the call is for, where a resolver names it

	// The state, nil when there is no session that lives, or why that is not known.
	State *session.State
	Err   error

	at     callState
	look   Look
	expiry expiry
}

// Step takes the next step and reports whether there is more to wait for.
func (r *ReadCall) Step(c *Callers, came Came) (w Wait, more bool) {
	if r.at == callExpiring {
		w, more, r.Err = r.expiry.step(came, &r.look)
		return w, more
	}
	if came.What == Begin {
		r.look = Look{Caller: r.Caller}
	}
	if w, more = r.look.Step(c, came); more {
		return w, true
	}
	e, s := r.look.Entry, r.look.Snapshot
	if r.Err = r.look.Err; r.Err != nil {
		return Wait{}, false
	}
	if s.Phase == directory.Ready && c.Foreign(s, r.Current) != "" {
		return Wait{}, false // another domain's session is neither returned nor deleted
	}
	now := c.Clock.Now()
	switch {
	case s.Phase == directory.Ready && !s.Ceiling.Reached(now):
		e.Use(now.Unix())
		r.State = s.State()
	case s.Phase == directory.Ready, s.Phase == directory.Ended && s.Reason == session.ReasonCeiling:
		r.at = callExpiring
		return r.expiry.begin(c, &r.look)
	}
	return Wait{}, false
}
