package supervisor

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/hooks"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Many ceilings may come in one second. A session that is idle or not in memory is ended without an actor: its entry says
// ended in the turn in which its second has come, and the store gets the keys in batches. Two kinds of session get an
// actor all the same: one that holds connection tokens, which remain for a while, and one whose deletion has failed.
// That actor tries until the store has done it.

// endBatch is how many deletions are one piece of store work. A thousand ceilings of one turn are four of them, which workers carry out
// beside each other. Where a call of the store ends them all, its size and its deadline are bounded by this.
const endBatch = 256

// ends are the sessions that are being ended without an actor.
type ends struct {
	batch *batch       // of this turn, still open; nil: none. runBatch closes it behind each message
	last  *batch       // the newest with sessions that were in memory, until it was tried; a claim waits for it
	done  []*batchDone // that wait until all that is due has been ended; see resumeDone
	size  int          // of the batch before: as many are expected of the next

	// opened holds the sessions of batches that are not in memory. Where one is asked for, its load
	// begins when its deletion was tried.
	opened map[session.Key]*opened

	// claimed are the sessions that have ended while a claim was under way. It may bring them, and they are not to be
	// ended twice. Example: the store answers with a session, a reader ends that one here at the same moment, its deletion is done, and
	// then the answer is handled. The map goes with the last claim.
	claimed map[session.Key]session.Incarnation
}

// batch is a number of sessions to be deleted.
type batch struct {
	refs []store.Ref

	// residents has the resident of each of refs, so that none of 100,000 is looked up again; nil where it is not in memory. One that was
	// dropped since, or has got an actor, is not ending any more, and batchDone passes over it.
	residents []*resident

	over  *directory.Outcome // of all of them; Settled is closed when that was tried
	claim bool               // the sessions that are due and not in memory are claimed next
}

// opened is a load that waits for a deletion; zero while no call has asked for the session. A login or a logout that comes in between
// voids that load as it does any other: the resident has another one then, or none (endedAbsentee).
type opened struct {
	load *load
	call *directory.Call
}

// batchDone says what has come of a batch.
type batchDone struct {
	messages.Redacted
	batch  *batch
	at     time.Time             // when the store had done it
	failed map[session.Key]error // of its refs, why; store.ErrConflict: it holds connection tokens
}

// ceilingDue ends a session whose ceiling's second has come.
//
// Of an idle one the entry is published as ended before the store is asked. So no caller gets a token after the ceiling, however slow the
// store is; a reader waits for over.Settled, which says that the deletion was tried. An active one may have a flight under way, so its
// actor decides what becomes of that.
func (s *Supervisor) ceilingDue(sl *resident) {
	last, now := sl.entry.Snapshot(), s.now()
	switch {
	case sl.pid() != nil, sl.idles() && last.HoldsConnections():
		s.command(sl, &messages.CeilingReached{Key: sl.entry.Key, Generation: last.Generation})
	case sl.idles() && last.Ceiling.Reached(now):
		s.idle.cancel(sl)
		sl.ending = true
		sl.entry.SetUnsaved(directory.Saving) // until it is deleted
		over := s.endLater(store.Ref{Key: sl.entry.Key, Incarnation: last.Incarnation, Ceiling: last.Ceiling}, sl, last)
		sl.entry.Publish(actors.AtCeiling(last, over))
		sl.entry.CompleteAll(directory.Answer{Restart: true}) // a flight that is joined later is answered by needToken
	}
}

// endAbsentees ends sessions that are not in memory. Nothing is made in memory for them but a place in opened, until their batch is done.
// Example: all processes were down overnight, and as many sessions are due at the start as ended in that night.
func (s *Supervisor) endAbsentees(refs []store.Ref) {
	for _, r := range refs {
		if s.ends.opened[r.Key] != nil { // it is being deleted: two claims may name one session
			continue
		}
		if s.ends.opened == nil {
			s.ends.opened = make(map[session.Key]*opened)
		}
		s.ends.opened[r.Key] = &opened{}
		s.endLater(r, nil, nil)
	}
}

