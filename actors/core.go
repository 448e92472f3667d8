package actors

import (
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Rules are what the host decided about every session.
type Rules struct {
	ClientID        string        // the configured one, of sessions that have none of their own
	Issuer          string        // the configured issuer
	Buffer          time.Duration // refresh this long before a token expires
	StrictAudience  bool          // refuse a token for another audience than the one asked for
	UpdateUser      bool          // a refreshed ID token replaces the user's claims
	MaxTokenSets    int           // 0: the default of package session
	MaxBytes        int           // of a state as it is written; 0: any number
	DefaultLifetime time.Duration // of an access token whose life is not said; 0: the default of package session
	Exclusive       bool          // nobody else writes to the store
	Leases          bool          // others do, and a refresh token is spent under the session's lease
	Intents         bool          // what is about to be spent is written down, for the store outlives the process
	SnapshotAge     time.Duration // how long others' writes may go unseen; 0 where they are told, or there are none

	// DefaultQuery is what is asked when a refresh token is presented that a process left behind.
	DefaultQuery *session.TokenQuery

	RememberEnded time.Duration // how long an ended session answers session_expired
	RetryFirst    time.Duration // wait before a failed write is tried again; it doubles
	RetryMost     time.Duration // up to this
	Revoke        bool          // a logout revokes the refresh token
	EndOnDead     bool          // the session ends where the provider refuses the refresh token for good
}

// core is one session: what it is, what it waits for and what it answers. Its
// method on is called with one message at a time.
type core struct {
	rules *Rules

	phase       directory.Phase // Opening (nothing known), Ready or Ended
	generation  session.Generation
	incarnation session.Incarnation
	reason      session.Reason // why it Ended
	unsure      bool           // whether that is still so: another process has written since

	// state is the newest; saved is what the store is known to hold, as version.
	// They are compared as pointers, for a state is never changed.
	state   *session.State
	saved   *session.State
	version session.Version
	tried   []attempt           // writes that may or may not have happened
	serial  uint64              // grows with each change of state
	shown   uint64              // serial of the last one published
	visible *directory.Snapshot // that one
	held    session.Held        // tokens it had before, which no error may show

	air      *airborne           // the one request, from asking for a slot until it has landed
	queue    []*directory.Flight // who flies next; other questions than the one in the air
	refused  *directory.Flight   // one that was sent again after invalid_grant
	lease    lease
	denied   bool // another process has the lease: the queue waits
	forSave  bool // for what that process is about to save: its lease has lapsed in an outage
	polls    int  // how often in a row
	recovery *recovery
	throttle throttle           // until when the provider is not asked
	own      [8]session.Version // the last ones written here, which come back as notices

	lane     []*write // store work, one at a time and in order; the first runs when laneBusy
	laneBusy bool
	done     *write   // whose answer is in hand
	attempts int      // failed writes in a row
	putOff   bool     // a retry waits for the request in the air
	ending   *ending  // of the generation that ended last, until a login
	erasing  []*write // deletions that failed and will be tried again; a reread or reopen, too
	revoking int      // revocations under way

	resting bool   // the entry was given up: touch nothing until a command comes
	closing bool   // no new flights
	resign  bool   // say AtRest now
	handled uint64 // commands of the supervisor

	out []effect
}

// airborne is the request in the air.
type airborne struct {
	flight     *directory.Flight
	generation session.Generation
	sent       bool
	token      string         // the refresh token it spends
	state      *session.State // when it was sent
	of         session.RegistrationID
	lasting    bool // it outlives the session's ceiling: a connection's
	revoke     bool // the session was logged out meanwhile: what it brings is revoked
	again      bool // the token may have been spent before, by somebody who was cut off
}

// current reports whether someone still waits for what a brings.
func (c *core) current(a *airborne) bool {
	return a.lasting || a.generation == c.generation && c.phase == directory.Ready
}

// newCore returns the core of a session of which nothing is known yet.
func newCore(r *Rules) *core {
	return &core{rules: r, phase: directory.Opening}
}

// on handles one message and returns what is to be done, in order. The list is good until the
// next message.
func (c *core) on(msg any, now time.Time) []effect {
	c.out = c.out[:0]
	switch m := msg.(type) {
	case *messages.NeedToken:
		c.needToken(m.Flight, now)
	case *messages.CeilingReached:
		c.command()
		c.ceilingReached(m, now)
	case *messages.ReplaceSession:
		c.command()
		c.lane = append(c.lane, &write{kind: replace, state: m.State, incarnation: m.Incarnation, calls: calls(m.Call)})
	case *messages.EndSession:
		c.command()
		c.endSession(m, now)
	case *messages.Reread:
		c.command()
		c.reread(m)
	case *messages.RecoverIntent:
		c.command()
		c.followUp(m)
	case *messages.Passivate:
		c.command()
		c.passivate(now)
	case *messages.Finish:
		c.command()
		c.finish()
	case *slotGranted:
		c.slotGranted(m, now)
	case *pollDue:
		c.pollDue()
	case *renewDue:
		c.renewDue()
	case *renewedLease:
		c.renewed(m)
	case *flightLanded:
		c.flightLanded(m, now)
	case *written:
		c.written(m, now)
	case *retryDue:
		c.retry()
	case *revoked:
		c.revoking--
	}
	c.proceed(now)
	return c.out
}

// resume goes on from what is shown of a session: of one that lives the store holds that, as version v; one that has
// ended may still have to be deleted.
func (c *core) resume(shown *directory.Snapshot, v session.Version, held *session.Held) {
	if held != nil {
		c.held = *held
	}
	c.phase, c.generation, c.incarnation, c.reason = shown.Phase, shown.Generation, shown.Incarnation, shown.Reason
	c.state = shown.State()
	c.saved, c.version, c.visible = c.state, v, shown
}

// begin starts a new generation, of which the store has the state s.
func (c *core) begin(s *session.State, v session.Version, in session.Incarnation) {
	c.start(s, s, v, in)
}

// start is begin for a state s that may be newer than the saved one.
func (c *core) start(s, saved *session.State, v session.Version, in session.Incarnation) {
	c.generation++
	c.phase, c.incarnation, c.reason, c.unsure = directory.Ready, in, "", false
	c.state, c.saved, c.version, c.tried = s, saved, v, nil
	c.attempts, c.ending, c.denied, c.throttle = 0, nil, false, throttle{}
	c.serial++
	c.publish(s, c.serial)
	c.do(setUnsaved(c.unsaved()))
	c.do(tell{&messages.SessionBegan{Generation: c.generation, Ceiling: s.Internal.Ceiling}})
}

// proceed starts whatever can start now. A session that does not live, or is to live
// no longer, is at rest as soon as nothing is under way.
func (c *core) proceed(now time.Time) {
	c.takeOff(now)
	c.writeNext(now)
	c.takeOff(now) // store work that was void may have made room
	c.letGo()
	c.writeNext(now)
	if (c.resign || c.closing || c.phase != directory.Ready) && !c.resting && c.idle() {
		c.resting = true
		m := &messages.AtRest{Handled: c.handled, Version: c.version, Held: c.held.Idle()}
		if c.phase == directory.Ended {
			m.Own = slices.Clone(c.own[:])
		}
		c.do(tell{m})
	}
	c.resign = false
}

// idle reports whether nothing is under way and the store knows all there is to know.
func (c *core) idle() bool {
	return c.air == nil && len(c.queue) == 0 && len(c.lane) == 0 && len(c.erasing) == 0 && c.revoking <= 0 && c.state == c.saved &&
		!c.lease.held && !c.lease.renewing && c.lease.intent == nil
}

// command notes a command of the supervisor: it wakes a session that has given up
// its entry.
func (c *core) command() {
	c.handled++
	c.resting = false
}

func (c *core) passivate(now time.Time) {
	if c.phase == directory.Ready && (!c.idle() || c.throttle.answer(now) != nil) {
		c.do(tell{&messages.Busy{}})
		return
	}
	c.resign = true
}

func (c *core) finish() {
	c.closing = true
	for _, f := range c.queue {
		c.land(f, c.failure(f, session.CodeClosed, nil))
	}
	c.queue = nil
	if a := c.air; a != nil && !a.sent && c.current(a) {
		c.land(a.flight, c.failure(a.flight, session.CodeClosed, nil))
		a.generation, a.lasting = 0, false // the slot goes back when it comes
	}
	c.retry() // what failed is tried at once, for there may be no later
}

// publish shows s, unless something newer is shown.
func (c *core) publish(s *session.State, serial uint64) {
	if serial <= c.shown {
		return
	}
	c.shown = serial
	c.visible = directory.NewReady(c.generation, c.incarnation, s)
	c.do(publish{c.visible})
}

// change makes s the newest state.
func (c *core) change(s *session.State) {
	if s != c.state {
		c.held.Note(c.state, s)
		c.state = s
		c.serial++
		c.do(setUnsaved(directory.Saving))
	}
}

func (c *core) do(e effect) { c.out = append(c.out, e) }

// land answers everyone who waits for f.
func (c *core) land(f *directory.Flight, a directory.Answer) {
	c.recovered(f)
	c.do(land{f, a})
}

// failure is the answer to f that says code, as the type of error that f's question has.
func (c *core) failure(f *directory.Flight, code session.Code, cause error) directory.Answer {
	if f.Query.Key.ForConnection() {
		return directory.Answer{Err: &session.ConnectionTokenError{Code: code, Err: cause}}
	}
	return directory.Answer{Err: &session.AccessTokenError{Code: code, Err: cause}}
}

// over is the answer to f when the session has ended for why.
func (c *core) over(f *directory.Flight, why session.Reason) directory.Answer {
	switch {
	case f.Query.Key.ForConnection():
		return c.failure(f, session.CodeMissingRefreshToken, nil)
	case why == session.ReasonCeiling:
		return c.failure(f, session.CodeSessionExpired, nil)
	}
	return c.failure(f, session.CodeMissingSession, nil)
}

func calls(c *directory.Call) []*directory.Call {
	if c == nil {
		return nil
	}
	return []*directory.Call{c}
}

// pop takes the first element off list.
func pop[T any](list []T) []T { return slices.Delete(list, 0, 1) }

// effect is something to be done, with copies of all it needs.
type effect any

type (
	publish struct{ snapshot *directory.Snapshot }
	land    struct {
		flight *directory.Flight
		answer directory.Answer
	}
	askSlot  struct{}
	dropSlot struct{}
	spend    struct {
		query   *session.TokenQuery
		scope   string // of a refresh; see session.State.RefreshScope
		of      session.RegistrationID
		token   string
		options store.Options
	}
	renewLease struct{}
	renewIn    struct{ taken time.Time } // a third of the lease after it was asked for
	pollIn     struct{ wait time.Duration }
	revoke     struct {
		of     session.RegistrationID
		token  string
		redact func(error) error
	}
	runWrite   struct{ write *write }
	retryIn    struct{ wait time.Duration }
	setUnsaved directory.Unsaved
	tell       struct{ message any }
	endCall    struct {
		call *directory.Call
		err  error
	}
	lost   struct{ err error }
	report struct {
		what string
		err  error
	}
)
