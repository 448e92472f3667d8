package actors

import (
	"context"
	"time"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// loginOp writes a login, whatever record was there before. The earlier session lives on until the store has the new one.
type loginOp struct {
	waiters
	record
}

// login queues a login. It is refused while the session starts again after a panic: which incarnation the
// store has is not known then, and the user can sign in once more.
func (c *core) login(m *messages.ReplaceSession) {
	if c.life == failed {
		m.Refuse(session.ErrInternal)
		return
	}
	c.enqueue(&loginOp{waiters: waiters{calls: calls(m.Call)}, record: record{incarnation: m.Incarnation, state: m.State}})
}

func (o *loginOp) stamp(v session.Version)  { o.version = v }
func (o *loginOp) written() session.Version { return o.version }

func (*loginOp) start(*core, time.Time) bool { return true }

func (o *loginOp) askStore(ctx context.Context, s *storeCall, _ *opDone) error {
	r, err := s.encode(o.record)
	if err != nil {
		return err
	}
	return s.env.Store.Replace(ctx, s.key, r, s.options)
}

// A login whose write failed may be in the store all the same. Then its callers are told of the failure, and the next of
// them would find the user signed in. So the record is read until the store answers.
func (o *loginOp) done(c *core, m *opDone, _ time.Time) {
	if m.err == nil {
		c.replaced(o.record)
	} else if c.life != unknown {
		// It may have happened all the same: see whose record that is now.
		c.enqueue(&readOp{why: loginUncertain, generation: c.generation})
	}
	for _, call := range o.calls {
		c.do(endCall{call, m.err})
	}
	o.calls = nil
}

// replaced starts the generation of a login that has taken the session's place.
//
// A deletion that was tried before is dropped: it may have taken effect late, or not at all, and what it was about has
// been overwritten. One that was never tried stays, for it came after the login was ordered.
func (c *core) replaced(r record) {
	switch a := c.request; c.life {
	case live:
		c.sayEnded(c.state, session.ReasonReplaced)
		c.answerAll(c.state, c.generation, session.ReasonReplaced)
	case expiring:
		c.completeFlight(a.flight, c.overFor(a.flight, session.ReasonReplaced))
	case unknown, ended, released, failed:
	}
	// A record that was to be deleted before is overwritten.
	c.backlog = nil
	rest := c.ops[:0]
	for _, o := range c.ops {
		if d, ok := o.(*deleteOp); !ok || d.attempts == 0 {
			rest = append(rest, o)
		}
	}
	clear(c.ops[len(rest):])
	c.ops = rest
	c.began(r)
}

// began starts a new generation, of which the store has the record r: after a login here, and after one elsewhere that a read has found.
func (c *core) began(r record) { c.start(r, r.state) }

// start is began for a state s that may be newer than the record.
//
// All that was remembered of the generation before is reset here and nowhere else: failures in a row, the wait for a lease, the
// provider's request to wait. They were another login's.
func (c *core) start(r record, s *session.State) {
	c.generation++
	c.life, c.incarnation = live, r.incarnation
	c.state, c.saved, c.version, c.tried = s, r.state, r.version, nil
	c.failures, c.ending, c.throttle, c.demanded = 0, nil, throttle{}, session.Demanded{}
	c.leaseMayBeFree()
	c.publish(s)
	c.do(setUnsaved(c.unsaved()))
	c.do(tell{&messages.SessionBegan{Generation: c.generation, Ceiling: s.Internal.Ceiling}})
}
