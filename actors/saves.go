package actors

import (
	"errors"
	"slices"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// retryDue says that a failed write may be tried again.
type retryDue struct{ messages.Redacted }

// save queues a save of the state as it will be when its turn has come.
func (c *core) save(w *write) {
	w.kind, w.generation = save, c.generation
	c.lane = append(c.lane, w)
}

// unsaved says how far the store is behind. What a request in the air brings may be a new
// refresh token.
func (c *core) unsaved() directory.Unsaved {
	if c.state != c.saved || c.air != nil && c.air.sent && c.current(c.air) && !c.air.lasting {
		return directory.Saving
	}
	return directory.Saved
}

// saving reports whether a save is on its way. One that was refused counts until the record was
// read again, for that decides how it goes on: one more beside it would be refused as well.
func (c *core) saving() bool {
	return slices.ContainsFunc(c.lane, func(w *write) bool {
		return (w.kind == save || w.kind == reread && w.state != nil) && w.generation == c.generation
	})
}

// saveDone takes the answer to a save.
func (c *core) saveDone(w *write, m *written) {
	if m.epoch != 0 {
		c.hold(m.epoch, m.at)
	}
	if c.recovery != nil {
		c.recovery.cleared = true
	}
	if w.generation != c.generation || c.phase != directory.Ready {
		return
	}
	switch {
	case m.err == nil:
		c.stored(w, m.version)
		if w.flight != nil {
			c.land(w.flight, w.answer)
		}
	case errors.Is(m.err, store.ErrConflict), errors.Is(m.err, store.ErrNotFound):
		c.doubt(w, m)
		again := *w
		again.kind = reread
		c.lane = slices.Insert(c.lane, 0, &again)
	default:
		c.doubt(w, m)
		c.saveFailed(w, m.err)
	}
}

// doubt notes that the write may have happened.
func (c *core) doubt(w *write, m *written) {
	c.tried = append(c.tried, attempt{m.version, w.state})
	if len(c.tried) > 64 {
		c.tried = c.tried[1:]
	}
}

// stored notes that the store holds what w wrote.
func (c *core) stored(w *write, v session.Version) {
	c.saved, c.version, c.tried = w.state, v, nil
	c.lease.intent = nil // the update has cleared it
	if c.attempts > 0 || c.state == c.saved {
		c.attempts = 0
		c.do(setUnsaved(c.unsaved()))
	}
	c.publish(w.state, w.serial)
}

// saveFailed keeps what could not be saved, hands out what was won all the same, so far
// as the store was asked to keep it, and tries again later.
func (c *core) saveFailed(w *write, err error) {
	c.do(setUnsaved(directory.SaveFailing))
	if w.state != nil {
		c.publish(w.state, w.serial)
	}
	if w.flight != nil {
		c.do(report{"the session could not be saved", err})
		c.land(w.flight, w.answer)
	}
	switch {
	case !w.gate || c.state.RefreshToken == c.saved.RefreshToken:
	case errors.Is(err, store.ErrLeased):
		c.waitForLease(c.nextPoll())
	default:
		for _, f := range c.queue {
			c.land(f, c.failure(f, session.CodeStoreError, err))
		}
		c.queue = nil
	}
	switch {
	case c.saving():
	case errors.Is(err, store.ErrLeased): // the store is well: another process is at the session, for a moment
		c.attempts++
		c.do(retryIn{c.nextPoll()})
	default:
		c.later()
	}
}

// later arms the one retry.
func (c *core) later() {
	wait := c.rules.RetryFirst << min(c.attempts, 20)
	if wait > c.rules.RetryMost || wait <= 0 {
		wait = c.rules.RetryMost
	}
	c.attempts++
	c.do(retryIn{wait})
}

// retry tries again what failed.
func (c *core) retry() {
	c.lane = append(c.lane, c.erasing...)
	c.erasing = nil
	if c.phase == directory.Ready && c.state != c.saved && !c.saving() {
		if a := c.air; a != nil && a.sent && c.rules.Intents {
			c.putOff = true // it would clear what is written down of the request
			return
		}
		c.save(&write{})
	}
}
