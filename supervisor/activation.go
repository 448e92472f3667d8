package supervisor

import (
	"context"
	"errors"
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// How sessions come into memory. The first look of a caller loads the record (open, read, loaded). A command for an idle session, or for
// one that is not in memory, makes an actor (activate; owner in commands.go). Loads run beside the supervisor and answer by a message, so
// neither holds up the other.

// load is one reading of a session's record. A login or a logout that arrives before it has ended voids it: the resident
// then has another load, or none, and its answer is dropped.
type load struct {
	key    session.Key
	first  *directory.Flight       // of the caller who opened the session; nil: the call wants no token
	intent *messages.RecoverIntent // goes to the session once it is read; nil: none
}

// loaded brings what a load found.
type loaded struct {
	messages.Redacted
	load        *load
	state       *session.State
	version     session.Version
	incarnation session.Incarnation
	err         error
	left        bool // the caller who lent its context has gone

	// When the store was asked, by two clocks: reading, by the monotonic one, for how long a session may be shown; at, by the wall clock,
	// for how long it is remembered that there is none (Outcome.Until).
	reading directory.Reading
	at      time.Time
}

// open brings a session into memory, and replies with its entry at once, while its record is still being read: the caller
// then waits for the entry to settle, as all others do. A marker that says missing or ended is the answer while it may
// be trusted; Stale says which one the caller has found too old.
//
// A session that is being deleted in a batch is read after its deletion was tried. Read before, it would be shown for a moment after
// its ceiling.
//
// Two callers may find the same marker too old. The first one's message drops it and begins a load. The second one's Stale then names
// an entry that is not there any more, so that caller shares the load, or gets what it has found.
func (s *Supervisor) open(m *messages.OpenSession) {
	if sl := s.residents.get(m.Key); sl != nil {
		known := s.env.Fresh.Remembers(&sl.entry, s.env.Clock)
		if sl.resident() || known && &sl.entry != m.Stale {
			s.name(sl, m.ID)
			reply(m.Reply, &sl.entry)
			return
		}
		s.drop(sl) // a marker whose time has passed
	}
	if s.closing || !s.room() {
		reply(m.Reply, nil)
		return
	}
	sl := s.enter(m.ID, m.Key)
	sl.more().load = &load{key: m.Key, first: m.First}
	reply(m.Reply, &sl.entry)
	if o := s.ends.opened[m.Key]; o != nil { // its deletion is on its way
		o.load, o.call = sl.known().load, m.Call
		return
	}
	s.read(sl.known().load, m.Call)
}

// room makes room for one more session and reports whether there is any. While more are in memory than Limits.Resident, two
// leave for each that comes or is refused. Up to twice as many are let in, for sessions leave only once they are idle.
//
// Example: the store fails, and each session in memory holds a token that is not saved. None may leave, so new ones come on top, and
// at twice the limit a call gets overloaded. It asks one to leave all the same: once the store is back, that makes room for the next.
func (s *Supervisor) room() bool {
	if s.awake-s.deleting >= s.env.Rules.Resident {
		s.evict()
	}
	if s.awake-s.deleting > s.env.Rules.Resident {
		s.evict()
	}
	return s.awake < 2*s.env.Rules.Resident
}

// enter makes a resident with an entry that is opening. Callers find that in the directory and wait, whether a load or a login is to
// come.
func (s *Supervisor) enter(id string, key session.Key) *resident {
	sl := &resident{}
	sl.entry.Init(id, key, directory.NewSnapshot(directory.Opening, directory.Outcome{Settled: make(chan struct{})}))
	s.residents.put(sl)
	s.awake++
	s.dir.Put(&sl.entry)
	return sl
}

// name adds the id to a session that was known by its key only. Example: a back-channel logout has the session in memory by its key when
// the user signs in again. Were the new login not put into the directory by its id, each cache hit would ask the supervisor.
func (s *Supervisor) name(sl *resident, id string) {
	if sl.entry.ID == "" && id != "" {
		sl.entry.ID = id
		s.dir.Put(&sl.entry)
	}
}

// read starts a load with what its caller lends.
//
// It ends with the first of three: the caller's context, the client's, the store's deadline by our clock. Where the caller has left, nothing
// is known of the session or of the store, so those who share the load ask again (left). The reading is stamped before the store is asked:
// a write that comes after that may not be in the answer.
func (s *Supervisor) read(l *load, call *directory.Call) {
	env := s.env
	env.Stats.Loads.Add(1)
	env.Runner.Run(actors.StoreWork, func(base context.Context) any {
		m := &loaded{load: l}
		if call.Abandoned() {
			m.left = true
			return m
		}
		ctx, o := call.Begin()
		lent := ctx
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(base, func() { cancel(context.Cause(base)) })()
		ctx, stop := clock.WithTimeout(ctx, env.Clock, env.Rules.StoreTimeout)
		defer stop()
		m.reading, m.at = env.Fresh.Reading(env.Clock.Mono()), env.Clock.Now()
		m.state, m.version, m.incarnation, m.err = env.SafeLoad(ctx, l.key, o)
		env.Answered(m.err)
		m.left = m.err != nil && lent.Err() != nil
		return m
	}, func(m any) {
		call.End(nil)
		s.send(s.self, m)
	})
}

// loaded goes on with the answer to a load, unless a login or a logout has voided it.
//
// Example: a user signs in and out again while the record is read. The session is dropped, and a caller begins another load under the same
// key. The first answer may be of the record before the login. So it is told from the second by its load, not by its key.
func (s *Supervisor) loaded(m *loaded) {
	sl := s.residents.get(m.load.key)
	if sl == nil || sl.known().load != m.load {
		return
	}
	sl.more().load = nil
	sl.entry.Read(m.reading)
	switch {
	case m.left:
		s.fail(sl, nil)
	case m.err == nil:
		s.found(sl, m)
	default:
		s.notFound(sl, m)
	}
}

// found makes an idle session of a record that was read, and activates it where work waits for it: the flight of the
// caller who opened it, or an intent to recover. A caller who only reads (GetUser, GetSession) costs no actor.
//
// The record may be past its ceiling already. It is shown all the same: every read asks the ceiling itself, and the deadline that show
// sets fires with the next message. In between stands the query of a connection that came with the load: it is answered from the cache
// or by an exchange, as if the session had been in memory.
func (s *Supervisor) found(sl *resident, m *loaded) {
	f := m.load.first
	if f != nil && (f.Completed() != nil || m.state.Internal.Over(s.now())) {
		// It was answered before the session went to sleep, and its caller looks once more. Or: a
		// ceiling lets a connection's query through, the session's own lifetime does not.
		f = nil
	}
	sl.version = m.version
	if f != nil { // joined before the session is shown: a caller who finds it shares this flight, and sends no second message
		sl.entry.Join(f, s.env.Rules.QueuedQueries+1)
		f.Observed.Start()
	}
	s.show(sl, directory.NewReady(1, m.incarnation, m.state).Renewing(nil, s.env.Rules.Early, s.now()).Idle())
	if f != nil {
		s.activate(sl)
		s.send(sl.pid(), &messages.NeedToken{Entry: &sl.entry, Flight: f})
	}
	if f := m.load.intent; f != nil {
		s.command(sl, f)
	}
}

// notFound makes a marker where the store has no record, or none that can be read, and an error where it did not answer.
//
// Of the tombstones only a ceiling's is shown as an end: its caller learns session_expired, and may have connection tokens. After a
// logout there is no session, and why is not the caller's to know.
func (s *Supervisor) notFound(sl *resident, m *loaded) {
	var gone *store.GoneError
	switch {
	case errors.As(m.err, &gone) && gone.Reason == session.ReasonCeiling:
		s.mark(sl, directory.NewEnded(0, gone.Incarnation, s.remains(m.load.key, gone), &directory.Outcome{Reason: gone.Reason}), m.at)
	case errors.Is(m.err, store.ErrNotFound):
		s.mark(sl, directory.NewSnapshot(directory.Missing, directory.Outcome{}), m.at)
	case errors.Is(m.err, store.ErrUnreadable):
		s.cannotRead(m.load.key, m.err)
		s.mark(sl, directory.NewSnapshot(directory.Missing, directory.Outcome{Err: m.err}), m.at)
	default:
		s.fail(sl, m.err)
	}
}

// show publishes the session that a load has found. It is idle.
func (s *Supervisor) show(sl *resident, ready *directory.Snapshot) {
	sl.entry.Use(s.now().Unix())
	s.forgetAbsentee(sl.entry.Key)
	s.watchCeiling(sl, ready.Ceiling)
	s.watchIdle(sl)
	sl.trim()
	sl.entry.Publish(ready)
	s.dir.NoteShown(&sl.entry, ready)
}

// activate gives the session an actor, which goes on from what the entry shows, unless it has one. The store is not asked: the
// snapshot and the version say what the record holds.
//
// Of a session that its ceiling has ended, the actor owes the deletion. Example: a login comes while a batch deletes the session. batchDone
// passes over what has an actor by then. If both the batch and the login fail, the record would stand until the store's index names it
// again, and without an index for ever.
func (s *Supervisor) activate(sl *resident) {
	if sl.pid() != nil {
		return
	}
	ending := sl.ending
	sl.ending = false
	pid := s.root.Spawn(s.props)
	sl.more().sent = 0
	s.active++
	s.dir.NoteShown(&sl.entry, nil)
	s.send(pid, &messages.Adopt{Entry: &sl.entry, Version: sl.version, Held: sl.known().held, Demanded: sl.known().demanded})
	sl.entry.SetPID(pid) // only now, so that Adopt is the actor's first message
	s.watchRelease(sl)
	if ending {
		s.command(sl, &messages.EndSession{Key: sl.entry.Key, Only: sl.entry.Snapshot().Incarnation, Why: session.ReasonCeiling})
	}
}

// needToken passes a flight on to its session, which had no actor when it was joined. It is not counted as commands are: the flight stands
// in the entry's list, where released finds it if the actor comes to rest first.
//
// Example of a flight that looks again: a caller reads the entry, then the session leaves memory, then the caller joins. Its flight is in
// an entry that no actor will ever own.
func (s *Supervisor) needToken(m *messages.NeedToken) {
	sl := s.residents.get(m.Entry.Key)
	switch {
	case sl == nil || &sl.entry != m.Entry, sl.pid() == nil && !sl.idles():
		m.Entry.Complete(m.Flight, directory.Answer{Restart: true}) // it has left memory, or has ended
	default:
		s.activate(sl)
		s.send(sl.pid(), m)
	}
}

// remains returns the connection tokens that the tombstone of a ceiling holds, as a state. It is empty where there are none, and
// never nil.
func (s *Supervisor) remains(key session.Key, gone *store.GoneError) *session.State {
	if gone.Remainder == nil {
		return &session.State{}
	}
	state, err := s.env.Codec.DecodeRemainder(key, gone.Remainder)
	if err != nil {
		s.cannotRead(key, err)
		return &session.State{}
	}
	if left := state.Remainder(s.now()); left != nil {
		return left
	}
	return &session.State{Domain: state.Domain, Internal: session.Internal{ClientID: state.Internal.ClientID}}
}

// mark remembers for a moment that there was no session. The moment begins when the store was asked, not when its answer is
// handled: a user may have signed in since, in another process. Example: the store is asked at 0 s, the user signs in elsewhere at 1 s, and
// the answer is handled at 3 s. The caller who asked is told that there was no session. One who has joined it has the store asked again.
func (s *Supervisor) mark(sl *resident, snapshot *directory.Snapshot, at time.Time) {
	s.awake--
	s.forgetAbsentee(sl.entry.Key)
	if now := s.now(); now.Before(at) { // the clock was set back
		at = now
	}
	snapshot.Until = at.Add(s.env.Rules.RememberMissing)
	sl.entry.Publish(snapshot)
	if s.missing >= maxMissing { // those who wait have their answer; the next caller asks the store
		s.drop(sl)
		return
	}
	s.missing++
	sl.missing = true
	s.forgetAt(sl, snapshot.Until)
}

// fail lets those who wait for a load know that it failed; a nil error says that it
// was given up by its caller, or overtaken by a notice, and the others ask again.
//
// Example: the caller whose context the load had closes its browser. A second caller, who shares the load, has no part in that. It begins a
// load of its own.
func (s *Supervisor) fail(sl *resident, err error) {
	s.awake--
	s.dir.Remove(&sl.entry) // first: a caller who comes after the failure was told begins a new load
	sl.entry.Publish(directory.NewSnapshot(directory.Failed, directory.Outcome{Err: err}))
	s.drop(sl)
}

// drop forgets a resident that has no actor and no load. The order is: show, unlink, retire. A caller who is woken looks in the directory at
// once, and must not find this entry there again. It leaves every wheel as well: a timer that fires for a resident which is forgotten
// would have it counted down once more.
func (s *Supervisor) drop(sl *resident) {
	if sl.missing {
		s.missing--
	}
	s.notDeleting(sl)
	s.ceilings.cancel(sl)
	if d := sl.detail; d != nil {
		s.due.cancel(&d.other)
		s.due.cancel(&d.release)
	}
	s.idle.cancel(sl)
	// A snapshot that says how the session ended stays true, so it is left. A caller that waited for it would look again,
	// and find the same.
	if p := sl.entry.Snapshot().Phase; p == directory.Opening || p == directory.Ready {
		sl.entry.Publish(directory.NewSnapshot(directory.Moved, directory.Outcome{}))
	}
	s.dir.Remove(&sl.entry)
	s.residents.remove(sl)
	sl.entry.Retire()
	for _, f := range sl.entry.Flights() { // joined too late: their callers look again
		f.Observed.End(observe.Unasked, nil)
	}
}
