package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// round holds the facts of the round under way.
type round struct {
	seed   uint64
	random *rand.Rand
	what   string
	flying []int  // sessions whose callers had no answer when a child was killed
	window []int  // sessions that seem to have been killed between rotation and save
	said   string // by children that were killed
}

// once is one round: load until the moment comes, the kill, and what follows.
func (c *campaign) once(ctx context.Context) error {
	random := rand.New(rand.NewPCG(c.round.seed, uint64(c.plan.Overlap)))
	c.round.random = random
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
	if err := c.died(ctx); err != nil {
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

// died waits for the child's end, which must have been by our hand.
func (c *campaign) died(ctx context.Context) error {
	p := c.child
	if err := p.awaitEnd(ctx); err != nil {
		return err
	}
	c.provider.farewell(p.life) // what it had sent is over now, too
	c.round.said += p.said.String()
	if !p.killed.Load() {
		return errors.Join(errors.New("the child has ended by itself"), p.ended)
	}
	c.objectTo(p)
	return nil
}

// buried counts what a kill has left.
func (c *campaign) buried(ctx context.Context) error {
	c.provider.set(trap{})
	c.result.Kills++
	flying := sessionsOf(c.child.unanswered())
	c.result.InFlight += len(flying)
	c.round.flying = append(c.round.flying, flying...)
	stored, err := c.stored(ctx)
	if err != nil {
		return fmt.Errorf("what the kill has left: %w", err)
	}
	c.round.window = c.provider.killed(stored)
	return nil
}

// rise starts the next child. Where it starts late, the leases of the last one have lapsed, so
// that its first look finds the requests that were cut off. In some rounds no call is made before all of them were
// followed up, by the first look or the next.
func (c *campaign) rise(ctx context.Context) (err error) {
	shared := c.home.Kind.shared()
	startLate, askLate := shared && c.round.random.IntN(2) == 0, c.round.random.IntN(2) == 0
	if shared && !startLate {
		askLate = c.round.random.IntN(30) == 0 // for seconds lie between two looks
	}
	if startLate {
		c.round.what += ", started late"
		if err := c.awaitStaleIntents(ctx); err != nil {
			return err
		}
	}
	if c.child, err = c.start(ctx); err != nil || !askLate {
		return err
	}
	c.round.what += ", asked late"
	return c.awaitRecovery(ctx)
}

// awaitStaleIntents waits until every session that was killed between rotation and save is an
// stale intent: its intent stands, and its lease has lapsed.
func (c *campaign) awaitStaleIntents(ctx context.Context) error {
	return until(ctx, "the lapse of the leases", func() (bool, error) {
		keys, err := c.orphaned(ctx)
		if err != nil {
			return false, err
		}
		return c.windowIs(ctx, func(number int) bool { return slices.Contains(keys, keyOf(number)) })
	})
}

// awaitRecovery waits until each of them has presented its refresh token once more.
func (c *campaign) awaitRecovery(ctx context.Context) error {
	return until(ctx, "the recovery", func() (bool, error) {
		return c.windowIs(ctx, func(number int) bool { return c.provider.view(number).retried })
	})
}

// windowIs reports whether every session that was killed between rotation and save is as it
// should be, or was saved after all: then the server had heard of it before the kill.
func (c *campaign) windowIs(ctx context.Context, ok func(number int) bool) (bool, error) {
	for _, number := range c.round.window {
		if ok(number) {
			continue
		}
		if !c.home.Kind.shared() {
			return false, nil
		}
		token, err := c.storedOf(ctx, number)
		if err != nil || token != c.provider.view(number).newest {
			return false, err
		}
	}
	return true, nil
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
			r, err := c.child.do(ctx, order{Do: ask, Session: number, Audience: c.newAudience()})
			if r.Code != "" && (c.plan.Overlap > 0 || !lost(r)) {
				c.refusedWrongly(number, r)
			}
			return err
		})
	}
	if err != nil && !errors.Is(err, errGone) {
		return err
	}
	c.kill(c.child) // where it has not come so far
	if err := c.died(ctx); err != nil {
		return err
	}
	return c.buried(ctx)
}

// permuted returns all sessions in an order of the seed's.
func (c *campaign) permuted() []int { return c.round.random.Perm(c.sessions) }
