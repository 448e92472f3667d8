package tokenward

import (
	"context"
	"errors"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/store"
)

// wait waits for what the next step of a call needs. It is where callers wait.
func (c *Client) wait(ctx context.Context, w lookup.Wait) lookup.Came {
	if w.Bound {
		<-w.Done
		return lookup.Came{What: lookup.DoneCame}
	}
	var came lookup.Came
	select {
	case <-w.Done:
		came.What = lookup.DoneCame
	case came.Entry = <-w.Entry:
		came.What = lookup.EntryCame
	case <-w.Gone:
		came.What = lookup.GoneCame
	case <-ctx.Done():
		came.What = lookup.LeftCame
	case <-c.stopped:
		came.What = lookup.EndCame
	}
	select {
	case <-w.Done:
		came.What = lookup.DoneCame
	default:
	}
	return came
}

// look returns a session as it is now: Ready, Ended or Missing. Where it is not
// resident it is loaded.
func (c *Client) look(ctx context.Context, id string, o store.Options) (*directory.Snapshot, error) {
	l := lookup.Look{Caller: lookup.Caller{Ctx: ctx, ID: id, Options: o}}
	for w, more := l.Step(&c.callers, lookup.Came{}); more; {
		w, more = l.Step(&c.callers, c.wait(ctx, w))
	}
	return l.Snapshot, l.Err
}

// order sends m, and waits for the work that m lends call to.
func (c *Client) order(ctx context.Context, m messages.Awaited, call *directory.Call) error {
	o := lookup.Order{Caller: lookup.Caller{Ctx: ctx}, Message: m, Call: call}
	for w, more := o.Step(&c.callers, lookup.Came{}); more; {
		w, more = o.Step(&c.callers, c.wait(ctx, w))
	}
	return o.Err
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
	return lookup.StoreError(err)
}
