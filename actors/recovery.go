package actors

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// blackBox is what survives a defect in the core: above all the newest refresh
// token until the store has it, and what is out there and will come back.
type blackBox struct {
	generation  session.Generation
	incarnation session.Incarnation
	alive       bool           // the session had not ended
	reason      session.Reason // why it had
	token       string         // the newest refresh token
	kept        string         // the one that the store is known to hold
	handled     uint64
	closing     bool

	air   bool   // a slot was asked for or a request sent, and has not come back
	slot  bool   // a slot is held, and its request not sent yet
	ours  bool   // what comes back belongs to the session as it is
	busy  bool   // store work is running
	lane  *write // that, or what ran when the core failed
	erase []*write

	recover bool // the supervisor said so
}

// note takes from m what must not be lost, before anything is judged.
func (b *blackBox) note(m any) {
	switch m := m.(type) {
	case *flightLanded:
		b.air = false
		if m.response.RefreshToken != "" && b.alive && b.ours {
			b.token = m.response.RefreshToken
		}
	case *slotGranted:
		b.air, b.slot = false, m.err == nil
	case *written:
		b.busy = false
	}
}

// remember takes over what the core knows after a message that it handled.
func (b *blackBox) remember(c *core) {
	b.generation, b.incarnation, b.handled, b.closing = c.generation, c.incarnation, c.handled, c.closing
	if c.phase == directory.Opening {
		return // it is not known yet
	}
	b.alive, b.reason = c.phase == directory.Ready, c.reason
	b.ours = c.air != nil && c.air.generation == c.generation && !c.air.lasting && !c.theirs(c.air)
	b.token, b.kept = "", ""
	if b.alive {
		b.token, b.kept = c.state.RefreshToken, c.saved.RefreshToken
	}
}

// fail ends m, and everyone who waits, after a panic. Its value is not printed, for
// it may hold anything.
func (a *Session) fail(m, reason any) {
	a.env.Stats.Failures.Add(1)
	a.env.Log.Error("a defect in a session was contained", zap.Stringer("session", a.entry.Key),
		zap.String("panic", fmt.Sprintf("%T", reason)), zap.String("message", fmt.Sprintf("%T", m)), zap.Stack("stack"))
	c := a.core
	a.core = nil
	todo := a.todo // that the core believes done
	if c != nil {
		todo = slices.Concat(todo, c.out)
	}
	for _, e := range todo {
		if e, ok := e.(endCall); ok {
			e.call.End(session.ErrInternal)
		}
	}
	a.todo = nil
	if c != nil {
		all := slices.Concat(c.erasing, c.lane)
		if c.laneBusy {
			a.box.lane = c.lane[0]
		}
		if done, ok := m.(*written); ok && c.done != nil {
			all = append([]*write{c.done}, all...)
			defer a.box.written(c.done, done)
		}
		for _, w := range all {
			if w.kind == erase {
				a.owe(w)
			}
			a.release(w, session.ErrInternal)
		}
		a.box.closing = a.box.closing || c.closing
	}
	switch m := m.(type) {
	case *messages.EndSession:
		a.endWhileFailed(m)
	case *messages.Finish:
		a.box.closing = true
	case messages.Awaited:
		m.Refuse(session.ErrInternal)
	}
	a.dropSlot()
	a.entry.Outdate() // what is told until it starts again is not heard
	for _, f := range a.entry.Flights() {
		a.entry.Complete(f, internal(f))
	}
	if a.entry.Snapshot().Phase == directory.Opening {
		a.entry.Publish(directory.NewSnapshot(directory.Failed, directory.Outcome{Err: session.ErrInternal}))
	}
	a.tell(&messages.SessionFailed{})
}

// dropSlot gives the slot back that is held for a request that will not be sent.
func (a *Session) dropSlot() {
	if a.box.slot {
		a.box.slot = false
		a.env.Runner.Release()
	}
}

func internal(f *directory.Flight) directory.Answer {
	if q := f.Query; q != nil && q.Key.ForConnection() {
		return directory.Answer{Err: &session.ConnectionTokenError{Code: session.CodeInternalError}}
	}
	return directory.Answer{Err: &session.AccessTokenError{Code: session.CodeInternalError}}
}

// written takes what has come of w, which began before the core failed. A deletion that has happened
// is not done again: somebody may have signed in since.
func (b *blackBox) written(w *write, m *written) {
	if w == nil || w.kind != erase || m.err != nil {
		return
	}
	b.erase = slices.DeleteFunc(b.erase, func(have *write) bool { return have == w })
	w.settle()
}

