package actors

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/telemetry"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// carryOut does what the core said, in order. Nothing here waits: what takes time goes to the
// Runner and comes back as a message.
func (a *Session) carryOut(effects []effect) {
	for i, e := range effects {
		effects[i] = nil // begun: a panic must not repeat it, and the list keeps nothing alive
		if !a.carryOutNow(e) {
			a.carryOutWork(e)
		}
	}
}

// carryOutNow carries out an effect that others hear of at once, and reports whether e is one.
//
// Callers run beside the turn, so they may see the session between any two effects. The core has put them in an order in which that does
// no harm. Example: publish comes before completeFlight, so a caller who is released and asks again finds the token in the snapshot.
func (a *Session) carryOutNow(e effect) bool {
	switch e := e.(type) {
	case publish:
		a.entry.Publish(e.snapshot)
	case completeFlight:
		a.entry.Complete(e.flight, e.answer)
	case setUnsaved:
		a.setUnsaved(directory.Unsaved(e))
	case tell:
		a.tell(e.message)
	case endCall:
		e.call.End(e.err)
	case tellHost:
		e.event.Key = a.entry.Key
		a.env.Hooks.Tell(e.event)
	case report:
		a.report(e)
	case deletedAt:
		a.env.Telemetry.Deleted(session.Ceiling(e), a.env.Clock.Now())
	case tokenLost:
		a.env.Stats.Lost.Add(1)
		a.env.Log.Warn("a refresh token was lost in a crash, and the provider refused the one before; the session cannot be refreshed any more",
			zap.Stringer("session", a.entry.Key), zap.Error(e.err))
	default:
		return false
	}
	return true
}

// carryOutWork carries out an effect of which something comes back: an answer, a permit, a timer.
func (a *Session) carryOutWork(e effect) {
	switch e := e.(type) {
	case askPermit:
		a.askPermit(e)
	case dropPermit:
		a.step = noRequest
		a.env.Runner.Release(a.permit, session.NoOutcome)
	case spend:
		a.spend(e)
		a.step = onTheWire
	case runOp:
		a.run(e.op)
	case revoke:
		a.revoke(e)
	case renewLease:
		a.renewLease(e)
	case renewIn:
		third := a.env.Rules.Lease / 3 // at most, should the clock have been set back
		a.renewal = a.after(a.renewal, min(third, clock.Until(a.env.Clock, e.taken.Add(third))), &renewDue{})
	case sendAgainIn:
		a.poll = a.after(a.poll, e.wait+a.draw(e.spread), &sendAgainDue{flight: e.flight}) // a flight has one reason to wait
	case pollIn:
		a.poll = a.after(a.poll, a.jitter(e.wait), &pollDue{})
	case retryIn:
		a.timer = a.after(a.timer, a.jitter(e.wait), &retryDue{})
	}
}

// askPermit asks for a permit: for a request that no caller waits for, only for one that is to spare now.
//
// A permit that is free is handled behind this message, and before all others of the mailbox. As a message of its own it would stand behind
// them, while other sessions wait for that permit.
func (a *Session) askPermit(e askPermit) {
	var now bool
	m := &permitGranted{}
	if e.spare {
		if m.permit, now = a.env.Runner.Spare(e.issuer); !now {
			m.err, now = errNoneSpare, true
		}
	} else {
		m.permit, now = a.env.Runner.Permit(e.issuer, func(p Permit, err error) { a.send(&permitGranted{permit: p, err: err}) })
	}
	if now {
		a.next = m // it is handled in this turn, before any other message
	}
	a.step = waitingForPermit // only where granted will be called
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
	a.env.Send(a.supervisor, m)
}

// setUnsaved says how far the store is behind. Stats.Failing counts sessions and not failures: while it is not 0, Ready names the store. So it
// changes only where the session enters that state or leaves it.
func (a *Session) setUnsaved(u directory.Unsaved) {
	was := a.entry.SetUnsaved(u)
	if u == directory.SaveFailing && was != directory.SaveFailing {
		a.env.Stats.Failing.Add(1)
	}
	if u != directory.SaveFailing && was == directory.SaveFailing {
		a.env.Stats.Failing.Add(-1)
	}
}

