package tokenward

import (
	"context"
	"errors"
	"fmt"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// look returns a session as it is now: Ready, Ended or Missing. Where it is not
// resident it is loaded; first, if not nil, is then handled before anything else.
func (c *Client) look(ctx context.Context, id string, o store.Options, first *messages.Flight) (*messages.Entry, *messages.Snapshot, error) {
	for {
		if c.closed.Load() {
			return nil, nil, session.ErrClosed
		}
		e := c.dir.Lookup(id)
		if e == nil || c.outdated(e.Snapshot()) {
			var err error
			if e, err = c.open(ctx, id, o, first); err != nil {
				return nil, nil, err
			}
		}
		s := e.Snapshot()
		if s.Phase == messages.Opening {
			if err := c.await(ctx, s.Settled); err != nil {
				return nil, nil, err
			}
			s = e.Snapshot() // of the same entry: that its load failed is for all who waited
		}
		switch s.Phase {
		case messages.Ready:
			if !s.State.Internal.Over(c.clock.Now()) {
				return e, s, nil
			}
			if err := c.outlived(ctx, id, e, s, o); err != nil {
				return nil, nil, err
			}
		case messages.Ended, messages.Missing:
			return e, s, nil
		case messages.Failed:
			if s.Err != nil {
				return nil, nil, storeError(s.Err)
			}
			if err := c.await(ctx, e.Gone()); err != nil {
				return nil, nil, err
			}
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
		case messages.Opening, messages.Moved:
			if err := c.await(ctx, e.Gone()); err != nil {
				return nil, nil, err
			}
		}
	}
}

// outlived ends a session whose own lifetime is over.
func (c *Client) outlived(ctx context.Context, id string, e *messages.Entry, s *messages.Snapshot, o store.Options) error {
	call := messages.NewCall(ctx, o)
	c.send(&messages.EndSession{ID: id, Key: e.Key, Only: s.Incarnation, Why: session.ReasonLifetime, Call: call})
	switch err := c.finish(call); {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil && e.Snapshot() == s:
		return storeError(err)
	}
	return nil // a deletion that failed is tried again; the session is over all the same
}

// outdated reports whether a memory of there being no session has had its time.
func (c *Client) outdated(s *messages.Snapshot) bool {
	return (s.Phase == messages.Missing || s.Phase == messages.Ended && !s.Until.IsZero()) && !c.clock.Now().Before(s.Until)
}

// open has the supervisor bring a session into memory.
func (c *Client) open(ctx context.Context, id string, o store.Options, first *messages.Flight) (*messages.Entry, error) {
	call := messages.NewCall(ctx, o)
	defer call.Leave() // the load may not use the caller's request once the caller has returned
	replied := make(chan *messages.Entry, 1)
	c.send(&messages.OpenSession{ID: id, Key: c.key(id), Call: call, First: first, Reply: replied})
	var e *messages.Entry
	select {
	case e = <-replied:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.stopped:
		return nil, session.ErrClosed
	}
	if e == nil {
		if c.closed.Load() {
			return nil, session.ErrClosed
		}
		return nil, session.ErrOverloaded
	}
	if s := e.Snapshot(); s.Phase == messages.Opening {
		if err := c.await(ctx, s.Settled); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// await waits for done, ctx or the end of the client.
func (c *Client) await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.stopped:
		return session.ErrClosed
	}
}

// expire has a session deleted whose ceiling a reader found reached, and returns
// once that was done, or tried.
func (c *Client) expire(ctx context.Context, e *messages.Entry, s *messages.Snapshot, o store.Options) error {
	if s.Phase == messages.Ended {
		return c.awaitDeletion(ctx, s)
	}
	call := messages.NewCall(ctx, o)
	c.send(&messages.CeilingReached{Key: e.Key, Generation: s.Generation, Call: call})
	err := c.finish(call)
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	return nil // a deletion that failed is tried again; the session is over all the same
}

func (c *Client) awaitDeletion(ctx context.Context, s *messages.Snapshot) error {
	if s.Settled == nil {
		return nil
	}
	return c.await(ctx, s.Settled)
}

// finish waits for work that was lent a call.
func (c *Client) finish(call *messages.Call) error {
	return call.Wait(c.stopped, session.ErrClosed)
}

// attempt does store work on the caller's goroutine: within its deadline, and a panic
// of the store is an error. What the store says of a record is returned as it is.
func (c *Client) attempt(ctx context.Context, work func(context.Context) error) error {
	bounded, cancel := clock.WithTimeout(ctx, c.clock, c.opts.limits.StoreTimeout)
	defer cancel()
	err := actors.Contain(func() error { return work(bounded) })
	switch {
	case err == nil, errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrUnreadable):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return storeError(err)
}

// storeError says that the store did not answer.
func storeError(err error) error {
	if session.CodeOf(err) != "" {
		return err
	}
	return fmt.Errorf("%w: %w", session.ErrStore, err)
}