// endLater has r deleted with others, and returns how they have ended. Its resident and what that showed last are nil where
// it is not in memory. The observer and the application are told here, before the deletion: to callers the session has ended by now, and
// a deletion that fails is tried again without a word.
func (s *Supervisor) endLater(r store.Ref, sl *resident, last *directory.Snapshot) *directory.Outcome {
	s.env.Telemetry.Ended(session.ReasonCeiling)
	if s.env.Hooks != nil {
		e := hooks.Event{Kind: hooks.Ended, Key: r.Key, Reason: session.ReasonCeiling}
		if last != nil {
			e.Named = last.State().Named()
		}
		s.env.Hooks.Tell(e)
	}
	b := s.ends.batch
	if b == nil {
		b = &batch{
			refs: make([]store.Ref, 0, s.ends.size), residents: make([]*resident, 0, s.ends.size),
			over: &directory.Outcome{Reason: session.ReasonCeiling, Settled: make(chan struct{})},
		}
		s.ends.batch = b
	}
	if last != nil {
		s.ends.last = b
	}
	b.refs, b.residents = append(b.refs, r), append(b.residents, sl)
	if len(b.refs) == endBatch {
		s.runBatch()
	}
	return b.over
}

// runBatch deletes the sessions that were ended last.
//
// Each end names the incarnation whose ceiling has come, so a login that the store has taken in since, here or elsewhere, stands. The
// context is the client's: Close cuts a batch off when its own time is over, and what is left is found by the next process,
// in the store's index or when it is asked for.
func (s *Supervisor) runBatch() {
	b := s.ends.batch
	if b == nil {
		return
	}
	s.ends.batch, s.ends.size = nil, len(b.refs)
	env := s.env
	env.Stats.Ceilings.Add(int64(len(b.refs)))
	env.Runner.Run(actors.StoreWork, func(base context.Context) any {
		m := &batchDone{batch: b}
		defer func() { m.at = env.Clock.Now() }()
		many, ok := store.As[store.BatchEnder](env.Store)
		if ok && len(b.refs) >= endTogether {
			endAll(base, env, many, m)
			return m
		}
		for _, r := range b.refs {
			err := actors.Contain(func() error {
				ctx, cancel := clock.WithTimeout(base, env.Clock, env.Rules.StoreTimeout)
				defer cancel()
				e := store.Ending{Reason: session.ReasonCeiling, Stands: env.Rules.RememberEnded}
				return env.Store.End(ctx, r.Key, r.Incarnation, e, store.Options{Background: true})
			})
			if err != nil {
				m.fail(r.Key, err)
			}
		}
		return m
	}, func(m any) { s.send(s.self, m) })
}

// claimAfterEnds claims the sessions that are due and not in memory. Those in memory are due in the same second: they are
// deleted first, so that the store's index does not name them all once more.
func (s *Supervisor) claimAfterEnds() {
	if b := s.ends.last; b != nil {
		b.claim = true
		return
	}
	s.claim()
}

// endTogether is from how many sessions on a batch is one call, where the store can. Fewer have a call and a deadline each.
const endTogether = 8

// fail notes that the session under key is not deleted.
func (m *batchDone) fail(key session.Key, err error) {
	if m.failed == nil {
		m.failed = make(map[session.Key]error)
	}
	m.failed[key] = err
}

// endAll ends the sessions of m's batch in one call.
func endAll(base context.Context, env *actors.Env, many store.BatchEnder, m *batchDone) {
	refs := m.batch.refs
	var left []store.Ref
	err := actors.Contain(func() (err error) {
		ctx, cancel := clock.WithTimeout(base, env.Clock, env.Rules.StoreTimeout)
		defer cancel()
		left, err = many.EndAll(ctx, refs, store.Ending{Reason: session.ReasonCeiling, Stands: env.Rules.RememberEnded}, store.Options{Background: true})
		return err
	})
	if err != nil {
		for _, r := range refs {
			m.fail(r.Key, err)
		}
		return
	}
	for _, r := range left {
		m.fail(r.Key, store.ErrConflict)
	}
}

