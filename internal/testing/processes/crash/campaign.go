package crash

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/tokenward/tokenward/clock"
)

// Campaign kills children on a new store at place until the plan is fulfilled. It stops at
// the first round in which something is wrong, with a *RoundError.
func Campaign(ctx context.Context, place *Place, plan Plan) (Result, error) {
	c := &campaign{place: place, plan: plan.orDefaults()}
	c.result = Result{Kind: place.kind, Overlap: plan.Overlap}
	err := c.run(ctx, c.struck, c.once)
	return c.result, err
}

type campaign struct {
	*stage
	place  *Place
	power  atomic.Pointer[chan struct{}] // not nil: the server dies with the child, then the channel is closed
	plan   Plan
	result Result
	child  *process // serves, and has been asked about everything
	round  round
}

// run makes rounds until there were enough kills. struck is called when a trap has sprung.
func (c *campaign) run(ctx context.Context, struck func(*process), once func(context.Context) error) (err error) {
	began := clock.System().Now()
	defer func() { c.result.Took = clock.System().Now().Sub(began) }()
	if c.stage, err = newStage(ctx, c.place.newHome(), c.plan, struck); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	c.round = round{seed: c.plan.Seed, what: "before the first kill"}
	if err := c.judged(c.begin(ctx)); err != nil {
		return err
	}
	for c.result.Kills < c.plan.Kills {
		c.round = round{seed: c.round.seed}
		if err := c.judged(c.patiently(ctx, once)); err != nil {
			return err
		}
		c.result.Rounds++
		c.round.seed++
		if c.plan.Informed != nil {
			c.plan.Informed(c.result)
		}
	}
	return c.judged(c.end(ctx))
}

// patiently gives step as long as anything may take.
func (c *campaign) patiently(ctx context.Context, step func(context.Context) error) error {
	ctx, cancel := clock.WithTimeout(ctx, clock.System(), patience)
	defer cancel()
	return step(ctx)
}

// judged returns a *RoundError where err is not nil, or where a ledger has objections.
func (c *campaign) judged(err error) error {
	wrong := c.provider.objections()
	if err == nil && len(wrong) == 0 {
		return nil
	}
	said := c.round.said
	if p := c.now.Load(); p != nil {
		said += p.said.String()
	}
	return &RoundError{
		Kind: c.result.Kind, Server: c.result.Server, Overlap: c.plan.Overlap, Seed: c.round.seed, What: c.round.what,
		Wrong: wrong, Err: err, Said: said,
	}
}

// begin starts the first child and signs everybody in.
func (c *campaign) begin(ctx context.Context) (err error) {
	ctx, cancel := clock.WithTimeout(ctx, clock.System(), patience)
	defer cancel()
	if c.child, err = c.start(ctx); err != nil {
		return err
	}
	return c.signIn(ctx, c.child, upTo(c.sessions))
}

// end closes the last child in order. The store then has everything.
func (c *campaign) end(ctx context.Context) error {
	ctx, cancel := clock.WithTimeout(ctx, clock.System(), patience)
	defer cancel()
	if err := c.child.close(ctx); err != nil {
		return err
	}
	c.objectTo(c.child)
	stored, err := c.stored(ctx)
	if err != nil {
		return err
	}
	for number, token := range stored {
		if a := c.provider.view(number); token != a.newest {
			c.provider.object("session %d: after Close the store lacks the newest refresh token", number)
		}
	}
	return nil
}
