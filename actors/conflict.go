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
	case m.err != nil && w.doubt:
		c.erasing = append(c.erasing, w) // tried again like a deletion
		c.later()
	case m.err != nil:
		if c.nothingToSay(w) {
			c.finishReread(w)
			return
		}
		c.saveFailed(w, m.err)
		return
	case m.incarnation != c.incarnation:
		// Another login took the session's place: its tokens stay as they are.
		c.answerAll(c.state, c.generation, session.ReasonReplaced)
		if w.flight != nil {
			c.do(land{w.flight, c.over(w.flight, session.ReasonReplaced)})
		}
		c.begin(m.state, m.version, m.incarnation)
	case m.version == c.version && w.refused && c.state.RefreshToken != w.spent:
		c.requeue(w) // theirs came while this one was in the air
	case m.version == c.version:
		// Nobody else wrote: a refusal stands, and a write is still to be done.
		if c.nothingToSay(w) {
			c.finishReread(w)
			return
		}
		c.saveFailed(w, store.ErrConflict)
	default:
		if i := slices.IndexFunc(c.tried, func(a attempt) bool { return a.version == m.version }); i >= 0 {
			// The write that was in doubt had happened; more may have been learnt since.
			c.saved, c.version, c.tried = c.tried[i].state, m.version, nil
			c.saveRest(w)
			return
		}
		c.merge(w, m)
	}
}

// nothingToSay reports whether a re-read that brought nothing is no failure to save: there
// is nothing to be saved, or that is still to be tried.
func (c *core) nothingToSay(w *write) bool {
	return w.refused || c.state == c.saved || w.flight == nil && c.saving()
}

// saveRest writes what the store, as it was read again, lacks, or ends w where that is
// nothing.
func (c *core) saveRest(w *write) {
	if c.state != c.saved {
		c.save(again(w))
		return
	}
	c.attempts = 0
	c.publish(c.state, c.serial)
	c.do(setUnsaved(c.unsaved()))
	c.finishReread(w)
}

// merge brings together a record that another process wrote and what is known here.
func (c *core) merge(w *write, m *written) {
	known, mine := c.saved.RefreshToken, ""
	if c.state.RefreshToken != known {
		mine = c.state.RefreshToken
	}
	c.saved, c.version, c.tried = m.state, m.version, nil
	next := m.state
	if m.state.RefreshToken == known {
		// They wrote, but spent no refresh token: ours goes on top of theirs, and with it
		// whatever else waits to be saved.
		next = c.reapply(w, next)
		for _, later := range c.lane {
			next = c.reapply(later, next)
		}
		c.change(next.WithRefreshToken(mine))
		if w.refused && c.state.RefreshToken != w.spent {
			c.saveRest(&write{})
			c.requeue(w) // theirs came while this one was in the air
			return
		}
		c.saveRest(w)
		return
	}
	// They spent it too: theirs stays. Whoever waits looks in their cache, else asks again.
	// What else waits to be saved goes on top of theirs, but for its refresh token.
	c.change(next)
	c.publish(c.state, c.serial)
	for _, later := range c.lane {
		next = c.reapply(later, next)
	}
	c.change(next.WithRefreshToken(m.state.RefreshToken))
	c.do(setUnsaved(c.unsaved()))
	c.requeue(w)
}

// requeue has w's flight fly again, with the refresh token that another process got: once,
// where the provider refused ours.
func (c *core) requeue(w *write) {
	switch {
	case w.flight == nil:
	case w.refused && c.refused == w.flight:
		c.finishReread(w)
	default:
		if w.refused {
			c.refused = w.flight
		}
		c.queue = slices.Insert(c.queue, 0, w.flight)
	}
}

// reapply updates base by the response that w brought, if it brought one.
func (c *core) reapply(w *write, base *session.State) *session.State {
	if w.flight == nil || w.answer.Err != nil || w.refused {
		return base
	}
	var next *session.State
	if w.flight.Question.Key.ForConnection() {
		next, _, _ = base.ApplyConnection(w.flight.Question.Key, w.response, w.received, c.rules.applyOptions())
	} else {
		next, _, _ = base.ApplyRefresh(w.flight.Question, w.response, w.received, c.rules.applyOptions())
	}
	return next
}

// lost ends a session whose record is gone; there is nothing left to delete.
func (c *core) lost(w *write, why session.Reason, now time.Time) {
	c.finishGeneration(why, now)
	if w.flight != nil {
		c.do(land{w.flight, c.overtaken(w, why)})
	}
	c.ending.settle()
	c.do(setUnsaved(messages.Saved))
}

func (c *core) finishReread(w *write) {
	if w.flight != nil {
		c.do(land{w.flight, w.answer})
	}
}

// again returns w as a save that is still to be done.
func again(w *write) *write {
	return &write{flight: w.flight, answer: w.answer, response: w.response, received: w.received, spent: w.spent, gate: w.gate}
}
