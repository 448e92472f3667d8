package lookup

import (
	"context"
	"errors"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Find returns the entry of a session, and its snapshot: Ready, Ended or Missing, as fresh as Freshness demands. A
// session that is not resident is loaded; first, if not nil, is then handled before anything else.
//
// Find looks at the snapshot's phase until it is one of these three:
//
//	Opening  wait until the load, or the login, has settled
//	Ready    end it where its own lifetime is over, read it again where it is not fresh; else that is the answer
//	Ended    the answer, unless another process may have signed the user in since
//	Missing  the answer, for a moment after the store was asked
//	Failed   the store's error; a session after a defect is waited for
//	Moved    wait until the entry is gone, then look in the directory again
//
// A session that changes all the time is looked at again and again; each look waits for an event, so none spins.
func (l *Lookup) Find(c *Caller, first *directory.Flight) (*directory.Entry, *directory.Snapshot, error) {
	fresh := false  // the session was read for this call
	shared := false // a load was shared that had begun before this call, and found nothing
	for {
		e, err := l.open(c, first)
		if err != nil {
			return nil, nil, err
		}
		if s := e.Snapshot(); s.Phase == directory.Opening {
			if err := l.wait(c.Ctx, s.Settled); err != nil {
				return nil, nil, err
			}
			if !shared && l.outdated(e) {
				shared = true // the next load begins after this call, so its answer is good however long it takes
				continue
			}
		}
		s := e.Snapshot() // of the same entry: if its load failed, it failed for everyone who waited
		switch s.Phase {
		case directory.Ready:
			var shows bool
			if shows, fresh, err = l.ready(c, e, s, fresh); shows || err != nil {
				return e, s, err
			}
			continue
		case directory.Ended, directory.Missing:
			return e, s, nil
		case directory.Failed:
			if s.Err != nil {
				return nil, nil, StoreError(s.Err)
			}
		case directory.Opening, directory.Moved:
		}
		if err := l.gone(c.Ctx, e); err != nil {
			return nil, nil, err
		}
	}
}

// Look returns what the session id shows, as Find finds it.
func (l *Lookup) Look(ctx context.Context, id string, o store.Options) (*directory.Snapshot, error) {
	_, s, err := l.Find(&Caller{Ctx: ctx, ID: id, Options: o}, nil)
	return s, err
}

// open finds the entry in the directory, or has the supervisor bring the session into memory. The first caller of a
// session lends its context and options to the load, so that a store which reads cookies finds the request. Others find
// the entry, which is opening, and share the load.
func (l *Lookup) open(c *Caller, first *directory.Flight) (*directory.Entry, error) {
	if l.Closed() {
		return nil, session.ErrClosed
	}
	found := l.Directory.Lookup(c.ID)
	if found != nil && !l.outdated(found) {
		return found, nil
	}
	return l.load(c, l.Key(c.ID), first, found)
}

// load has the supervisor bring the session under key, of which the caller may not know the id, into memory. It returns its entry, of which the
// load has ended. An entry that is stale is not the answer.
func (l *Lookup) load(c *Caller, key session.Key, first *directory.Flight, stale *directory.Entry) (*directory.Entry, error) {
	call := directory.NewCall(c.Ctx, c.Options)
	reply := make(chan *directory.Entry, 1)
	l.send(&messages.OpenSession{ID: c.ID, Key: key, Call: call, First: first, Stale: stale, Reply: reply})
	event := l.await(c.Ctx, Wait{Entry: reply})
	e, err := event.Entry, event.err(c.Ctx)
	switch {
	case err != nil:
	case e == nil && l.Closed():
		err = session.ErrClosed
	case e == nil:
		err = session.ErrOverloaded
	default:
		if s := e.Snapshot(); s.Phase == directory.Opening {
			err = l.wait(c.Ctx, s.Settled)
		}
	}
	l.returnLoan(c.Ctx, call)
	return e, err
}

// returnLoan takes the context and the options back that call lends to a load. A load that has begun with them is waited
// for, since it may not use the caller's request once the caller has returned.
func (l *Lookup) returnLoan(ctx context.Context, call *directory.Call) {
	if ended, _ := call.Ended(); !ended && !call.Abandon() {
		l.await(ctx, Wait{Done: call.Done(), Bound: true})
	}
}

// outdated reports whether e says that there is no session, and may be wrong by now. A missing session is remembered for a moment
// only, and after an end another process may have signed the user in.
func (l *Lookup) outdated(e *directory.Entry) bool {
	s := e.Snapshot()
	ended := s.Phase == directory.Ended && !s.Until.IsZero()
	switch {
	case s.Phase != directory.Missing && !ended:
		return false
	case !l.Fresh.Remembers(e, l.Clock):
		return true
	}
	return ended && e.PID() == nil && !l.Fresh.MayShow(e, l.Clock)
}

// ready reports whether s, which is Ready, may be shown to a call. If not, the call looks again: the session was ended
// since its own lifetime is over, or was read, and nowFresh says whether that makes it good for this call.
func (l *Lookup) ready(c *Caller, e *directory.Entry, s *directory.Snapshot, fresh bool) (shows, nowFresh bool, err error) {
	switch {
	case s.Over(l.Clock.Now()):
		return false, fresh, l.endPastLifetime(c, e, s)
	case fresh || l.Fresh.MayShow(e, l.Clock):
		return true, fresh, nil
	case !l.Fresh.MayAsk(l.Clock.Mono()):
		if !l.Fresh.MayShow(e, l.Clock) { // another call has begun to ask since
			return false, false, session.ErrStore // and this session was not read for too long
		}
		return true, false, nil
	}
	nowFresh, err = l.readAgain(c, e)
	return false, nowFresh, err
}

// readAgain has the session read, and reports whether the entry is then good for this call. It was allowed by MayAsk, so
// it closes the circuit breaker, or opens it for a second. While the breaker is open a snapshot is served from memory, until it
// is as old as the outage limit.
func (l *Lookup) readAgain(c *Caller, e *directory.Entry) (fresh bool, err error) {
	asked := l.Fresh.Reading(l.Clock.Mono())
	call := directory.NewCall(c.Ctx, c.Options)
	err = l.Order(c.Ctx, &messages.ReadRecord{Key: e.Key, Recent: true, Call: call}, call)
	now := l.Clock.Mono()
	switch {
	case err == nil:
		l.Fresh.Answered()
		return e.Snapshot().Phase != directory.Ready || !l.Fresh.Overtaken(e), nil // else it is read again
	case c.Ctx.Err() != nil:
		return false, c.Ctx.Err()
	case errors.Is(err, session.ErrInternal):
		return false, err // the session starts again after a defect, and the age of its snapshot is not known
	case errors.Is(err, store.ErrUnreadable) && l.Fresh.MayServe(e, now):
		l.Fresh.Answered() // the session lives, and this process can read no newer record than the one it shows
		return true, nil
	}
	if l.Fresh.AnsweredSince(asked) {
		return false, nil // it failed before a gap, and what was read before that is not to be shown
	}
	l.Fresh.Failed(now)
	if !l.Fresh.MayServe(e, now) {
		return false, StoreError(err)
	}
	return false, nil
}

// endPastLifetime has a session ended whose own lifetime is over. If its deletion fails, it is over all the same, and the
// deletion is tried again.
func (l *Lookup) endPastLifetime(c *Caller, e *directory.Entry, s *directory.Snapshot) error {
	call := directory.NewCall(c.Ctx, c.Options)
	err := l.Order(c.Ctx, &messages.EndSession{
		ID: c.ID, Key: e.Key, Only: s.Incarnation, Why: session.ReasonLifetime, Call: call,
	}, call)
	switch {
	case err != nil && c.Ctx.Err() != nil:
		return c.Ctx.Err()
	case err != nil && e.Snapshot() == s:
		return StoreError(err)
	}
	return nil
}

// expire has a session deleted that a reader found at its ceiling, and returns once that was done, or tried. If the deletion
// fails, the session is over all the same. It is not over where the session left memory just then, its user has signed
// in again, or the clock was set back: the caller looks again. It fails only where the context or the client ends.
func (l *Lookup) expire(c *Caller, e *directory.Entry, s *directory.Snapshot) (over bool, err error) {
	if s.Phase != directory.Ended {
		call := directory.NewCall(c.Ctx, c.Options)
		if l.Order(c.Ctx, &messages.CeilingReached{Key: e.Key, Generation: s.Generation, Call: call}, call) != nil {
			return true, c.Ctx.Err()
		}
		shown := e.Snapshot()
		switch {
		case shown.Phase == directory.Ended:
		case shown != s, !s.Ceiling.Reached(l.Clock.Now()):
			return false, nil
		default:
			return true, nil // it starts again after a defect, and is deleted then
		}
	}
	return true, l.deleted(c.Ctx, e) // the session may have been ended just before: then its deletion is on its way
}

// deleted waits until the deletion of a session that has ended was tried.
func (l *Lookup) deleted(ctx context.Context, e *directory.Entry) error {
	s := e.Snapshot()
	if s.Phase != directory.Ended || s.Settled == nil {
		return nil
	}
	return l.wait(ctx, s.Settled)
}

// gone waits until e is of no more use: look in the directory again.
func (l *Lookup) gone(ctx context.Context, e *directory.Entry) error {
	if err := l.await(ctx, Wait{Gone: e.Gone()}).err(ctx); err != nil {
		return err
	}
	return ctx.Err()
}
