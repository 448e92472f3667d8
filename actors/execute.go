package actors

import (
	"context"
	"fmt"
	"math"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// carryOut does what the core said, in order. Nothing here waits: what takes time goes to the
// Runner and comes back as a message.
func (a *Session) carryOut(effects []effect) {
	a.todo = effects
	for len(a.todo) > 0 {
		e := a.todo[0]
		a.todo = a.todo[1:]
		switch e := e.(type) {
		case publish:
			a.entry.Publish(e.snapshot)
		case land:
			a.entry.Land(e.flight, e.answer)
		case askSlot:
			a.env.Runner.Slot(func(err error) { a.send(&slotGranted{err: err}) })
			a.box.air = true // only now is there something that will come back
		case dropSlot:
			a.dropSlot()
		case spend:
			a.spend(e)
			a.box.air, a.box.slot = true, false
		case revoke:
			a.revoke(e)
		case runWrite:
			a.run(e.write)
			a.box.busy = true
		case retryIn:
			a.retryIn(e.wait)
		case setUnsaved:
			a.setUnsaved(messages.Unsaved(e))
		case tell:
			a.tell(e.message)
		case endCall:
			e.call.End(e.err)
		case report:
			a.report(e)
		}
	}
	a.todo = nil // lets go of what it held
}

// dropSlot gives back the slot that has come, if there is one.
func (a *Session) dropSlot() {
	if a.box.slot {
		a.box.slot = false
		a.env.Runner.Release()
	}
}

func (a *Session) send(m any) { a.env.Send(a.self, m) }

// tell reports to the supervisor; the session's key is filled in here.
func (a *Session) tell(m any) {
	key := a.entry.Key
	switch m := m.(type) {
	case *messages.AtRest:
		m.Key = key
	case *messages.Busy:
		m.Key = key
	case *messages.SessionBegan:
		m.Key = key
	case *messages.SessionEnded:
		m.Key = key
	case *messages.SessionFailed:
		m.Key = key
	}
	a.env.Send(a.boss, m)
}

func (a *Session) setUnsaved(u messages.Unsaved) {
	was := a.entry.SetUnsaved(u)
	if u == messages.Failing && was != messages.Failing {
		a.env.Tally.Failing.Add(1)
	}
	if u != messages.Failing && was == messages.Failing {
		a.env.Tally.Failing.Add(-1)
	}
}

func (a *Session) report(e report) {
	a.env.Tally.SaveErrors.Add(1)
	a.env.Log.Warn(e.what+"; it is tried again", zap.Stringer("session", a.entry.Key), zap.Error(e.err))
	if f := a.env.OnSaveError; f != nil {
		key := a.entry.Key
		a.env.Runner.Run(messages.StoreWork, func(context.Context) any { return Contain(func() error { f(key, e.err); return nil }) }, func(any) {})
	}
}

func (a *Session) retryIn(d time.Duration) {
	// Up to a quarter more, so that sessions that failed together don't retry together.
	var b [1]byte
	_, _ = a.env.Rand.Read(b[:])
	d += d / 4 * time.Duration(b[0]) / 256
	if a.timer != nil {
		a.timer.Stop()
	}
	a.timer = a.env.Clock.AfterFunc(d, func() { a.send(&retryDue{}) })
}

// spend sends the request. Its context is the session's, not a caller's, and its
// deadline counts from here.
func (a *Session) spend(e spend) {
	env := a.env
	env.Tally.Requests.Add(1)
	env.Runner.Run(messages.ProviderWork, func(ctx context.Context) any {
		ctx, cancel := clock.WithTimeout(ctx, env.Clock, env.FlightTimeout)
		defer cancel()
		m := &flightLanded{}
		m.err = Contain(func() (err error) {
			if k := e.question.Key; k.ForConnection() {
				m.response, err = env.Provider.ExchangeConnection(ctx, idp.ConnectionExchange{
					Issuer: e.domain, RefreshToken: e.token, Connection: k.Connection, LoginHint: k.LoginHint,
				})
				return err
			}
			m.response, err = env.Provider.Refresh(ctx, idp.RefreshRequest{
				Issuer: e.domain, RefreshToken: e.token, Audience: e.question.Audience, Scope: e.question.Scope,
			})
			return err
		})
		return m
	}, func(m any) {
		env.Runner.Release()
		a.send(m)
	})
}

// revoked says that a revocation is over, well or badly.
type revoked struct{ messages.Redacted }

// revoke makes a refresh token useless. It takes a slot like every request.
func (a *Session) revoke(e revoke) {
	env, self, key := a.env, a.self, a.entry.Key
	over := func(err error) {
		if err != nil {
			env.Log.Warn("the refresh token of a session that was logged out could not be revoked", zap.Stringer("session", key), zap.Error(err))
		}
		env.Send(self, &revoked{})
	}
	env.Runner.Slot(func(err error) {
		if err != nil {
			over(err)
			return
		}
		env.Runner.Run(messages.ProviderWork, func(ctx context.Context) any {
			ctx, cancel := clock.WithTimeout(ctx, env.Clock, env.FlightTimeout)
			defer cancel()
			return Contain(func() error { return env.Revoke(ctx, e.domain, e.token) })
		}, func(failure any) {
			env.Runner.Release()
			err, _ := failure.(error)
			over(err)
		})
	})
}

// run does one piece of store work.
func (a *Session) run(w *write) {
	env, key := a.env, a.entry.Key
	m := &written{version: session.NewVersion(env.Rand)}
	var call *messages.Call
	if w.kind != reread { // whose failure would be the session's, not the caller's
		call = lender(w.calls)
	}
	kind, state, prev, in := w.kind, w.state, w.prev, w.incarnation
	only, why := w.only, w.why
	values := store.Options{Background: true}
	if w.flight != nil {
		values = w.flight.Options
	}
	env.Runner.Run(messages.StoreWork, func(base context.Context) any {
		ctx, o := base, values
		if call != nil {
			var detach func()
			ctx, o, detach = lent(base, call)
			defer detach()
		}
		ctx, cancel := clock.WithTimeout(ctx, env.Clock, env.StoreTimeout)
		defer cancel()
		m.err = Contain(func() (err error) {
			switch kind {
			case erase:
				return env.Store.Delete(ctx, key, only, why, o)
			case reread, reopen:
				m.state, m.version, m.incarnation, err = env.load(ctx, key, o)
				return err
			case save, replace:
			}
			r, err := env.Codec.Encode(key, state, m.version, in)
			if err != nil {
				return err
			}
			now := env.Clock.Now()
			r.TTL = store.TTL(now, r.Ceiling, env.Life(state, now))
			if kind == replace {
				return env.Store.Replace(ctx, key, r, o)
			}
			return env.Store.Update(ctx, key, prev, r, o)
		})
		return m
	}, a.send)
}

// Life returns how long the record of s is needed unless somebody asks for it again; 0
// is for ever.
func (env *Env) Life(s *session.State, now time.Time) time.Duration {
	if s.Internal.EndsAt == 0 {
		return 0
	}
	life := time.Duration(min(max(1, s.Internal.EndsAt-now.Unix()), math.MaxInt32)) * time.Second
	if env.Inactivity > 0 {
		life = min(life, env.Inactivity)
	}
	return life
}

// SafeLoad reads and opens a session's record. A panic of the store is an error.
func (env *Env) SafeLoad(ctx context.Context, key session.Key, o store.Options) (s *session.State, v session.Version, in session.Incarnation, err error) {
	err = Contain(func() error {
		s, v, in, err = env.load(ctx, key, o)
		return err
	})
	return s, v, in, err
}

func (env *Env) load(ctx context.Context, key session.Key, o store.Options) (*session.State, session.Version, session.Incarnation, error) {
	r, err := env.Store.Load(ctx, key, o)
	if err != nil {
		return nil, session.Version{}, session.Incarnation{}, err
	}
	s, err := env.Codec.Decode(key, r)
	return s, r.Version, r.Incarnation, err
}

// lender returns the first caller who still waits.
func lender(calls []*messages.Call) *messages.Call {
	for _, c := range calls {
		if !c.Left() {
			return c
		}
	}
	return nil
}

// lent returns what the caller lends, ended too when the client stops.
func lent(base context.Context, call *messages.Call) (context.Context, store.Options, func()) {
	ctx, o := call.Begin()
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(base, func() { cancel(context.Cause(base)) })
	return ctx, o, func() {
		stop()
		cancel(nil)
	}
}

// Contain turns a panic of a store or a transport into an error.
func Contain(work func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: a panic (%T) in a store or transport", session.ErrInternal, r)
		}
	}()
	return work()
}
