package supervisor

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

const (
	// Deadlines handled in one turn. A call that comes while a million ceilings are due waits behind a thousand of them at most. They fill
	// batches, so that none is made for more sessions than it gets.
	chunk = 4 * endBatch

	// Markers that say missing, remembered at once. So a flood of ids that are no session's takes no more memory than this.
	// Beyond it each of them costs a read of the store.
	maxMissing = 10_000

	// How often the index is asked for ceilings, and for how far ahead. The window is longer than two of the intervals, so
	// listings may fail for a while, and the next still names each second before it comes.
	listEvery  = 2 * time.Minute
	listWindow = 5 * time.Minute

	// How long a claim stands. Where the process dies after its claim, another one deletes those sessions so much later.
	claimHold = time.Minute

	// A session whose messages fail three times within failureWindow (seconds) is left alone for quarantine. Its callers get
	// internal_error until then.
	quarantine      = 30 * time.Second
	failureWindow   = 60
	failuresAllowed = 2

	longestWait = time.Minute // of the timer, so that a clock that was set is noticed within it
)

// Supervisor is the supervisor actor. Its fields are touched by the goroutine of Receive alone. All that takes time runs beside it, by
// Env.Runner, and comes back as a message (loaded, batchDone, foundIntents, listedDue, claimed). In between anything may have happened to
// the session, so each of these compares what it finds with what it was asked for.
//
// Callers read the directory and the entries in it, on their own goroutines. Everything else here is the supervisor's alone, so it
// needs no lock, and no field is ever seen half changed.
type Supervisor struct {
	env   *actors.Env
	dir   *directory.Directory
	index store.Index // nil where the store has none

	self  *actor.PID
	root  *actor.RootContext
	props *actor.Props

	residents residents

	// What there is in residents, counted as it changes, because a walk through a million of them would hold up calls.
	// TestCounts_stayTrue compares each number with such a walk.
	awake    int // residents with a session, or a load (resident.resident)
	active   int // of these, residents with an actor
	deleting int // of these, residents that are awake only to be deleted
	missing  int // residents that say missing

	ends           ends // those that are being ended without an actor
	due            wheel[*timer]
	ceilings, idle wheel[*resident]
	timer          clock.Timer
	armed          int64          // the second the timer is armed for, 0 when none
	turn           bool           // more is due: a dueNow is on its way to this actor
	seen           int64          // the second of the last message
	claims         map[int64]bool // seconds for which a claim is timed: one, however many sessions are listed for the second

	// Sessions at most that claims under way will bring. A claim takes its share of the headroom before the store is asked, so that
	// two claims do not count on the same room.
	claiming  int
	nextClaim timer // the next claim after one that failed, or left some
	unlisted  bool  // the last listing failed, and a line of the log has said so

	nonResident map[session.Key]*timer // where the store has no index
	absentees   wheel[*timer]          // the timers of nonResident, by second

	intents    intents
	unreadable unreadable

	closing bool
	closed  chan<- struct{}
}

// resident is what the supervisor knows of one session. It is loading, idle (it lives and has no actor), active, ending
// (its ceiling has ended it without an actor, and its deletion is on its way), or a marker that says missing or ended.
// Most sessions are idle most of the time, so the fields that only others need stand apart, in detail.
//
// While the session has an actor, that alone writes the entry. The supervisor writes it before the actor's first message (Adopt), and
// from the actor's AtRest on.
type resident struct {
	entry directory.Entry

	// Of an idle session's record, as its entry shows it: by the load (found), or by the actor that was released (released). The
	// next actor begins with it, and a notice of this version is no news (changed).
	version session.Version

	ceiling deadline
	idle    deadline
	detail  *detail // nil: all zero

	asked    bool // from Passivate to its answer, AtRest or Busy
	leaving  bool // the session leaves memory with the next AtRest
	ending   bool // the batch that deletes it is not done, and it has no actor (ends)
	deleting bool // awake only to be deleted; a login changes that (notDeleting)
	missing  bool // a marker, counted in Supervisor.missing

	_ [8]byte // to a whole number of cache lines: the entry begins at one
}

