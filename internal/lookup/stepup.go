package lookup

import (
	"context"
	"errors"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// AskStepUp has a session ask for a sign-in later than the second after, and returns once the store has that. The session is known
// by its key, and is brought into memory where it is not. The caller has read that incarnation from the store; where it
// does not live any more, nothing is left to be done. AskStepUp fails as Find and the save do.
func (l *Lookup) AskStepUp(ctx context.Context, key session.Key, of session.Incarnation, after int64, o store.Options) error {
	for again := false; ; again = true {
		e, err := l.opened(&Caller{Ctx: ctx, Options: o}, key)
		if e == nil || err != nil {
			return err
		}
		call := directory.NewCall(ctx, o)
		err = l.Order(ctx, &messages.UpdateSession{Key: key, Incarnation: of, StepUpAfter: after, Call: call}, call)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, new(*directory.OvertakenError)):
		case !errors.Is(err, session.ErrMissingSession):
			return StoreError(err)
		case again:
			return nil
		default: // memory shows another login than the store, or the session has left it
			call := directory.NewCall(ctx, o)
			if err := l.Order(ctx, &messages.ReadRecord{Key: key, Call: call}, call); err != nil {
				return StoreError(err)
			}
		}
	}
}

// opened returns the entry of the session under key, which it brings into memory, nil where none lives.
func (l *Lookup) opened(c *Caller, key session.Key) (*directory.Entry, error) {
	var stale *directory.Entry // says that there is no session, and may be older than what the caller has read
	for {
		e, err := l.load(c, key, nil, stale)
		if err != nil {
			return nil, err
		}
		switch s := e.Snapshot(); s.Phase {
		case directory.Ready:
			return e, nil
		case directory.Missing, directory.Ended:
			if stale == e {
				return nil, nil
			}
			stale = e
		case directory.Opening:
			err = l.wait(c.Ctx, s.Settled)
		case directory.Failed, directory.Moved:
			if s.Err != nil {
				return nil, StoreError(s.Err)
			}
			err = l.gone(c.Ctx, e)
		}
		if err != nil {
			return nil, err
		}
	}
}
