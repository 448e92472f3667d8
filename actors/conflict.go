package actors

import (
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// rereadDone decides, once the record was read again, what a conflict, a refused
// refresh token or a login in doubt means.
func (c *core) rereadDone(w *write, m *written, now time.Time) {
	if w.generation != c.generation || c.phase != messages.Ready {
		return
	}
	var gone *store.GoneError
	switch {
	case errors.As(m.err, &gone):
		c.lost(w, gone.Reason, now)
	case errors.Is(m.err, store.ErrNotFound):
		c.lost(w, session.ReasonLogout, now)
	case m.err != nil:
		if w.refused || c.state == c.saved {
			c.finishReread(w)
			return
		}
		w.serial, w.state = c.serial, c.state
		c.saveFailed(w, m)
	case m.incarnation != c.incarnation:
		// Another login took the session's place: its tokens stay as they are.
		c.answerAll(c.state, c.generation, session.ReasonReplaced)
		if w.flight != nil {
			c.do(land{w.flight, c.over(w.flight, session.ReasonReplaced)})
		}
		c.begin(m.state, m.version, m.incarnation)
	case slices.Contains(c.tried, m.version):
		// The write that was in doubt had happened.
		w.state, w.serial = c.state, c.serial
		if m.state.RefreshToken == c.state.RefreshToken {
			c.stored(w, m.version)
			c.finishReread(w)
			return
		}
		c.saved, c.version, c.tried = m.state, m.version, nil
		c.save(again(w))
	case m.version == c.version:
		c.finishReread(w) // nobody else wrote: a refusal stands
	default:
		c.merge(w, m, now)
	}
}

// merge brings together a record that another process wrote and what is known here.
func (c *core) merge(w *write, m *written, now time.Time) {
	spent := w.spent
	if spent == "" {
		spent = c.saved.RefreshToken
	}
	mine := c.state.RefreshToken != c.saved.RefreshToken
	c.saved, c.version, c.tried = m.state, m.version, nil
	if mine && m.state.RefreshToken == spent && !w.refused {
		// They wrote, but spent no refresh token: ours goes on top of theirs.
		next := m.state.WithRefreshToken(c.state.RefreshToken)
		if w.flight != nil && w.answer.Err == nil {
			next = c.reapply(w, m.state, now)
		}
		c.change(next)
		c.save(again(w))
		return
	}
	// They spent it too: theirs stays. Whoever waits looks in their cache, else asks again.
	c.change(m.state)
	c.publish(c.state, c.serial)
	c.do(setUnsaved(messages.Saved))
	if w.flight == nil {
		return
	}
	if w.refused && (m.state.RefreshToken == w.spent || c.refused == w.flight) {
		c.finishReread(w)
		return
	}
	if w.refused {
		c.refused = w.flight
	}
	c.queue = slices.Insert(c.queue, 0, w.flight)
}

// reapply updates base by the response that w brought.
func (c *core) reapply(w *write, base *session.State, now time.Time) *session.State {
	var next *session.State
	if w.flight.Question.Key.ForConnection() {
		next, _, _ = base.ApplyConnection(w.flight.Question.Key, w.response, now, c.rules.applyOptions())
	} else {
		next, _, _ = base.ApplyRefresh(w.flight.Question, w.response, now, c.rules.applyOptions())
	}
	return next
}

// lost ends a session whose record is gone; there is nothing left to delete.
func (c *core) lost(w *write, why session.Reason, now time.Time) {
	c.finishGeneration(why, now)
	if w.flight != nil {
		c.do(land{w.flight, c.over(w.flight, why)})
	}
	close(c.settled)
	c.settled = nil
	c.do(setUnsaved(messages.Saved))
	c.resign = true
}

func (c *core) finishReread(w *write) {
	if w.flight != nil {
		c.do(land{w.flight, w.answer})
	}
}

// again returns w as a save that is still to be done.
func again(w *write) *write {
	return &write{flight: w.flight, answer: w.answer, response: w.response, spent: w.spent, gate: w.gate}
}