// report counts and logs what could not be saved at the first try, and tells the host.
//
// The host's function runs elsewhere, and a panic in it is contained: it must not hold up the session's turns.
func (a *Session) report(e report) {
	a.env.Stats.SaveErrors.Add(1)
	a.env.Log.Warn(e.what+"; it is tried again", zap.Stringer("session", a.entry.Key), zap.Error(e.err))
	if f := a.env.OnSaveError; f != nil {
		key := a.entry.Key
		a.env.Runner.Run(StoreWork, func(context.Context) any { return Contain(func() error { f(key, e.err); return nil }) }, func(any) {})
	}
}

// jitter returns up to a quarter more than d, so that sessions that failed together don't
// try again together.
//
// Without it, ten thousand sessions whose saves failed in one outage would come back in the same millisecond, again and again.
func (a *Session) jitter(d time.Duration) time.Duration {
	var b [1]byte
	_, _ = a.env.Rand.Read(b[:])
	return d + d/4*time.Duration(b[0])/256
}

// after sends m to the session itself once d has passed. The timer takes the place of old.
func (a *Session) after(old clock.Timer, d time.Duration, m any) clock.Timer {
	if old != nil {
		old.Stop()
	}
	return a.env.Clock.AfterFunc(d, func() { a.send(m) })
}

// spend sends the request. Its context is the session's, not a caller's, and its
// deadline counts from here. Nothing is sent once the lease may be another process's.
//
// The clock is asked here, on the goroutine that sends, and not in the turn that decided: between the two the process may
// have been paused for longer than its lease.
//
// The permit goes back before the answer is sent to the session. Example: the session's turn has to wait, for a thousand others have
// answers too. The next request in the queue for permits need not wait for that turn.
func (a *Session) spend(e spend) {
	env, permit, observed := a.env, a.permit, a.observed(e.flight)
	env.Stats.Requests.Add(1)
	if e.again {
		env.Stats.Retries.Add(1)
	}
	a.do(ProviderWork, func(ctx context.Context) any {
		ctx = observed.Context(ctx)
		if permit.Probe {
			ctx = idp.Probing(ctx)
		}
		ctx, cancel := clock.WithTimeout(ctx, env.Clock, env.Rules.FlightTimeout)
		defer cancel()
		m := &providerAnswered{sent: env.Clock.Mono()}
		if e.until != 0 && m.sent >= e.until {
			m.err = errTooLate
			return m
		}
		if !e.lapses.IsZero() && !env.Clock.Now().Before(e.lapses) {
			m.err = errLapsed
			return m
		}
		observed.Sent()
		defer observed.Answered()
		m.err = Contain(func() (err error) {
			if k := e.query.Key; k.ForConnection() {
				m.response, err = env.Provider.ExchangeConnection(ctx, e.of.ClientID, idp.ConnectionExchange{
					Issuer: e.of.Issuer, RefreshToken: e.token, Connection: k.Connection, LoginHint: k.LoginHint,
				})
				return err
			}
			m.response, err = env.Provider.Refresh(ctx, e.of.ClientID, idp.RefreshRequest{
				Issuer: e.of.Issuer, RefreshToken: e.token, Audience: e.query.Audience, Scope: e.scope,
			})
			return err
		})
		m.at = env.Clock.Mono()
		return m
	}, func(m any) {
		o := session.NoOutcome
		if m, ok := m.(*providerAnswered); ok {
			o = session.OutcomeOf(m.err)
		}
		env.Runner.Release(permit, o)
		a.send(m)
	})
}

// observed returns the observation of f, nil where there is none. A flight that no caller has asked for starts here.
func (a *Session) observed(f *directory.Flight) *telemetry.Flight {
	if f.Observed != nil {
		return f.Observed
	}
	o := a.env.Telemetry.Recovery(f.Query)
	if o != nil { // a recovery; any other flight is shared with callers, who read the field
		f.Observed = o
	}
	return o
}

// revoked says that a revocation is over, well or badly.
type revoked struct{ messages.Redacted }

