package actors

import (
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/hooks"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Rules are what the host decided about every session.
type Rules struct {
	session.Limits

	ClientID        string        // the configured one, of sessions that have none of their own
	Issuer          string        // the configured issuer
	Buffer          time.Duration // refresh this long before a token expires
	StrictAudience  bool          // refuse a token for another audience than the one asked for
	Early           directory.EarlyRefresh
	UpdateUser      bool          // a refreshed ID token replaces the user's claims
	MaxBytes        int           // of a state as it is written; 0: any number
	DefaultLifetime time.Duration // of an access token whose life is not said; 0: the default of package session
	Exclusive       bool          // no other process writes to the store
	Leases          bool          // others do, and a refresh token is presented under the session's lease
	Intents         bool          // the refresh token about to be presented is written down, for the store outlives the process

	// DefaultQuery is asked when a refresh token is presented that a process left behind.
	DefaultQuery *session.TokenQuery

	Revoke    bool // a logout revokes the refresh token
	EndOnDead bool // the session ends where the provider refuses the refresh token for good

	Retry   session.RetryPolicy // of requests that failed; no Attempts: they are not sent again
	Overlap time.Duration       // in which the provider accepts a rotated refresh token once more, as the host says
}

// core is one session: its state, what it waits for and what it answers. Its
// method on is called with one message at a time. states.go says what it does with each.
type core struct {
	rules *Rules

	life        life
	before      life // released: the life that a command wakes
	generation  session.Generation
	incarnation session.Incarnation

	// state is the newest; saved is the one that the store is known to hold, as version.
	// They are compared as pointers, for a state is never changed. Where the two have different refresh tokens, none is spent until
	// the newest is saved (startNext).
	state   *session.State
	saved   *session.State
	version session.Version
	tried   []attempt           // writes that may or may not have happened
	visible *directory.Snapshot // the last one published, also of an end
	held    session.Held        // tokens it had before, which no error may show

	step     step
	request  *request            // the one request to the provider; nil: none is under way
	queue    []*directory.Flight // flights that come next; other queries than that of the request
	retried  *directory.Flight   // one that was sent again after invalid_grant
	again    retrying            // one that is sent again because its request failed
	lease    lease
	polls    int // how often in a row another process held the lease
	recovery *recovery
	throttle throttle           // until when the provider is not asked
	demanded session.Demanded   // the last refreshes that callers demanded (demand.go)
	own      [8]session.Version // the last ones written here, which come back as notices

	ops         []op    // store operations that wait for their turn
	running     op      // the one under way; nil: none is
	updates     updates // of the application's values
	backlog     []op    // deletions that failed and will be tried again; a read or reload, too
	failures    int     // failed writes in a row
	postponed   bool    // failed: it may start again once all that is out has come back
	ending      *ending // of the generation that ended last, until a login
	revocations int     // under way

	closing bool   // no new flights
	handled uint64 // commands of the supervisor

	now time.Time // of the message that is handled
	out []effect
}

// newCore returns the core of a session of which nothing is known yet.
func newCore(r *Rules) *core { return &core{rules: r} }

// on handles one message and returns the effects to be carried out, in order. The list is good until the
// next message.
func (c *core) on(msg any, now time.Time) []effect {
	c.out, c.now = c.out[:0], now
	if _, counted := msg.(messages.Command); counted {
		c.handled++
		if c.life == released {
			c.life = c.before
		}
	}
	c.take(msg, now)
	c.proceed(now)
	return c.out
}

// take does what the table in states.go says of msg.
//
// It is the one place that tells the messages apart. Of the handlers, those that a life makes a difference to ask for it
// first; all others hold for every life.
func (c *core) take(msg any, now time.Time) {
	switch m := msg.(type) {
	case *messages.NeedToken:
		c.needToken(m.Flight, now)
	case *messages.CeilingReached:
		c.ceilingReached(m, now)
	case *messages.ReplaceSession:
		c.login(m)
	case *messages.EndSession:
		c.endSession(m, now)
	case *messages.UpdateSession:
		c.updateSession(m, now)
	case *messages.ReadRecord:
		c.queueRead(m)
	case *messages.RecoverIntent:
		c.recoverIntent(m)
	case *messages.Passivate:
		c.passivate(now)
	case *messages.Finish:
		c.finish()
	case *messages.Recover:
		c.mayRestart()
	case *permitGranted:
		c.permitGranted(m, now)
	case *providerAnswered:
		c.answeredBy(m, now)
	case *opDone:
		c.opDone(m, now)
	default:
		c.timer(msg)
	}
}

// timer takes what comes of a timer, or of work that no caller waits for.
//
// A timer may fire although its reason has gone: it was on its way when it was stopped. So each handler asks whether there
// is still something to do, and none counts on being called once.
func (c *core) timer(msg any) {
	switch m := msg.(type) {
	case *pollDue:
		c.pollDue()
	case *renewDue:
		c.renewDue()
	case *sendAgainDue:
		c.sendAgainDue(m)
	case *renewedLease:
		c.renewed(m)
	case *retryDue:
		c.retry()
	case *revoked:
		c.revocations--
	}
}

// resume goes on from the snapshot of a session. Of one that lives the store holds that, as m.Version; one that has
// ended may still have to be deleted.
func (c *core) resume(shown *directory.Snapshot, m *messages.Adopt) {
	if m.Held != nil {
		c.held = *m.Held
	}
	if m.Demanded != nil {
		c.demanded = *m.Demanded
	}
	c.life = live
	if shown.Phase == directory.Ended {
		c.life = ended
	}
	c.generation, c.incarnation = shown.Generation, shown.Incarnation
	c.state = shown.State()
	c.saved, c.version, c.visible = c.state, m.Version, shown
}

// proceed starts what can start now. A session that does not live, or is to live
// no longer, is released as soon as nothing is under way.
//
// It runs after every message, so no handler has to know what may start because of it: a handler changes the state, and
// proceed looks at the result. Flights are looked at twice, for a store operation that turns out to be void may have been
// the one that a flight waited for.
func (c *core) proceed(now time.Time) {
	c.restart()
	c.stopWaiting()
	c.startNext(now)
	c.saveUpdates()
	c.startOp(now)
	c.startNext(now) // store operations that were void may have made room
	c.returnLease()
	c.startOp(now)
	if (c.closing || c.life != live) && c.life != released && c.life != failed && c.idle() {
		c.release(now)
	}
}

// release gives the entry up.
//
// From then on the session touches nothing, for the supervisor may hand the entry to another actor. If a command is on its
// way to this one, the number that AtRest carries is too small, the supervisor keeps the actor, and the command wakes it. So
// there is never a second owner.
func (c *core) release(now time.Time) {
	m := &messages.AtRest{Handled: c.handled, Version: c.version, Held: c.held.Idle(), Demanded: c.demanded.Idle(now)}
	c.life, c.before = released, c.life
	c.do(tell{m})
}

// idle reports whether nothing is under way and the store lacks nothing. A lease or an intent that has not been given back counts:
// the owner that forgets it would have other processes wait until it lapses.
func (c *core) idle() bool {
	return c.request == nil && len(c.queue) == 0 && c.running == nil && len(c.ops) == 0 && len(c.backlog) == 0 && c.revocations <= 0 &&
		c.state == c.saved && c.lease.epoch == 0 && !c.lease.renewing && c.lease.intent == nil
}

// passivate gives the entry up if nothing is under way, and says that it is busy otherwise.
//
// A provider that asks to wait keeps the session in memory, for the wait is remembered here and nowhere else.
func (c *core) passivate(now time.Time) {
	switch {
	case c.life == failed, c.life == live && c.throttle.answer(now) != nil, c.life != ended && c.life != released && !c.idle():
		c.do(tell{&messages.Busy{}}) // a login that is being written too: the session lives on, and is asked again
	case c.life == live:
		c.release(now)
	}
}

// finish lets requests under way end, and nothing new begin: the client closes.
//
// A request on the wire is waited for: its refresh token may be rotated already. One that still waits for a permit or for the
// store is given up, for nothing is lost by that.
func (c *core) finish() {
	c.closing = true
	c.mayRestart()
	for _, f := range c.queue {
		c.completeFlight(f, c.failure(f, session.CodeClosed, nil))
	}
	c.queue = nil
	c.leaseMayBeFree()
	if a := c.request; a != nil && c.step != onTheWire && c.current(a) {
		c.completeFlight(a.flight, c.failure(a.flight, session.CodeClosed, nil))
		a.generation = 0 // the permit goes back when it comes
		c.expired()
	}
	c.retry() // store operations that failed are tried at once: closing may be cut off before their timer fires
}

// publish shows s, unless it is shown.
//
// A state is published once the store was asked to keep it. The store is asked for one thing at a time, so nothing that is shown
// is newer than s.
func (c *core) publish(s *session.State) {
	if c.visible.Shows(s) {
		return
	}
	c.visible = directory.NewReady(c.generation, c.incarnation, s).Renewing(c.visible, c.rules.Early, c.now)
	c.do(publish{c.visible})
}

// change makes s the newest state.
//
// The tokens of the state before are noted, so that an error that quotes one of them later can be redacted.
func (c *core) change(s *session.State) {
	if s != c.state {
		c.held.Note(c.state, s)
		c.state = s
		c.do(setUnsaved(directory.Saving))
	}
}

// do has e carried out after the message, in the order of the calls.
func (c *core) do(e effect) { c.out = append(c.out, e) }

// completeFlight answers everyone who waits for f.
func (c *core) completeFlight(f *directory.Flight, a directory.Answer) {
	c.recovered(f)
	c.do(completeFlight{f, a})
}

// failure is the answer to f that says code, as the type of error that f's query has.
func (c *core) failure(f *directory.Flight, code session.Code, cause error) directory.Answer {
	if f.Query.Key.ForConnection() {
		return directory.Answer{Err: &session.ConnectionTokenError{Code: code, Err: cause}}
	}
	return directory.Answer{Err: &session.AccessTokenError{Code: code, Err: cause}}
}

// effect is something to be done, with copies of all it needs.
type effect any

type (
	publish        struct{ snapshot *directory.Snapshot }
	completeFlight struct {
		flight *directory.Flight
		answer directory.Answer
	}
	askPermit struct {
		issuer string
		spare  bool // no caller waits for the request
	}
	dropPermit struct{}
	spend      struct {
		query   *session.TokenQuery
		scope   string // of a refresh; see session.State.RefreshScope
		of      session.RegistrationID
		token   string
		options store.Options
		lapses  time.Time     // it is not sent from then on; zero: no lease is held
		until   time.Duration // nor from then on, by the monotonic clock; 0: for ever
		again   bool          // a request of the same flight has failed
		flight  *directory.Flight
	}
	renewLease struct{ epoch int64 }
	renewIn    struct{ taken time.Time } // a third of the lease after it was asked for
	pollIn     struct{ wait time.Duration }
	revoke     struct {
		of     session.RegistrationID
		token  string
		redact func(error) error
	}
	runOp      struct{ op op }
	retryIn    struct{ wait time.Duration }
	setUnsaved directory.Unsaved
	tell       struct{ message any }
	endCall    struct {
		call *directory.Call
		err  error
	}
	tellHost  struct{ event hooks.Event }
	deletedAt session.Ceiling // the session's record is gone that was due then
	tokenLost struct{ err error }
	report    struct {
		what string
		err  error
	}
)