// owe notes a deletion that is to be done when the session starts again.
func (a *Session) owe(w *write) {
	if !slices.Contains(a.box.erase, w) {
		a.box.erase = append(a.box.erase, w)
	}
	a.setUnsaved(directory.Saving)
}

// endWhileFailed ends the session for everyone who looks, at once; its record is deleted
// when it starts again.
func (a *Session) endWhileFailed(m *messages.EndSession) {
	b := &a.box
	a.owe(&write{kind: erase, only: m.Only, why: m.Why})
	if m.Only.IsZero() || m.Only == b.incarnation {
		b.alive, b.reason = false, m.Why
		a.entry.Publish(directory.NewEnded(b.generation, b.incarnation, &session.State{}, directory.Outcome{Reason: m.Why}))
	}
	m.Call.End(session.ErrInternal)
}

// whileFailed answers until the supervisor lets the session start again, and what
// is out there has come back.
func (a *Session) whileFailed(m any) {
	switch m := m.(type) {
	case *messages.NeedToken:
		a.entry.Complete(m.Flight, internal(m.Flight))
	case *messages.EndSession:
		a.box.handled++
		a.endWhileFailed(m)
	case *messages.ReplaceSession:
		a.box.handled++
		m.Call.End(session.ErrInternal)
	case *messages.CeilingReached:
		a.box.handled++
		m.Call.End(nil)
	case *messages.Reread:
		a.box.handled++
		m.Call.End(session.ErrInternal) // it is read when it starts again
	case *messages.Passivate:
		a.box.handled++
		a.tell(&messages.Busy{})
	case *messages.Finish:
		a.box.handled++
		a.box.closing, a.box.recover = true, true
	case *messages.Recover:
		a.box.recover = true
	case *messages.RecoverIntent:
		a.box.handled++
	case *slotGranted:
		a.dropSlot()
	case *written:
		a.box.written(a.box.lane, m)
		a.box.lane = nil
	}
	if a.box.recover && !a.box.air && !a.box.busy {
		a.revive()
	}
}

// revive starts a new core: it finishes what was to be deleted, or reads the
// session again and puts the newest refresh token on top.
func (a *Session) revive() {
	b := &a.box
	c := newCore(&a.env.Rules)
	c.generation, c.incarnation, c.handled, c.closing = b.generation, b.incarnation, b.handled, b.closing
	c.state = &session.State{}
	c.saved = c.state
	now := a.env.Clock.Now()
	if b.alive && !slices.ContainsFunc(b.erase, func(w *write) bool { return w.only.IsZero() || w.only == b.incarnation }) {
		c.lane = append(c.lane, &write{kind: reopen, spent: b.kept, token: b.token, shown: a.shows(b.token)})
	} else {
		c.generation++
		c.phase, c.reason = directory.Ended, cmp.Or(b.reason, session.ReasonLogout)
		c.do(setUnsaved(directory.Saved))
		if len(b.erase) > 0 {
			c.ending = newEnding()
			c.do(setUnsaved(directory.Saving))
		}
	}
	for _, w := range b.erase {
		c.reason = w.why
		c.erase(w)
	}
	if c.phase == directory.Ended {
		c.showEnd(now)
	}
	b.erase, b.recover = nil, false
	a.core = c
	c.proceed(now)
	a.carryOut(c.out)
}

// shows reports whether the session is shown with that refresh token, which is then not taken
// back.
func (a *Session) shows(token string) bool {
	s := a.entry.Snapshot()
	return s.Phase == directory.Ready && s.State().RefreshToken == token
}

// reopenDone takes the session as the store holds it after a defect.
func (c *core) reopenDone(w *write, m *written, now time.Time) {
	switch {
	case c.phase != directory.Opening:
		// It was ended or replaced since.
	case m.err == nil:
		newest := m.state
		if t := m.state.RefreshToken; w.token != w.spent && m.incarnation == c.incarnation && (t == w.spent || t == "") {
			newest = newest.WithRefreshToken(w.token)
		}
		if w.shown {
			c.start(newest, m.state, m.version, m.incarnation)
		} else {
			c.begin(m.state, m.version, m.incarnation)
			c.change(newest)
		}
		if newest != m.state {
			c.save(&write{})
		}
	case errors.Is(m.err, store.ErrNotFound):
		c.generation++
		c.phase, c.reason = directory.Ended, session.ReasonLogout
		var gone *store.GoneError
		if errors.As(m.err, &gone) {
			c.reason = gone.Reason
		}
		c.do(setUnsaved(directory.Saved))
		c.showEnd(now)
	default:
		c.erasing = append(c.erasing, w) // tried again like a deletion
		c.later()
	}
}
