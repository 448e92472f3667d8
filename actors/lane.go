package actors

import (
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// write is one piece of store work. Each session's run one at a time, in order.
type write struct {
	kind       writeKind
	generation session.Generation

	// save, reread: who is answered, and what the provider said, to be merged again
	// should another writer have come between.
	flight   *directory.Flight
	answer   directory.Answer
	response *session.TokenResponse
	received time.Time // when, for a token's life counts from then
	spent    string
	gate     bool // the next flight waits for this save
	refused  bool // reread: the provider refused the spent token
	dead     bool // for good: it is dropped, unless another process has rotated it
	again    bool // it may have been spent before, in a request that was cut off
	told     bool // reread: the store told of a write, perhaps of another login
	doubt    bool // reread: whose record it is, is not known

	// replace: a login. save: filled in when it starts. reread: what a save before it tried.
	state       *session.State
	serial      uint64
	prev        session.Version
	incarnation session.Incarnation

	token string // reopen: the newest refresh token
	shown bool   // and whether it was shown already

	// intend, release: what is written down or cleared. save, release: the lease's epoch; a
	// save without the lease takes it first.
	intent *store.Intent
	epoch  int64
	take   bool
	tries  int // save: how often it was refused although nobody had written

	version session.Version // save, replace: what is written, once it runs

	// erase
	only  session.Incarnation
	why   session.Reason
	tried bool
	ends  []*ending // that settle once it was tried

	calls []*directory.Call
}

// ending is the end of a generation, until its deletion was tried.
type ending struct {
	settled chan struct{}
	tried   bool
}

func newEnding() *ending { return &ending{settled: make(chan struct{})} }

func (e *ending) settle() {
	if !e.tried {
		e.tried = true
		close(e.settled)
	}
}

// attempt is a write of a state that may have happened, as version.
type attempt struct {
	version session.Version
	state   *session.State
}

type writeKind uint8

const (
	save writeKind = iota
	replace
	erase
	reread
	reopen
	claim   // take the lease, read the record
	intend  // write down what is about to be spent
	release // clear that, give the lease back
)

// written says how a write went. A reread and a claim bring what the store holds.
type written struct {
	messages.Redacted
	err         error
	version     session.Version
	state       *session.State
	incarnation session.Incarnation
	epoch       int64 // of the lease, where it was taken
	again       bool  // an intent of the same token stood

	// intend, reread: how long the grace period lasts in which another process may have in hand, and still save,
	// what came of an intent
	unsettled time.Duration

	left *directory.Call // erase: it failed as the context ended that this caller had lent

	kind writeKind

	reading directory.Reading
	at      time.Time // of that
}

// erase queues a deletion, with which the end that is shown settles.
func (c *core) erase(w *write) {
	w.kind = erase
	if c.ending != nil {
		w.ends = append(w.ends, c.ending)
	}
	c.lane = append(c.lane, w)
}

// settle says that w was tried.
func (w *write) settle() {
	for _, e := range w.ends {
		e.settle()
	}
	w.ends = nil
}

// writeNext starts the next write.
func (c *core) writeNext(now time.Time) {
	for !c.laneBusy && len(c.lane) > 0 {
		w := c.lane[0]
		switch w.kind {
		case save, reread:
			if w.told { // whatever has become of the session here, the store may have something newer
				w.generation = c.generation
			}
			if w.generation != c.generation || c.phase != directory.Ready && (!w.told || c.phase != directory.Ended) {
				c.lane = pop(c.lane) // the session ended; whoever waited for a flight has been answered
				c.endCalls(w, c.starting())
				continue
			}
			if w.kind == save && c.state == c.saved {
				c.lane = pop(c.lane) // an earlier save took it along
				c.finishReread(w)
				continue
			}
			if w.kind == save {
				w.state, w.serial, w.prev, w.incarnation = c.state, c.serial, c.version, c.incarnation
				w.epoch, w.take = c.lease.epoch, c.rules.Leases && !c.lease.held
			}
		case claim, intend:
			if a := c.air; !c.current(a) || a.lasting && !c.rules.Leases {
				c.lane = pop(c.lane)
				c.goOn(a, now)
				continue
			}
		case erase:
			if c.phase == directory.Ready && (w.only.IsZero() || w.only == c.incarnation) {
				c.finishGeneration(w.why, now) // a login that came while the logout waited
				w.ends = append(w.ends, c.ending)
			}
		case reopen:
			if c.phase != directory.Opening {
				c.lane = pop(c.lane) // it was ended or replaced since
				continue
			}
		case replace, release:
		}
		c.laneBusy = true
		c.do(runWrite{w})
	}
}

// written takes the answer to the write that was running.
func (c *core) written(m *written, now time.Time) {
	w := c.lane[0]
	c.lane, c.laneBusy, c.done = pop(c.lane), false, w
	if m.err == nil && (w.kind == save || w.kind == replace) { // else it may still take effect
		copy(c.own[1:], c.own[:])
		c.own[0] = m.version
	}
	switch w.kind {
	case save:
		c.saveDone(w, m)
	case replace:
		c.replaceDone(w, m)
	case erase:
		c.eraseDone(w, m, now)
	case reread:
		c.rereadDone(w, m, now)
		c.landCovered(now)
		c.endCalls(w, m.err)
	case reopen:
		c.reopenDone(w, m, now)
	case claim:
		c.claimDone(w, m, now)
		c.landCovered(now)
	case intend:
		c.intendDone(w, m, now)
	case release: // what failed lapses by itself
	}
	c.done = nil
}

// starting returns why nothing is known of a session that starts again after a defect, else nil.
func (c *core) starting() error {
	again := func(w *write) bool { return w.kind == reopen }
	if c.phase == directory.Opening && (slices.ContainsFunc(c.lane, again) || slices.ContainsFunc(c.erasing, again)) {
		return session.ErrInternal
	}
	return nil
}

// endCalls answers whoever wanted the record to be read again. That there is none is no
// failure to read it.
func (c *core) endCalls(w *write, err error) {
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	for _, call := range w.calls {
		c.do(endCall{call, err})
	}
	w.calls = nil
}

// landCovered answers those in the queue whom what was read covers.
func (c *core) landCovered(now time.Time) {
	if c.phase != directory.Ready {
		return
	}
	c.queue = slices.DeleteFunc(c.queue, func(f *directory.Flight) bool {
		a, ok := c.fromCache(f, now)
		ok = ok && !c.recovers(f)
		if ok {
			c.land(f, a)
		}
		return ok
	})
}

// replaceDone takes the answer to a login's write. Until the store has it, the earlier
// session lives on; from then on it is over.
func (c *core) replaceDone(w *write, m *written) {
	if m.err != nil {
		for _, call := range w.calls {
			c.do(endCall{call, m.err})
		}
		if c.phase != directory.Opening {
			// It may have happened all the same: see whose record that is now.
			c.lane = append(c.lane, &write{kind: reread, generation: c.generation, told: true, doubt: true})
		}
		return
	}
	c.replaced(w.state, m.version, w.incarnation)
	for _, call := range w.calls {
		c.do(endCall{call, nil})
	}
}

// replaced starts the generation of a login that has taken the session's place.
func (c *core) replaced(s *session.State, v session.Version, in session.Incarnation) {
	if c.phase == directory.Ready {
		c.answerAll(c.state, c.generation, session.ReasonReplaced)
	} else if a := c.air; a != nil && a.lasting {
		a.lasting = false
		c.land(a.flight, c.over(a.flight, session.ReasonReplaced))
	}
	// What was to be deleted before is overwritten.
	c.erasing = nil
	c.lane = slices.DeleteFunc(c.lane, func(w *write) bool { return w.kind == erase && w.tried })
	c.begin(s, v, in)
}

// eraseDone takes the answer to a deletion. Callers are told after the first try; the
// deletion itself is tried until it succeeds.
func (c *core) eraseDone(w *write, m *written, now time.Time) {
	if m.left != nil { // that says nothing of the store
		w.calls = slices.DeleteFunc(w.calls, func(call *directory.Call) bool { return call == m.left })
		c.do(endCall{m.left, m.err})
		c.lane = slices.Insert(c.lane, 0, w)
		return
	}
	waiting := w.calls
	defer func() { // when Ready knows too
		for _, call := range waiting {
			c.do(endCall{call, m.err})
		}
	}()
	w.calls = nil
	w.settle()
	if m.err != nil {
		if !w.tried {
			c.do(report{"an ended session could not be deleted", m.err})
		}
		w.tried = true
		if c.phase == directory.Opening && c.incarnation.IsZero() { // nobody is kept waiting for longer
			c.presume(w.why, now)
			c.ending.settle()
		}
		c.erasing = append(c.erasing, w)
		if c.phase == directory.Ended {
			c.do(setUnsaved(directory.SaveFailing))
		}
		c.later()
		return
	}
	more := slices.ContainsFunc(c.lane, func(w *write) bool { return w.kind == erase })
	if c.phase == directory.Ended && len(c.erasing) == 0 && !more {
		c.attempts = 0
		c.do(setUnsaved(directory.Saved))
	}
}
