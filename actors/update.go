package actors

import (
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// updates are the calls whose values of the application are in the state, and that wait until the store has them, oldest first.
type updates struct {
	waiting []*directory.Call
	heldUp  bool // until the timer: another process has the lease
}

// updateSession takes new values of the application, if they were made from the newest ones: a compare-and-swap. Its
// call is answered once the store has them.
//
// A caller whose values were made from older ones gets the newest, and makes its own anew. Each time one caller at least
// goes on, so a crowd makes progress. The values are part of the state from now on, but are shown once the store was asked
// to keep them, as tokens are.
//
// A sign-in that is wanted goes the same way. It is compared with nothing: of two the later one stands, in whichever order they come.
func (c *core) updateSession(m *messages.UpdateSession, now time.Time) {
	switch {
	case c.life == failed:
		m.Refuse(session.ErrInternal)
	case c.life != live, m.Incarnation != c.incarnation, c.state.Internal.Ceiling.Reached(now), c.state.Internal.Over(now):
		m.Refuse(session.ErrMissingSession)
	case c.closing:
		m.Refuse(session.ErrClosed)
	case m.StepUpAfter == 0 && c.state.Data != m.From:
		m.Refuse(&directory.OvertakenError{Newest: c.state.Data})
	default:
		next, fits := c.updated(m, now)
		if !fits {
			m.Refuse(&session.InvalidArgumentError{
				Argument: "data",
				Message:  "does not fit into a session in cookies; keep less, keep sessions in a state store, or allow more Cookies.Chunks",
			})
			return
		}
		c.change(next)
		c.updates.waiting = append(c.updates.waiting, m.Call)
	}
}

// updated returns the state with what m brings, and whether it fits.
func (c *core) updated(m *messages.UpdateSession, now time.Time) (next *session.State, fits bool) {
	if m.StepUpAfter != 0 {
		return c.state.WithStepUp(m.StepUpAfter, now), true
	}
	return c.state.FitData(m.To, now, c.rules.applyOptions())
}

// saveUpdates queues a save of the application's values, unless one that takes them along is on its way.
//
// It waits while a Begin is under way, which would find that its record has moved. One that another process's lease has
// kept from the store waits for the timer. A request on the wire is not waited for: the save leaves its intent.
func (c *core) saveUpdates() {
	switch {
	case c.life != live, len(c.updates.waiting) == 0, c.step == beginning, c.updates.heldUp, c.saving():
	case c.state == c.saved:
		c.endAllUpdates(nil)
	default:
		c.save(nil)
	}
}

// endUpdates answers the first n who wait. A save that is under way takes along those who were there when it began; whatever else
// answers them begins when it is over, or ends the session that it is for.
func (c *core) endUpdates(n int, err error) {
	for _, call := range c.updates.waiting[:n] {
		c.do(endCall{call, err})
	}
	c.updates.waiting = slices.Delete(c.updates.waiting, 0, n)
	c.updates.heldUp = false
}

func (c *core) endAllUpdates(err error) { c.endUpdates(len(c.updates.waiting), err) }

// overtakeUpdates has callers make their values anew from those of s, which another process has written first.
func (c *core) overtakeUpdates(s *session.State) {
	c.endAllUpdates(&directory.OvertakenError{Newest: s.Data})
}

// updatesNotSaved is told that a save has failed. Values stay in memory and are tried again, as tokens are, and their
// callers hear of the failure; but not where another process holds the lease for a moment.
func (c *core) updatesNotSaved(leased bool, err error) {
	switch {
	case len(c.updates.waiting) == 0:
	case leased:
		c.updates.heldUp = true
	default:
		c.do(report{"values of the application could not be saved", err})
		c.endAllUpdates(err)
	}
}

// keepsIntent reports whether the save o leaves the intent as it is: nothing new is known of the refresh token. What has
// come of it in a request under way, or in one that a crash has cut off, is still to be found out.
func (c *core) keepsIntent(o *saveOp) bool {
	return c.rules.Intents && o.completion == nil && o.state.RefreshToken == c.saved.RefreshToken
}
