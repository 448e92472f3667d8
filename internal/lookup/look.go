package lookup

import (
	"errors"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Look finds a session as it is now: Ready, Ended or Missing. Where it is not resident
// it is loaded; First, if not nil, is then handled before anything else.
type Look struct {
	Caller Caller
	First  *directory.Flight

	// The answer, or why there is none.
	Entry    *directory.Entry
	Snapshot *directory.Snapshot
	Err      error

	at      lookState
	reread  bool            // so what is shown is new enough
	older   bool            // a load was waited for that had begun long before, and found nothing
	call    *directory.Call // lent to a load, or to the end of what has outlived itself
	replied chan *directory.Entry
}

type lookState uint8

const (
	lookUp        lookState = iota // look in the directory
	lookOpening                    // the supervisor was asked for the entry
	lookLoading                    // it is there; its load goes on
	lookLeaving                    // what was lent to the load is still in use
	lookSettling                   // somebody else's load goes on
	lookOutlived                   // the session's own lifetime is over, and its end ordered
	lookRereading                  // another process may have changed the session
	lookAgain                      // the entry is of no more use soon
)

// Step takes the next step and reports whether there is more to wait for.
func (l *Look) Step(c *Callers, came Came) (Wait, bool) {
	switch l.at {
	case lookUp:
		return l.up(c)
	case lookOpening:
		return l.opened(c, came)
	case lookLoading:
		l.Err = given(l.Caller.Ctx, came)
		return l.leave(c)
	case lookLeaving:
		return l.read(c)
	case lookSettling:
		if l.Err = given(l.Caller.Ctx, came); l.Err != nil {
			return Wait{}, false
		}
		if !l.older && outdated(c, l.Entry) {
			l.older = true // the next load begins after this call: what that finds is good, however long it takes
			return l.up(c)
		}
		return l.judge(c) // of the same entry: that its load failed is for all who waited
	case lookOutlived:
		return l.outlived(c, came)
	case lookRereading:
		return l.wasRead(c, came)
	case lookAgain:
		if l.Err = given(l.Caller.Ctx, came); l.Err == nil {
			l.Err = l.Caller.Ctx.Err()
		}
		if l.Err != nil {
			return Wait{}, false
		}
		return l.up(c)
	}
	panic("lookup: a look in no state")
}

// up finds the entry in the directory, or asks the supervisor to bring the session into
// memory.
func (l *Look) up(c *Callers) (Wait, bool) {
	if c.Closed() {
		l.Err = session.ErrClosed
		return Wait{}, false
	}
	l.Entry = c.Dir.Lookup(l.Caller.ID)
	if l.Entry != nil && !outdated(c, l.Entry) {
		return l.read(c)
	}
	l.call = directory.NewCall(l.Caller.Ctx, l.Caller.Options)
	l.replied = make(chan *directory.Entry, 1)
	c.ask(&messages.OpenSession{
		ID: l.Caller.ID, Key: c.Key(l.Caller.ID), Call: l.call, First: l.First, Stale: l.Entry, Reply: l.replied,
	})
	l.at = lookOpening
	return Wait{Entry: l.replied}, true
}

// outdated reports whether a memory of there being no session has had its time, or is of an
// end since which somebody may have signed in elsewhere.
func outdated(c *Callers, e *directory.Entry) bool {
	s := e.Snapshot()
	ended := s.Phase == directory.Ended && !s.Until.IsZero()
	switch {
	case s.Phase != directory.Missing && !ended:
		return false
	case !c.Fresh.Remembers(e, c.Clock):
		return true
	}
	return ended && e.PID() == nil && !c.Fresh.MayShow(e, c.Clock)
}

func (l *Look) opened(c *Callers, came Came) (Wait, bool) {
	l.Entry = came.Entry
	switch l.Err = given(l.Caller.Ctx, came); {
	case l.Err != nil:
	case l.Entry == nil && c.Closed():
		l.Err = session.ErrClosed
	case l.Entry == nil:
		l.Err = session.ErrOverloaded
	default:
		if s := l.Entry.Snapshot(); s.Phase == directory.Opening {
			l.at = lookLoading
			return Wait{Done: s.Settled}, true
		}
	}
	return l.leave(c)
}

// leave takes back what was lent: the load may not use the caller's request once the caller
// has returned.
func (l *Look) leave(c *Callers) (Wait, bool) {
	if ended, _ := l.call.Ended(); !ended && !l.call.Abandon() {
		l.at = lookLeaving
		return Wait{Done: l.call.Done(), Bound: true}, true
	}
	return l.read(c)
}

// read looks at what the entry shows.
func (l *Look) read(c *Callers) (Wait, bool) {
	if l.Err != nil {
		return Wait{}, false
	}
	if s := l.Entry.Snapshot(); s.Phase == directory.Opening {
		l.at = lookSettling
		return Wait{Done: s.Settled}, true
	}
	return l.judge(c)
}

func (l *Look) judge(c *Callers) (Wait, bool) {
	s := l.Entry.Snapshot()
	l.Snapshot = s
	switch s.Phase {
	case directory.Ready:
		now := c.Clock.Now()
		if !s.Over(now) {
			if l.reread || c.Fresh.MayShow(l.Entry, c.Clock) {
				return Wait{}, false
			}
			return l.readAgain(c)
		}
		l.call = directory.NewCall(l.Caller.Ctx, l.Caller.Options)
		c.ask(&messages.EndSession{
			ID: l.Caller.ID, Key: l.Entry.Key, Only: s.Incarnation, Why: session.ReasonLifetime, Call: l.call,
		})
		l.at = lookOutlived
		return Wait{Done: l.call.Done()}, true
	case directory.Ended, directory.Missing:
		return Wait{}, false
	case directory.Failed:
		if s.Err != nil {
			l.Err = StoreError(s.Err)
			return Wait{}, false
		}
	case directory.Opening, directory.Moved:
	}
	l.at = lookAgain
	return Wait{Gone: l.Entry.Gone()}, true
}

// readAgain has the session read again before it is shown.
func (l *Look) readAgain(c *Callers) (Wait, bool) {
	if !c.Fresh.MayAsk(c.Clock.Mono()) {
		if !c.Fresh.MayShow(l.Entry, c.Clock) { // somebody else has begun to ask since that was looked at
			l.Err = session.ErrStore // and this session has not been read for too long
		}
		return Wait{}, false
	}
	l.call = directory.NewCall(l.Caller.Ctx, l.Caller.Options)
	c.ask(&messages.Reread{Key: l.Entry.Key, Recent: true, Call: l.call})
	l.at = lookRereading
	return Wait{Done: l.call.Done()}, true
}

// wasRead goes on when the session was read again, or the store did not answer: then what is
// known is good for a while.
func (l *Look) wasRead(c *Callers, came Came) (Wait, bool) {
	w, more, err := awaitCall(l.Caller.Ctx, l.call, came)
	now := c.Clock.Mono()
	switch {
	case more:
		return w, true
	case err == nil:
		c.Fresh.Answered()
		l.reread = true
	case l.Caller.Ctx.Err() != nil:
		l.Err = l.Caller.Ctx.Err()
		return Wait{}, false
	case errors.Is(err, session.ErrInternal):
		l.Err = err // it starts again after a defect, and nobody knows how old what it shows is
		return Wait{}, false
	case errors.Is(err, store.ErrUnreadable) && c.Fresh.MayServe(l.Entry, now):
		c.Fresh.Answered() // it lives, but for this process what it shows is all there is
		l.reread = true
	default:
		c.Fresh.Failed(now)
		if !c.Fresh.MayServe(l.Entry, now) {
			l.Err = StoreError(err)
			return Wait{}, false
		}
	}
	return l.up(c)
}

// outlived goes on when a session was ended whose own lifetime is over. A deletion that
// failed is tried again; the session is over all the same.
func (l *Look) outlived(c *Callers, came Came) (Wait, bool) {
	w, more, err := awaitCall(l.Caller.Ctx, l.call, came)
	switch {
	case more:
		return w, true
	case err != nil && l.Caller.Ctx.Err() != nil:
		l.Err = l.Caller.Ctx.Err()
		return Wait{}, false
	case err != nil && l.Entry.Snapshot() == l.Snapshot:
		l.Err = StoreError(err)
		return Wait{}, false
	}
	return l.up(c)
}

// expiry has a session deleted whose ceiling a reader found reached, and is over once that
// was done, or tried.
type expiry struct{ call *directory.Call }

func (x *expiry) begin(c *Callers, l *Look) (w Wait, more bool) {
	x.call = nil
	if s := l.Snapshot; s.Phase == directory.Ended {
		return Wait{Done: s.Settled}, s.Settled != nil
	}
	x.call = directory.NewCall(l.Caller.Ctx, l.Caller.Options)
	c.ask(&messages.CeilingReached{Key: l.Entry.Key, Generation: l.Snapshot.Generation, Call: x.call})
	return Wait{Done: x.call.Done()}, true
}

func (x *expiry) step(came Came, l *Look) (w Wait, more bool, err error) {
	if x.call == nil {
		return Wait{}, false, given(l.Caller.Ctx, came)
	}
	w, more, err = awaitCall(l.Caller.Ctx, x.call, came)
	if err != nil {
		err = l.Caller.Ctx.Err() // a deletion that failed is tried again; the session is over all the same
	}
	return w, more, err
}