// revoke makes a refresh token useless. It takes a permit like every request. What becomes of it says nothing of the
// provider's token endpoint, so it is never the request that finds out whether the provider works again.
//
// The logout does not wait for it, and the session stays until it is over (core.idle), so that Close waits for a revocation that is under way.
func (a *Session) revoke(e revoke) {
	env, self, key := a.env, a.self, a.entry.Key
	over := func(err error) {
		if err != nil {
			env.Log.Warn("the refresh token of a session that was logged out could not be revoked", zap.Stringer("session", key), zap.Error(e.redact(err)))
		}
		env.Send(self, &revoked{})
	}
	granted := func(p Permit, err error) {
		if err == nil && p.Probe {
			env.Runner.Release(p, session.NoOutcome)
			err = &session.BreakerOpenError{Issuer: p.Issuer, Until: env.Clock.Now()}
		}
		if err != nil {
			over(err)
			return
		}
		env.Runner.Run(ProviderWork, func(ctx context.Context) any {
			ctx, cancel := clock.WithTimeout(ctx, env.Clock, env.Rules.FlightTimeout)
			defer cancel()
			return Contain(func() error { return env.Revoke(ctx, e.of, e.token) })
		}, func(failure any) {
			env.Runner.Release(p, session.NoOutcome)
			err, _ := failure.(error)
			over(err)
		})
	}
	if p, now := env.Runner.Permit(e.of.Issuer, granted); now {
		granted(p, nil)
	}
}

// do has work done elsewhere. It is called in a turn.
func (a *Session) do(kind Work, work func(context.Context) any, deliver func(any)) {
	if a.pipe != nil {
		a.pipe.Run(kind, work, deliver)
		return
	}
	a.env.Runner.Run(kind, work, deliver)
}

// renewLease renews the lease. It waits behind no store work, this session's or another's: what
// hangs there must not cost the lease.
//
// A renewal does not take a lease that has lapsed: the next save or Begin does that, and sees whether the record has
// moved.
func (a *Session) renewLease(e renewLease) {
	env, key := a.env, a.entry.Key
	env.Runner.Run(LeaseWork, func(ctx context.Context) any {
		ctx, cancel := clock.WithTimeout(ctx, env.Clock, env.Rules.StoreTimeout)
		defer cancel()
		m := &renewedLease{epoch: e.epoch, at: env.Clock.Now()}
		m.lapses = m.at.Add(env.Rules.Lease)
		m.err = Contain(func() error {
			return env.Leaser.Renew(ctx, key, env.Owner, e.epoch, env.Rules.Lease, store.Options{Background: true})
		})
		return m
	}, a.send)
}

// noteRead notes when the store is known to have held the record that is about to be shown.
//
// A save and a login count as readings, for the store has confirmed what it holds; one that it refused does not, for the
// record is read before its end is shown. A record that is not there is a reading, too. A
// reading that failed makes the snapshot old: a write that was told of may be what could not be read.
func (a *Session) noteRead(m *opDone) {
	if _, writes := m.op.(stamped); writes && m.err != nil {
		return
	}
	switch confirmed := m.err == nil || errors.Is(m.err, store.ErrNotFound); {
	case isDelete(m.op), isRelease(m.op):
	case confirmed:
		a.entry.Read(m.reading)
	case isRead(m.op):
		a.entry.Outdate()
	}
}

// Life returns how long the record of s is needed unless a caller asks for it again; 0
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

// LoadAny is SafeLoad, but for the version, and brings what remains of a session that its ceiling has ended, too.
func (env *Env) LoadAny(ctx context.Context, key session.Key, o store.Options) (*session.State, session.Incarnation, error) {
	s, _, in, err := env.SafeLoad(ctx, key, o)
	var gone *store.GoneError
	if !errors.As(err, &gone) || gone.Remainder == nil {
		return s, in, err
	}
	s, err = env.Codec.DecodeRemainder(key, gone.Remainder)
	return s, gone.Incarnation, err
}

func (env *Env) load(ctx context.Context, key session.Key, o store.Options) (*session.State, session.Version, session.Incarnation, error) {
	r, err := env.Store.Load(ctx, key, o)
	if err != nil {
		return nil, session.Version{}, session.Incarnation{}, err
	}
	s, err := env.Codec.Decode(key, r)
	return s, r.Version, r.Incarnation, err
}

// Contain turns a panic of a store or a transport into an error.
//
// A store and a transport are the host's code, or a driver's. Their panic, on a goroutine of this library, would end the
// whole process and every session in it. Its value is not printed, for it may hold a token.
func Contain(work func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: a panic (%T) in a store or transport", session.ErrInternal, r)
		}
	}()
	return work()
}
