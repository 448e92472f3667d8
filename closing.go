package tokenward

import (
	"context"
	"fmt"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// CloseError lists the work that was not done when Close was cut short. Keys may be logged.
type CloseError struct {
	Unsaved []Key // sessions whose newest state, or whose end, the store does not have

	// Undeleted are those of Unsaved that have ended, and whose records could not be deleted: a later
	// process finds them signed in.
	Undeleted []Key

	// Waiting are further sessions, of which nothing is unsaved: work had not ended, or an answer of the store is
	// in doubt, as whether a login that failed has replaced the session. The store decides.
	Waiting []Key

	Err error // why closing was cut short
}

// Error implements error.
func (e *CloseError) Error() string {
	text := fmt.Sprintf("closed before everything was saved (%d sessions", len(e.Unsaved))
	if n := len(e.Undeleted); n > 0 {
		text += fmt.Sprintf(", %d of them ended and not deleted", n)
	}
	if n := len(e.Waiting); n > 0 {
		text += fmt.Sprintf("; %d more waited for the store or the provider", n)
	}
	return fmt.Sprintf("%s): %v", text, e.Err)
}

// Unwrap returns why closing was cut short.
func (e *CloseError) Unwrap() error { return e.Err }

// Close ends the client. New calls, cache hits included, fail with ErrClosed from
// here on. Requests under way land and are saved; then the actors stop, and nothing of
// the client runs any more.
//
// When ctx ends first, requests and writes under way are cut off, and Close returns a *CloseError that
// names by hash the sessions whose newest state the store does not have. Closing again
// returns what the first Close returned.
func (c *Client) Close(ctx context.Context) error {
	c.closing.Do(func() { c.closeErr = c.close(ctx) })
	return c.closeErr
}

func (c *Client) close(ctx context.Context) error {
	c.lookup.Close()
	c.runner.Refuse()
	rest := make(chan struct{})
	c.send(&messages.Close{Done: rest})
	var cut error
	select {
	case <-rest:
	case <-ctx.Done():
		select {
		case <-rest:
		default:
			cut = c.abort(ctx)
		}
	}
	c.system.Root.Stop(c.lookup.Supervisor)
	close(c.stopped)
	c.runner.Cancel()
	c.awaitQuiet()
	if c.ours {
		c.system.Shutdown()
	}
	c.idp.Close()
	c.losses.End()
	c.telemetry.Close()
	return cut
}

// abort cuts off requests and writes under way.
func (c *Client) abort(ctx context.Context) error {
	reply := make(chan []session.Key, 1)
	rest := &messages.AbortedRest{}
	c.send(&messages.Abort{Reply: reply, Rest: rest})
	unsaved := <-reply // asked first: a request that is cut off looks like one that failed
	c.runner.Cancel()
	return &CloseError{Unsaved: unsaved, Undeleted: rest.Undeleted, Waiting: rest.Waiting, Err: context.Cause(ctx)}
}

// awaitQuiet waits until nothing of ours runs. What ignores its context, a store or
// transport of the host's, is given a second.
func (c *Client) awaitQuiet() {
	ctx, cancel := clock.WithTimeout(context.Background(), c.clock, time.Second)
	defer cancel()
	_ = c.settle(ctx)
	select {
	case <-c.runner.End():
	case <-ctx.Done():
		c.log.Warn("a store or transport did not return although its context ended")
	}
	_ = c.settle(ctx)
}

// Settle is for tests: it returns when no message, store work or hand-over is
// pending. A request on the wire to the provider does not count, nor does a timer that is
// armed. Advance the clock, Settle, look.
func (c *Client) Settle(ctx context.Context) error { return c.settle(ctx) }

func (c *Client) settle(ctx context.Context) error {
	for c.pending.Count() != 0 {
		select {
		case <-c.pending.Rest():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
