package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/clock"
)

// Plan says what a campaign does.
type Plan struct {
	Kills    int           // at least; a round may kill twice
	Seed     uint64        // of the first round; the next has the next
	Sessions int           // 0: 64
	Overlap  time.Duration // for which the provider takes a refresh token once more after its rotation
	Fault    Fault         // of the store, for tests of this package

	// NewFor n has one in n of the sessions for which nothing was under way asked for a new
	// token after each kill; all others are. Every session is asked for one it had. 0: 1.
	NewFor int

	// Told, if not nil, is called after each round.
	Told func(Result)
}

// Result is what a campaign saw.
type Result struct {
	Kind      Kind
	Server    bool // it was the store's server that was killed; else the child
	Overlap   time.Duration
	Rounds    int
	Kills     int
	Both      int // of those the ones in which the store's server died with the child
	InFlight  int // sessions whose callers had no answer when the child was killed
	Window    int // sessions killed between rotation and save
	Recovered int // of those the ones that went on
	Lost      int // of those the ones that did not
	Told      int // lost ones whose caller was told
	Again     int // rotated refresh tokens that were presented once more
	Reuses    int // of those the ones in which the provider saw a reuse
	Took      time.Duration
}

// RoundError says what was wrong in a round, and how to repeat it.
type RoundError struct {
	Kind    Kind
	Server  bool
	Overlap time.Duration
	Seed    uint64
	What    string // the round: its moments
	Wrong   []string
	Err     error  // what kept it from going on, if anything did
	Said    string // by the children, on their standard error
}

// Error implements error.
func (e *RoundError) Error() string {
	what := fmt.Sprintf("OVERLAP=%v", e.Overlap)
	if e.Server {
		what = "SERVER=1"
	}
	text := fmt.Sprintf("%s %s SEED=%d: %s", e.Kind, what, e.Seed, e.What)
	for _, w := range e.Wrong {
		text += "\n\t" + w
	}
	if e.Err != nil {
		text += "\n\t" + e.Err.Error()
	}
	text += fmt.Sprintf("\nagain: make crash STORE=%s %s N=1 SEED=%d", e.Kind, what, e.Seed)
	if e.Said != "" {
		text += "\nthe child said:\n" + e.Said
	}
	return text
}

// Unwrap returns what kept the round from going on.
func (e *RoundError) Unwrap() error { return e.Err }

func (p Plan) orDefaults() Plan {
	if p.Sessions == 0 {
		p.Sessions = 64
	}
	p.NewFor = max(1, p.NewFor)
	return p
}