// detail is what an idle session does without.
type detail struct {
	sent    uint64  // commands sent to the present actor; atRest compares it with what that has seen
	release timer   // of an active session
	load    *load   // under way; nil when none. An answer of any other load is dropped
	other   timer   // of a marker when it is forgotten, of a failed session when its quarantine is over; none is both
	failed  []int64 // seconds of its failures within failureWindow

	// What an actor that is released leaves to the next one (AtRest, Adopt). Without held an error of the next one might quote a
	// token that the session had before. Without demanded a resource server that refuses every token would cost a refresh for each
	// activation.
	held     *session.Held
	demanded *session.Demanded
}

// more returns sl's detail, to be changed. It makes one where there is none, so a function that only looks calls known.
func (sl *resident) more() *detail {
	if sl.detail == nil {
		sl.detail = &detail{}
	}
	return sl.detail
}

// known returns sl's detail, not to be changed: of an idle session it may be the one that all share.
func (sl *resident) known() *detail {
	if sl.detail == nil {
		return &nothing
	}
	return sl.detail
}

// nothing is the detail of all that have none. It is never written.
var nothing detail

// trim gives back sl's detail where there is nothing in it that an idle session needs. A timer in a wheel is known there by its
// address, so its detail stays.
func (sl *resident) trim() {
	d := sl.detail
	if d != nil && d.load == nil && d.held == nil && d.demanded == nil && len(d.failed) == 0 && d.release.place == 0 && d.other.place == 0 {
		sl.detail = nil
	}
}

// pid returns the session's actor, nil where it has none.
func (sl *resident) pid() *actor.PID { return sl.entry.PID() }

// loading reports whether the session's record is being read.
func (sl *resident) loading() bool { return sl.known().load != nil }

// idles reports whether sl is a session that lives and has no actor: the supervisor owns its entry.
func (sl *resident) idles() bool {
	return sl.pid() == nil && !sl.loading() && !sl.ending && sl.entry.Snapshot().Phase == directory.Ready
}

// resident reports whether sl is in memory as more than a marker. A marker is dropped without a word: all that is lost with it is
// a read that it would have spared.
func (sl *resident) resident() bool {
	return sl.pid() != nil || sl.loading() || sl.ending || sl.idles()
}

// Props returns how a supervisor is made, to be spawned once.
//
// Client.Settle waits until nothing is pending. Right after New that includes the first look for intents and the first listing,
// which Started asks for.
func Props(env *actors.Env, dir *directory.Directory) *actor.Props {
	env.Pending.Add(1) // its start, which no mailbox counts, is something to be handled
	return actor.PropsFromProducer(func() actor.Actor { return newSupervisor(env, dir) },
		actor.WithMailbox(env.Mailboxes()))
}

func newSupervisor(env *actors.Env, dir *directory.Directory) *Supervisor {
	s := &Supervisor{
		env: env, dir: dir,
		residents: newResidents(), claims: make(map[int64]bool), nonResident: make(map[session.Key]*timer),
		due: newWheel(deadlineOf), absentees: newWheel(deadlineOf), ceilings: newWheel(ceilingDeadline), idle: newWheel(idleDeadline),
	}
	s.index, _ = store.As[store.Index](env.Store)
	return s
}

// Receive handles one message at a time. It never waits. A defect never comes as far as the library, which would make a new
// Supervisor that knows of no session (handle contains it).
func (s *Supervisor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		s.self, s.root = ctx.Self(), ctx.ActorSystem().Root
		s.props = actors.Props(s.env, s.self)
		s.handle(&lookForIntents{}) // at once: the process before may have ended in the middle of a request
		s.handle(&listDue{})
		s.env.Pending.Add(-1) // counted in by Props
	case *actor.Stopping:
		if s.timer != nil {
			s.timer.Stop()
		}
	case *actor.Stopped, *actor.Restarting:
	default:
		s.handle(m)
	}
}