// finish returns the order to go on with the deletion of r, which has failed with err. Connection tokens are read and kept at once. A store
// that does not answer is asked again after a while (EndSession.Failed): the batch was the first try, so a second one without a wait would
// double the load of a store that is failing under it.
func finish(r store.Ref, err error) *messages.EndSession {
	m := &messages.EndSession{Key: r.Key, Only: r.Incarnation, Why: session.ReasonCeiling, Ceiling: r.Ceiling}
	if !errors.Is(err, store.ErrConflict) {
		m.Failed = err
	}
	return m
}

// batchDone lets go of each session that is deleted, and gives those that are not an actor.
//
// In between a login may have come for a session of the batch, which has an actor by now. That one owes the deletion (activate), so nothing
// is done here. A load may have come for a session that was not in memory: it begins now, and finds the tombstone.
//
// Those who wait for the deletion are woken last, when the entries are unlinked: a caller who looks again has the tombstone read.
func (s *Supervisor) batchDone(m *batchDone) {
	if s.turn { // more is due: resumeDone
		s.ends.done = append(s.ends.done, m)
		return
	}
	for i, r := range m.batch.refs {
		s.noteEnded(r.Key, r.Incarnation)
		err := m.failed[r.Key]
		if err == nil {
			s.env.Telemetry.Deleted(r.Ceiling, m.at)
		}
		switch sl := m.batch.residents[i]; {
		case sl == nil:
			o := s.ends.opened[r.Key]
			delete(s.ends.opened, r.Key)
			s.endedAbsentee(r, o, err)
		case !sl.ending:
			// it has an actor by now, which deletes it once more
		case err != nil:
			sl.ending = false // the message that follows has it deleted
			s.command(sl, finish(r, err))
			if s.closing {
				s.command(sl, &messages.Finish{})
			}
		default:
			s.endedIdle(sl)
		}
	}
	close(m.batch.over.Settled)
	if s.ends.last == m.batch {
		s.ends.last = nil
	}
	if m.batch.claim {
		s.claim()
	}
	if s.closing {
		s.closedYet()
	}
	runtime.Gosched() // there may be hundreds of these in a row
}

// resumeDone has the batches handled that were put aside while more was due. So where 100,000 ceilings come in one second the store is given
// all of them before memory is cleared of any: they are deleted sooner, and the last reader that waits for a deletion waits no longer.
func (s *Supervisor) resumeDone() {
	if s.turn {
		return
	}
	for _, m := range s.ends.done {
		s.send(s.self, m)
	}
	s.ends.done = nil
}

// noteEnded notes that a session has ended, for a claim that is under way. Without one there is nothing to be compared, and nothing is kept.
func (s *Supervisor) noteEnded(key session.Key, only session.Incarnation) {
	if s.claiming == 0 {
		return
	}
	if s.ends.claimed == nil {
		s.ends.claimed = make(map[session.Key]session.Incarnation)
	}
	s.ends.claimed[key] = only
}

// endedIdle lets a session go that was idle and has ended: the store's tombstone says so from now on, also to other processes.
func (s *Supervisor) endedIdle(sl *resident) {
	sl.ending = false
	sl.entry.SetUnsaved(directory.Saved)
	s.awake--
	s.drop(sl)
}

// endedAbsentee goes on with a session that was not in memory. Where its deletion has failed it gets an actor, if there is
// room: else its claim lapses and it is claimed again. Without an index no claim would, so it is tried again in a second.
//
// A caller may have asked for it since (o). Its load begins now, and decides by what the store has: the tombstone, or a record past its
// ceiling, which is ended like any other that is in memory.
func (s *Supervisor) endedAbsentee(r store.Ref, o *opened, err error) {
	if sl := s.residents.get(r.Key); sl != nil && sl.known().load != nil && sl.known().load == o.load {
		s.read(o.load, o.call)
		return
	}
	switch {
	case err == nil:
	case s.headroom() > 0:
		s.finishAbsentee(r, err)
	case s.index == nil:
		s.remindOf(absentee{r.Key, r.Incarnation}, s.now().Unix()+1)
	}
}
