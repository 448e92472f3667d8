package actors

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// errand is one piece of store work on its way, with copies of all it needs.
type errand struct {
	env     *Env
	key     session.Key
	encoder *store.Encoder

	kind        writeKind
	state       *session.State
	prev        session.Version
	incarnation session.Incarnation
	only        session.Incarnation
	why         session.Reason
	intent      *store.Intent
	epoch       int64
	take        bool

	call    *directory.Call // who lends a context, nil: nobody
	options store.Options   // where nobody does

	done written // what comes back

	over  atomic.Bool // it has come back, or the session waits for it no longer
	after error       // then, what the call is told once it comes back
}

// run does one piece of store work.
func (a *Session) run(w *write) {
	e := &errand{
		env: a.env, key: a.entry.Key, encoder: &a.encoder,
		kind: w.kind, state: w.state, prev: w.prev, incarnation: w.incarnation, only: w.only, why: w.why, intent: w.intent,
		epoch: w.epoch, take: w.take, options: store.Options{Background: true},
	}
	e.done.kind = w.kind
	e.done.version = session.NewVersion(a.env.Rand)
	w.version = e.done.version
	if w.kind != reread { // whose failure would be the session's, not the caller's
		e.call = lender(w.calls)
	}
	if w.flight != nil {
		e.options = w.flight.Options
	}
	a.running = e
	a.do(StoreWork, e.perform, func(m any) {
		a.send(m)
		if e.over.Swap(true) {
			e.call.End(e.after)
		}
	})
}

// release tells whoever waits for w that nothing more comes of it. What a caller has lent to an
// errand stays in use until that comes back.
func (a *Session) release(w *write, err error) {
	for _, call := range w.calls {
		if e := a.running; e != nil && call == e.call {
			e.after = err
			if !call.Abandon() && !e.over.Swap(true) {
				continue
			}
		}
		call.End(err)
	}
	w.calls = nil
}

func (e *errand) perform(base context.Context) any {
	m, ctx := &e.done, base
	if e.call != nil {
		var detach func()
		ctx, e.options, detach = lent(base, e.call)
		defer detach()
	}
	ctx, cancel := clock.WithTimeout(ctx, e.env.Clock, e.env.StoreTimeout)
	defer cancel()
	m.reading, m.at = e.env.Fresh.Reading(e.env.Clock.Mono()), e.env.Clock.Now()
	m.err = Contain(func() error { return e.askStore(ctx, m) })
	e.env.Answered(m.err)
	if e.kind == erase && m.err != nil && e.call != nil && e.call.Over() {
		m.left = e.call
	}
	return m
}

func (e *errand) askStore(ctx context.Context, m *written) (err error) {
	env, o := e.env, e.options
	switch e.kind {
	case erase:
		return env.Store.Delete(ctx, e.key, e.only, e.why, o)
	case claim:
		if m.epoch, err = e.takeLease(ctx); err != nil {
			return err
		}
		m.state, m.version, m.incarnation, err = env.load(ctx, e.key, o)
		return err
	case reread, reopen:
		m.unsettled = env.Fresh.MayRecover(env.Clock.Mono())
		m.state, m.version, m.incarnation, err = env.load(ctx, e.key, o)
		return err
	case intend:
		m.again, err = env.Intents.PutIntent(ctx, e.key, *e.intent, o)
		m.unsettled = env.Fresh.MayRecover(env.Clock.Mono())
		return err
	case release:
		if e.intent != nil {
			err = env.Intents.ClearIntent(ctx, e.key, *e.intent, o)
		}
		if e.epoch != 0 {
			err = errors.Join(err, env.Leaser.Release(ctx, e.key, env.Owner, e.epoch, o))
		}
		return err
	case save, replace:
	}
	if e.take {
		if m.epoch, err = e.takeLease(ctx); err != nil {
			return err
		}
		e.epoch = m.epoch
	}
	r, err := e.encoder.Encode(env.Codec, e.key, e.state, m.version, e.incarnation)
	if err != nil {
		return err
	}
	r.Epoch = e.epoch
	now := env.Clock.Now()
	r.TTL = store.TTL(now, r.Ceiling, env.Life(e.state, now))
	if e.kind == replace {
		return env.Store.Replace(ctx, e.key, r, o)
	}
	return env.Store.Update(ctx, e.key, e.prev, r, o)
}

func (e *errand) takeLease(ctx context.Context) (epoch int64, err error) {
	return e.env.Leaser.Lease(ctx, e.key, e.env.Owner, e.env.LeaseTTL, e.options)
}

// lender returns the first caller who still waits.
func lender(calls []*directory.Call) *directory.Call {
	for _, c := range calls {
		if !c.Abandoned() {
			return c
		}
	}
	return nil
}

// lent returns what the caller lends, ended too when the client stops.
func lent(base context.Context, call *directory.Call) (context.Context, store.Options, func()) {
	ctx, o := call.Begin()
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(base, func() { cancel(context.Cause(base)) })
	return ctx, o, func() {
		stop()
		cancel(nil)
	}
}