// handle does what m says. A defect ends m with internal_error, and nothing else.
//
// After each message, in this order: a clock that was set back is noticed; the sessions that m has ended are deleted in one batch; the timer
// is armed for the earliest deadline, which m may have moved; batches that waited while more was due are handled next. That is done after a
// defect too. Example: a defect while deadlines are handled. Were the timer not armed then, no session would end on time any more.
func (s *Supervisor) handle(m any) {
	s.contain(m)
	s.lookBack()
	s.runBatch()
	s.arm()
	s.resumeDone()
	s.env.Stats.Resident.Store(int64(s.awake))
	s.env.Stats.Active.Store(int64(s.active))
}

// contain handles m. A panic is counted and logged, without its value, which may hold a token; the calls behind m are
// refused, and the next message finds the supervisor as it is. One session may be left half changed by that. The others are not
// touched, and a supervisor that began anew would have lost them all, with tokens that the store lacks.
func (s *Supervisor) contain(m any) {
	defer func() {
		if r := recover(); r != nil {
			s.env.Stats.Failures.Add(1)
			s.env.Log.Error("a defect in the supervisor was contained", zap.Stack("stack"))
			if m, ok := m.(messages.Awaited); ok {
				m.Refuse(session.ErrInternal)
			}
		}
	}()
	_ = s.ordered(m) || s.reported(m) || s.worked(m)
}

// ordered handles what a call, a handler or the client orders, and reports whether m is such an order.
func (s *Supervisor) ordered(m any) bool {
	switch m := m.(type) {
	case *messages.OpenSession:
		s.open(m)
	case *messages.NeedToken:
		s.needToken(m)
	case *messages.ReplaceSession:
		s.replace(m)
	case *messages.EndSession:
		s.end(m)
	case *messages.UpdateSession:
		s.update(m)
	case *messages.CeilingReached:
		s.ceilingReached(m)
	case *messages.ReadRecord:
		s.readRecord(m)
	case *messages.Close:
		s.close(m)
	case *messages.Abort:
		s.abort(m)
	default:
		return false
	}
	return true
}

// reported handles what a session actor or the change feed reports, and reports whether m is that.
func (s *Supervisor) reported(m any) bool {
	switch m := m.(type) {
	case *messages.Changed:
		s.changed(m)
	case *messages.SessionBegan:
		s.began(m)
	case *messages.SessionEnded:
		s.sessionEnded(m)
	case *messages.AtRest:
		s.atRest(m)
	case *messages.Busy:
		s.busy(m)
	case *messages.SessionFailed:
		s.sessionFailed(m)
	default:
		return false
	}
	return true
}

// worked handles what the supervisor tells itself: its timer, and the outcome of its store work.
func (s *Supervisor) worked(m any) bool {
	switch m := m.(type) {
	case *dueNow:
		s.dueNow()
	case *loaded:
		s.loaded(m)
	case *batchDone:
		s.batchDone(m)
	case *lookForIntents:
		s.lookForIntents()
	case *foundIntents:
		s.foundIntents(m)
	case *listDue:
		s.listDue()
	case *listedDue:
		s.listedDue(m)
	case *claimed:
		s.claimed(m)
	default:
		return false
	}
	return true
}

// reply never blocks: each sender brings a channel of capacity 1, for one reply.
func reply(to chan<- *directory.Entry, e *directory.Entry) {
	if len(to) == 0 {
		to <- e
	}
}

func (s *Supervisor) now() time.Time { return s.env.Clock.Now() }

func (s *Supervisor) send(to *actor.PID, m any) { s.env.Send(to, m) }

// command sends m to the session's actor, and counts it. An idle session is activated for it. The count is what atRest compares.
//
// Adopt, NeedToken and Recover are sent without being counted. The first comes before all else. A flight that reaches its actor too late is
// found in the entry (released). A Recover that comes too late is not missed: it changes nothing where the session has not failed, or has
// started again.
func (s *Supervisor) command(sl *resident, m messages.Command) {
	s.activate(sl)
	sl.more().sent++
	s.send(sl.pid(), m)
}
