package tokenward

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/telemetry"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// CloseError lists the work that was not done when Close was cut short. Keys may be logged.
type CloseError struct {
	Unsaved []Key // sessions whose newest state, or whose end, the store does not have

	// Undeleted are those of Unsaved that have ended, and whose records could not be deleted: a later
	// process finds them signed in.
	Undeleted []Key

	// Waiting are further sessions, of which nothing is unsaved: work had not ended, or an answer of the store is
	// of unknown outcome, as whether a login that failed has replaced the session. The store decides.
	Waiting []Key

	Err error // why closing was cut short
}

// Error implements error.
func (e *CloseError) Error() string {
	if len(e.Unsaved)+len(e.Waiting) == 0 {
		return fmt.Sprintf("closing was cut short, with nothing unsaved: %v", e.Err)
	}
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
// here on. Requests under way are answered and saved; then the actors stop, and nothing of
// the client runs any more.
//
// When ctx ends first, requests and writes under way are cut off, and Close returns a *CloseError that
// names by hash the sessions whose newest state the store does not have. In a test's Cleanup t.Context() has ended: use
// context.Background(). Closing again returns what the first Close returned.
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

// Settle is for tests: it returns when no message and no store work is pending, and each hook that was due has returned; else
// ctx.Err() once ctx ends. A hook must not call it. Advance the clock, Settle, look: a session whose ceiling has come has ended then, and SessionEnded
// was told. Settle before the clock moves, too: a store call that is under way takes, by that clock, as long as the clock moves, and times out.
//
// It does not wait for a timer that is armed, nor for a request on the wire to the provider, which a test may hold. No
// caller waits for an early refresh: its test has Hooks.AfterRefresh put something into a channel, and receives from that with
// a deadline. A jump of more than Limits.PassivateAfter puts unused sessions out of memory, and the next call reads the store.
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

// Stats counts what a client has done since New, and what it holds now.
type Stats struct {
	Resident     int64 // sessions in memory now
	Active       int64 // of these, sessions that have an actor now: there is something to do
	Unsaved      int64 // sessions now whose newest state the store does not have, after a failure
	Hits         int64 // 0 without an Observer (WithObserver), which has them counted: answers from the cache
	TokenFlights int64 // requests that spent a refresh token
	Loads        int64 // sessions read from the store
	SaveErrors   int64 // writes that failed at the first try
	Ceilings     int64 // sessions that ended at their ceiling; observe.Observer.Ended counts ends by reason
	Unreadable   int64 // records that no configured secret opens
	Lost         int64 // sessions whose refresh token a crash has cost
	Vanished     int64 // records of sessions in memory that the store does not have any more, although nobody ended them
	Stale        int64 // answers from memory while a shared store did not answer
	Failures     int64 // defects that were contained, and panics of hooks and observers
	HooksDropped int64 // events that a hook was not told of, for too many waited (WithHooks)
	Retries      int64 // requests sent again for the same callers (WithRetry)
	Paced        int64 // requests that wait now, for their provider has answered 429: it is asked less often
	BreakersOpen int64 // providers that do not work now (WithBreaker)
	Refused      int64 // requests that were not sent, for their provider does not work
}

// String names each figure.
func (s Stats) String() string {
	type figures Stats // without this method
	return fmt.Sprintf("%+v", figures(s))
}

// Stats returns what the client counted.
func (c *Client) Stats() Stats {
	t := c.stats
	var hits int64
	if c.telemetry != nil {
		hits = c.telemetry.Hits.Load()
	}
	return Stats{
		Hits: hits, Active: t.Active.Load(),
		Resident: t.Resident.Load(), Unsaved: t.Failing.Load(), TokenFlights: t.Requests.Load(), Loads: t.Loads.Load(),
		SaveErrors: t.SaveErrors.Load(), Ceilings: t.Ceilings.Load(), Unreadable: t.Unreadable.Load(),
		Lost: t.Lost.Load(), Vanished: t.Vanished.Load(), Stale: t.Stale.Load(), Failures: t.Failures.Load(), HooksDropped: t.HooksDropped.Load(),
		Retries: t.Retries.Load(), Paced: t.Paced.Load(), BreakersOpen: t.BreakersOpen.Load(), Refused: t.Refused.Load(),
	}
}

// newTelemetry returns what tells the observers of o, nil where there are none.
func (c *Client) newTelemetry(o *options) *telemetry.Telemetry {
	if len(o.observers) == 0 {
		return nil
	}
	return telemetry.New(o.observers, c.clock, c.policy, c.log, func() { c.stats.Failures.Add(1) })
}

// figures is what an observer may read.
func (c *Client) figures() func() observe.Figures {
	hits, t := &c.telemetry.Hits, c.stats // and not the client, which an observer may outlive
	return func() observe.Figures {
		return observe.Figures{
			Hits: hits.Load(), Loads: t.Loads.Load(), Resident: t.Resident.Load(), Active: t.Active.Load(), Unsaved: t.Failing.Load(),
		}
	}
}

// observeRequest is idp.Config.Observe.
func (c *Client) observeRequest() func(ctx context.Context, kind, method, server string) (context.Context, func(int, bool)) {
	if c.telemetry == nil {
		return nil
	}
	return c.telemetry.Request
}

// during tells of an operation of the host.
func during[R any](ctx context.Context, c *Client, op observe.Operation, do func(context.Context) (R, error)) (R, error) {
	return telemetry.During(ctx, c.telemetry, op, nil, func(ctx context.Context, _ *telemetry.Call) (R, error) { return do(ctx) })
}

// errUnreadable says that there are records which this process's secrets do not open.
var errUnreadable = errors.New("there are session records that cannot be read, see the log")

// unreadableFor is how long a record that could not be read counts as a reason not to be ready.
const unreadableFor = 5 * 60 // seconds

// NotReadyError says what keeps a client from serving.
type NotReadyError struct {
	Store    error // why the store is not ready, nil when it is
	Provider error // why the provider is not
}

// Error implements error.
func (e *NotReadyError) Error() string {
	switch {
	case e.Store == nil:
		return fmt.Sprintf("not ready: provider: %v", e.Provider)
	case e.Provider == nil:
		return fmt.Sprintf("not ready: store: %v", e.Store)
	}
	return fmt.Sprintf("not ready: store: %v; provider: %v", e.Store, e.Provider)
}

// Unwrap returns the causes.
func (e *NotReadyError) Unwrap() []error {
	var all []error
	for _, err := range []error{e.Store, e.Provider} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// Ready reports whether store and provider answer, and the store takes writes and has everything it
// should: nil, or a *NotReadyError that names the one that does not. A provider's
// metadata counts for as long as it is cached. Where domains come from a resolver, providers
// are not asked.
func (c *Client) Ready(ctx context.Context) error {
	if c.lookup.Closed() {
		return session.ErrClosed
	}
	e := &NotReadyError{}
	if !c.resolving() {
		e.Provider = c.idp.Ready(ctx, c.issuer)
	}
	if n := c.stats.Failing.Load(); n > 0 {
		e.Store = fmt.Errorf("%d sessions could not be saved so far", n)
	}
	if at := c.stats.UnreadableAt.Load(); at != 0 && c.clock.Now().Unix()-at < unreadableFor {
		e.Store = fmt.Errorf("%w (%d so far)", errUnreadable, c.stats.Unreadable.Load())
	}
	if err := c.checkStore(ctx); err != nil {
		e.Store = err
	}
	if e.Store == nil && e.Provider == nil {
		return nil
	}
	return e
}

// checkStore asks the store for a record that is not there, and whether it would serve.
func (c *Client) checkStore(ctx context.Context) error {
	ctx, cancel := clock.WithTimeout(ctx, c.clock, c.opts.limits.StoreTimeout)
	defer cancel()
	return actors.Contain(func() error {
		_, err := c.opts.states.Load(ctx, session.KeyOf(c.opts.sessionName, ""), store.Options{Background: true})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if checker, ok := store.As[store.Checker](c.opts.states); ok {
			return checker.Check(ctx)
		}
		return nil
	})
}
