package actors

import (
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// update is a call whose values of the application are in the state with that serial, and that waits until the store has
// them.
type update struct {
	call   *directory.Call
	serial uint64
}

// updates are those that are not saved yet, oldest first.
type updates struct {
	waiting []update
	heldUp  bool // until the timer: another process has the lease
}

// updateSession takes new values of the application, if they were made from the newest ones: a compare-and-swap. Its
// call is answered once the store has them.
//
// A caller whose values were made from older ones gets the newest, and makes its own anew. Each time one caller at least
// goes on, so a crowd makes progress. The values are part of the state from now on, but are shown once the store was asked
// to keep them, as tokens are.
func (c *core) updateSession(m *messages.UpdateSession, now time.Time) {
	switch {
	case c.life == failed:
		m.Refuse(session.ErrInternal)
	case c.life != live, m.Incarnation != c.incarnation, c.state.Internal.Ceiling.Reached(now), c.state.Internal.Over(now):
		m.Refuse(session.ErrMissingSession)
	case c.closing:
		m.Refuse(session.ErrClosed)
	case c.state.Data != m.From:
		m.Refuse(&directory.OvertakenError{Newest: c.state.Data})
	default:
		next, fits := c.state.FitData(m.To, now, c.rules.applyOptions())
		if !fits {
			m.Refuse(&session.InvalidArgumentError{
				Argument: "data",
				Message:  "does not fit into a session in cookies; keep less, keep sessions in a state store, or allow more Cookies.Chunks",
			})
			return
		}
		c.change(next)
		c.updates.waiting = append(c.updates.waiting, update{m.Call, c.serial})
	}
}

// saveUpdates queues a save of the application's values, unless one that takes them along is on its way.
//
// It waits while a Begin is under way, which would find that its record has moved. One that another process's lease has
// kept from the store waits for the timer. A request on the wire is not waited for: the save leaves its intent.
func (c *core) saveUpdates() {
	switch {
	case c.life != live, len(c.updates.waiting) == 0, c.step == beginning, c.updates.heldUp, c.saving():
	case c.state == c.saved:
		c.endUpdates(c.serial, nil)
	default:
		c.save(nil)
	}
}

// endUpdates answers those whose values are in the state with that serial, or in an earlier one.
func (c *core) endUpdates(serial uint64, err error) {
	for len(c.updates.waiting) > 0 && c.updates.waiting[0].serial <= serial {
		c.do(endCall{c.updates.waiting[0].call, err})
		c.updates.waiting = pop(c.updates.waiting)
	}
	c.updates.heldUp = false
}

// overtakeUpdates has callers make their values anew from those of s, which another process has written first.
func (c *core) overtakeUpdates(s *session.State) {
	c.endUpdates(c.serial, &directory.OvertakenError{Newest: s.Data})
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
		c.endUpdates(c.serial, err)
	}
}

// keepsIntent reports whether the save o leaves the intent as it is: nothing new is known of the refresh token. What has
// come of it in a request under way, or in one that a crash has cut off, is still to be found out.
func (c *core) keepsIntent(o *saveOp) bool {
	return c.rules.Intents && o.completion == nil && o.state.RefreshToken == c.saved.RefreshToken
}
