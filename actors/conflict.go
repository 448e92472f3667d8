package actors

import (
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// rereadDone decides, once the record was read again, what a conflict, a refused
// refresh token or a login in doubt means.
func (c *core) rereadDone(w *write, m *written, now time.Time) {
	if c.phase == directory.Ended && (w.told || m.err == nil) { // whoever had it read
		c.begunElsewhere(m, now)
		return
	}
	if w.generation != c.generation || c.phase != directory.Ready {
		return
	}
	c.readWhileDenied(m)
	if w.told {
		c.unsure = m.err != nil && !errors.Is(m.err, store.ErrNotFound) // if it ends now, it may have begun elsewhere
	}
	var gone *store.GoneError
	switch {
	case errors.As(m.err, &gone) && gone.Reason == session.ReasonCeiling && !c.state.Internal.Ceiling.Reached(now.Add(session.CeilingLeeway)):
		// Not its own ceiling, however much the clocks differ: another login took the
		// session's place meanwhile, and has reached its. So nothing of this one stays.
		c.lost(w, session.ReasonReplaced, now)
	case errors.As(m.err, &gone):
		c.lost(w, gone.Reason, now)
	case errors.Is(m.err, store.ErrNotFound):
		c.lost(w, session.ReasonLogout, now)
	case m.err != nil && w.doubt:
		c.erasing = append(c.erasing, w) // tried again like a deletion
		c.later()
	case m.err != nil:
		if w.again {
			c.lease.intent = nil // it stands, for nobody has decided what the refusal means
		}
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
			c.land(w.flight, c.over(w.flight, session.ReasonReplaced))
		}
		c.begin(m.state, m.version, m.incarnation)
	case m.version == c.version && w.refused && c.state.RefreshToken != w.spent:
		c.requeue(w) // theirs came while this one was in the air
	case m.version == c.version:
		// Nobody else wrote: a refusal stands, and a write is still to be done. If it was
		// refused all the same, the lease had lapsed and was taken since: here, or by
		// another process.
		if c.dropRefreshToken(w, now) {
			return
		}
		if w.state != nil && c.state != c.saved {
			c.lease.held = false // so the next save takes it, and no renewal begins meanwhile
		}
		if c.nothingToSay(w) {
			c.finishReread(w)
			return
		}
		c.lease.held = false
		if w.tries < triesUnderLease {
			next := again(w)
			next.tries = w.tries + 1
			c.save(next)
			return
		}
		c.saveFailed(w, store.ErrConflict)
	default:
		if i := slices.IndexFunc(c.tried, func(a attempt) bool { return a.version == m.version }); i >= 0 {
			// The write that was in doubt had happened; more may have been learnt since.
			c.saved, c.version, c.tried = c.tried[i].state, m.version, nil
			c.saveRest(w, now)
			return
		}
		c.merge(w, m, now)
	}
}

// triesUnderLease is how often a save is tried again that was refused although nobody had
// written. Nothing is wrong with the store then, so nobody is told before it has what was
// won. A renewal that is on its way can refuse one more try, and not two.
const triesUnderLease = 2

// nothingToSay reports whether a re-read that brought nothing is no failure to save: there
// is nothing to be saved, or that is still to be tried.
func (c *core) nothingToSay(w *write) bool {
	return w.kind == claim || w.refused || c.state == c.saved || w.flight == nil && c.saving()
}

// dropRefreshToken gives a refresh token up that the provider refused for good, or ends the
// session where the rules say so, and reports whether it did: the session may have another one
// by now. The user and the tokens that have not expired stay. A token that may have been spent
// in a request that was cut off counts as lost.
func (c *core) dropRefreshToken(w *write, now time.Time) bool {
	if !w.dead || c.state.RefreshToken != w.spent {
		return false
	}
	if w.again {
		c.do(lost{w.answer.Err})
	}
	if c.rules.EndOnDead {
		c.end(session.ReasonRevoked, nil, now)
		c.land(w.flight, w.answer)
		return true
	}
	next := c.state.Clone()
	next.RefreshToken = ""
	c.change(next)
	c.save(&write{flight: w.flight, answer: w.answer, spent: w.spent})
	return true
}