// Campaign kills children on a new store at place until the plan is fulfilled. It stops at
// the first round in which something is wrong, with a *RoundError.
func Campaign(ctx context.Context, place *Place, plan Plan) (Result, error) {
	plan = plan.orDefaults()
	began := clock.System().Now()
	c := &campaign{place: place, plan: plan, result: Result{Kind: place.kind, Overlap: plan.Overlap}}
	err := c.run(ctx)
	c.result.Took = clock.System().Now().Sub(began)
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

// round is what is known of the present one.
type round struct {
	seed   uint64
	random *rand.Rand
	what   string
	window []int  // sessions that seem to have been killed between rotation and save
	said   string // by children that were killed
}

func (c *campaign) run(ctx context.Context) (err error) {
	if c.stage, err = newStage(ctx, c.place.newHome(), c.plan.Sessions, c.plan.Overlap, c.plan.Fault, c.struck); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	c.round = round{seed: c.plan.Seed, what: "before the first kill"}
	if err := c.begin(ctx); err != nil {
		return c.failed(err)
	}
	for c.result.Kills < c.plan.Kills {
		if err := c.once(ctx); err != nil || len(c.provider.objections()) > 0 {
			return c.failed(err)
		}
		c.result.Rounds++
		c.round.seed++
		if c.plan.Told != nil {
			c.plan.Told(c.result)
		}
	}
	if err := c.end(ctx); err != nil || len(c.provider.objections()) > 0 {
		return c.failed(err)
	}
	return nil
}

func (c *campaign) failed(err error) error {
	said := c.round.said
	if p := c.now.Load(); p != nil {
		said += p.said.String()
	}
	return &RoundError{
		Kind: c.result.Kind, Server: c.result.Server, Overlap: c.plan.Overlap, Seed: c.round.seed, What: c.round.what,
		Wrong: c.provider.objections(), Err: err, Said: said,
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

// once is one round: load until the moment comes, the kill, and what follows.
func (c *campaign) once(ctx context.Context) error {
	ctx, cancel := clock.WithTimeout(ctx, clock.System(), patience)
	defer cancel()
	random := rand.New(rand.NewPCG(c.round.seed, uint64(c.plan.Overlap)))
	c.round = round{seed: c.round.seed, random: random}
	workers := []int{1, 4, 16, 32}[random.IntN(4)]
	t := drawTrap(random, moments(c.home.Kind, c.plan.Overlap > 0), c.round.seed, 40)
	c.round.what = fmt.Sprintf("%d callers, killed %v", workers, t)
	var down chan struct{}
	if c.home.Kind.shared() && random.IntN(8) == 0 {
		c.round.what += " with the server"
		down = make(chan struct{})
		c.power.Store(&down)
	}
	if err := c.set(ctx, c.child, t); err != nil && !errors.Is(err, errGone) {
		return err
	}
	if err := c.load(ctx, c.child, random.Uint64(), workers, c.refusedWrongly); err != nil {
		return err
	}
	if down != nil {
		<-down
		c.result.Both++
		if err := c.place.restart(); err != nil {
			return err
		}
	}
	if err := c.buried(ctx); err != nil {
		return err
	}
	if random.IntN(5) == 0 {
		if err := c.killAgain(ctx); err != nil {
			return err
		}
	}
	if err := c.rise(ctx); err != nil {
		return err
	}
	return c.askEverybody(ctx)
}

// struck kills the child, and the server with it where the power fails.
func (c *campaign) struck(p *process) {
	c.kill(p)
	if down := c.power.Swap(nil); down != nil {
		c.place.kill()
		close(*down)
	}
}

// buried counts what a kill has left.
func (c *campaign) buried(ctx context.Context) error {
	p := c.child
	if err := p.awaitEnd(ctx); err != nil {
		return err
	}
	c.round.said += p.said.String()
	c.provider.set(trap{})
	c.result.Kills++
	c.result.InFlight += len(sessionsOf(p.unanswered()))
	stored, err := c.stored(ctx)
	if err != nil {
		return fmt.Errorf("what the kill has left: %w", err)
	}
	c.round.window = c.provider.killed(stored)
	return nil
}

// rise starts the next child, now or when the leases of the last one have lapsed.
func (c *campaign) rise(ctx context.Context) (err error) {
	if c.home.Kind.shared() && c.round.random.IntN(2) == 0 {
		c.round.what += ", started late"
		if err := c.awaitOrphans(ctx); err != nil {
			return err
		}
	}
	c.child, err = c.start(ctx)
	return err
}

// awaitOrphans waits until every session that was killed between rotation and save is an
// orphan: its intent stands, and its lease has lapsed. One that the server has saved after all
// has no intent any more.
func (c *campaign) awaitOrphans(ctx context.Context) error {
	return until(ctx, "the lapse of the leases", func() (bool, error) {
		keys, err := c.orphaned(ctx)
		for _, number := range c.round.window {
			if err != nil {
				return false, err
			}
			if slices.Contains(keys, keyOf(number)) {
				continue
			}
			var token string
			if token, err = c.storedOf(ctx, number); token != c.provider.view(number).newest {
				return false, err
			}
		}
		return true, err
	})
}

// killAgain kills the next child while it recovers, or soon after.
func (c *campaign) killAgain(ctx context.Context) error {
	if err := c.rise(ctx); err != nil {
		return err
	}
	t := drawTrap(c.round.random, moments(c.home.Kind, false), c.round.random.Uint64(), 8)
	c.round.what += fmt.Sprintf(", and again %v", t)
	err := c.set(ctx, c.child, t)
	if err == nil {
		err = each(c.permuted(), 16, func(number int) error {
			_, err := c.child.do(ctx, order{Do: ask, Session: number, Audience: c.newAudience()})
			return err
		})
	}
	if err != nil && !errors.Is(err, errGone) {
		return err
	}
	c.kill(c.child) // where it has not come so far
	return c.buried(ctx)
}

// permuted returns all sessions in an order of the seed's.
func (c *campaign) permuted() []int { return c.round.random.Perm(c.sessions) }

// end closes the last child in order. The store then has everything.
func (c *campaign) end(ctx context.Context) error {
	ctx, cancel := clock.WithTimeout(ctx, clock.System(), patience)
	defer cancel()
	if err := c.child.close(ctx); err != nil {
		return err
	}
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
