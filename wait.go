package tokenward

import (
	"context"
	"errors"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/supervisor"
)

// wait waits for what the next step of a call needs. It is where callers wait.
func (c *Client) wait(ctx context.Context, w supervisor.Wait) supervisor.Came {
	if w.Bound {
		<-w.Done
		return supervisor.Came{What: supervisor.DoneCame}
	}
	var came supervisor.Came
	select {
	case <-w.Done:
		came.What = supervisor.DoneCame
	case came.Entry = <-w.Entry:
		came.What = supervisor.EntryCame
	case <-w.Gone:
		came.What = supervisor.GoneCame
	case <-ctx.Done():
		came.What = supervisor.LeftCame
	case <-c.stopped:
		came.What = supervisor.EndCame
	}
	select {
	case <-w.Done:
		came.What = supervisor.DoneCame
	default:
	}
	return came
}

// look returns a session as it is now: Ready, Ended or Missing. Where it is not
// resident it is loaded.
func (c *Client) look(ctx context.Context, id string, o store.Options) (*directory.Snapshot, error) {
	l := supervisor.Look{Caller: supervisor.Caller{Ctx: ctx, ID: id, Options: o}}
	for w, more := l.Step(&c.callers, supervisor.Came{}); more; {
		w, more = l.Step(&c.callers, c.wait(ctx, w))
	}
	return l.Snapshot, l.Err
}

// order sends m, and waits for the work that m lends call to.
func (c *Client) order(ctx context.Context, m any, call *directory.Call) error {
	o := supervisor.Order{Caller: supervisor.Caller{Ctx: ctx}, Message: m, Call: call}
	for w, more := o.Step(&c.callers, supervisor.Came{}); more; {
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
	return supervisor.StoreError(err)
}