// saveRest writes what the store, as it was read again, lacks, or ends w where that is
// nothing. That somebody else wrote takes nothing from a refusal of the same token.
func (c *core) saveRest(w *write, now time.Time) {
	if c.dropRefreshToken(w, now) {
		return
	}
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
func (c *core) merge(w *write, m *written, now time.Time) {
	spent, mine := w.spent, ""
	if spent == "" {
		spent = c.saved.RefreshToken
	}
	given := c.state.RefreshToken == "" && c.saved.RefreshToken != "" // up, and that is not saved yet
	if c.state.RefreshToken != c.saved.RefreshToken {
		mine = c.state.RefreshToken
	}
	c.saved, c.version, c.tried = m.state, m.version, nil
	next := m.state
	if m.state.RefreshToken == spent || m.state.RefreshToken == "" && mine != "" {
		// They wrote, but spent no refresh token, or gave it up, for it was refused to them:
		// ours goes on top of theirs, and with it whatever else waits to be saved.
		next = c.reapply(w, next)
		for _, later := range c.lane {
			next = c.reapply(later, next)
		}
		next = next.WithRefreshToken(mine)
		if given && next.RefreshToken == spent {
			next = next.Clone()
			next.RefreshToken = ""
		}
		c.change(next)
		c.saveRest(w, now)
		return
	}
	// They spent it too: theirs stays. Whoever waits looks in their cache, else asks again,
	// and so do those whose answers were still to be saved.
	c.change(next)
	c.publish(c.state, c.serial)
	c.do(setUnsaved(c.unsaved()))
	for _, later := range slices.Backward(c.lane) {
		if later.kind == save && later.generation == c.generation {
			c.requeue(later)
			later.flight = nil
		}
	}
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

// reapply updates base by the response that w brought, if it brought one and was not answered
// for another reason meanwhile.
func (c *core) reapply(w *write, base *session.State) *session.State {
	if w.flight == nil || w.response == nil || w.answer.Err != nil || w.refused {
		return base
	}
	var next *session.State
	if w.flight.Query.Key.ForConnection() {
		next, _, _ = base.ApplyConnection(w.flight.Query.Key, *w.response, w.received, c.rules.applyOptions())
	} else {
		next, _, _ = base.ApplyRefresh(w.flight.Query, *w.response, w.received, c.rules.applyOptions())
	}
	return next
}

// lost ends a session whose record is gone; there is nothing left to delete.
func (c *core) lost(w *write, why session.Reason, now time.Time) {
	c.finishGeneration(why, now)
	if w.flight != nil {
		c.land(w.flight, c.overtaken(w, why))
	}
	c.ending.settle()
	c.do(setUnsaved(directory.Saved))
}

// begunElsewhere takes what is in the store of a session that has ended here: somebody may
// have signed in under its id since, in another process.
func (c *core) begunElsewhere(m *written, now time.Time) {
	switch {
	case errors.Is(m.err, store.ErrNotFound):
	case m.err != nil:
		c.unsure = true // so the end is not remembered
		c.showEnd(now)
	case m.incarnation == c.incarnation, slices.ContainsFunc(append(c.erasing, c.lane...), func(w *write) bool {
		return w.kind == erase && (w.only.IsZero() || w.only == m.incarnation)
	}):
		// still to be deleted
	default:
		c.replaced(m.state, m.version, m.incarnation)
	}
}

func (c *core) finishReread(w *write) {
	if w.flight != nil {
		c.land(w.flight, w.answer)
	}
}

// again returns w as a save that is still to be done.
func again(w *write) *write {
	return &write{flight: w.flight, answer: w.answer, response: w.response, received: w.received, spent: w.spent, gate: w.gate}
}
