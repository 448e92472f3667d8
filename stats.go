package tokenward

import (
	"context"
	"errors"
	"fmt"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/telemetry"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Stats counts what a client has done since New, and what it holds now.
type Stats struct {
	Resident     int64 // sessions in memory now
	Active       int64 // of these, sessions that have an actor now: there is something to do
	Unsaved      int64 // sessions now whose newest state the store does not have, after a failure
	Hits         int64 // answers from the cache; counted where an Observer is set (WithObserver), else 0
	TokenFlights int64 // requests that spent a refresh token
	Loads        int64 // sessions read from the store
	SaveErrors   int64 // writes that failed at the first try
	Ceilings     int64 // sessions ended by their ceiling
	Unreadable   int64 // records that no configured secret opens
	Lost         int64 // sessions whose refresh token a crash has cost
	Vanished     int64 // records of sessions in memory that the store does not have any more, although nobody ended them
	Stale        int64 // answers from memory while a shared store did not answer
	Failures     int64 // defects that were contained
	Retries      int64 // requests sent again for the same callers (WithRetry)
	Paced        int64 // requests that wait now, for their provider has answered 429: it is asked less often
	BreakersOpen int64 // providers that do not work now (WithBreaker)
	Refused      int64 // requests that were not sent, for their provider does not work
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
		Lost: t.Lost.Load(), Vanished: t.Vanished.Load(), Stale: t.Stale.Load(), Failures: t.Failures.Load(),
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
