package crash

import (
	"context"
	"slices"
	"sync"

	"github.com/tokenward/tokenward/session"
)

// askEverybody asks every session for the last token that was acknowledged before the kill,
// which must still be there, and for a new one unless the plan spares it. It holds what
// comes against the ledger, and signs those in again that were lost.
func (c *campaign) askEverybody(ctx context.Context) error {
	var (
		mu       sync.Mutex
		informed []int
	)
	cachedFirst := c.round.random.IntN(2) == 0
	rest := c.round.random.IntN(c.plan.NewFor)
	err := each(c.permuted(), 32, func(number int) error {
		before := c.provider.view(number)
		underWay := before.presented > 0 || slices.Contains(c.round.flying, number)
		if !underWay && before.audience != "" && number%c.plan.NewFor != rest {
			return c.askKept(ctx, number, before)
		}
		if cachedFirst {
			if err := c.askKept(ctx, number, before); err != nil {
				return err
			}
		}
		r, err := c.child.do(ctx, order{Do: ask, Session: number, Audience: c.newAudience()})
		switch {
		case err != nil:
			return err
		case lost(r):
			mu.Lock()
			informed = append(informed, number)
			mu.Unlock()
		case r.Code != "":
			c.refusedWrongly(number, r)
		}
		if !cachedFirst {
			return c.askKept(ctx, number, before)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.reckon(ctx, informed)
}

// askKept asks for a token that was acknowledged before the kill: it comes from the cache.
func (c *campaign) askKept(ctx context.Context, number int, before account) error {
	if before.audience == "" {
		return nil
	}
	r, err := c.child.do(ctx, order{Do: ask, Session: number, Audience: before.audience})
	if err == nil && r.Token != before.access {
		c.provider.object("session %d: a token that was acknowledged before the kill is not there any more %s", number, r.Text)
	}
	return err
}

// lost reports whether a caller was told that the session cannot be refreshed any more.
func lost(r report) bool {
	switch session.Code(r.Code) {
	case session.CodeMissingRefreshToken:
		return true
	case session.CodeRefreshTokenError:
		return session.Code(r.Cause) == session.CodeInvalidGrant
	}
	return false
}

// reckon compares who was told to be lost with what the provider knows, counts, and lets the
// lost ones begin anew.
func (c *campaign) reckon(ctx context.Context, informed []int) error {
	slices.Sort(informed)
	var gone []int
	for number := range c.sessions {
		if c.provider.view(number).dead {
			gone = append(gone, number)
		}
		if alive := c.provider.tenant.FamilyAlive(subjectOf(number)); alive == slices.Contains(informed, number) {
			c.provider.object("session %d: alive at the provider: %v, and that is not what its caller was told", number, alive)
		}
	}
	if !slices.Equal(gone, informed) {
		c.provider.object("sessions %v were lost, and the callers of %v were told", gone, informed)
	}
	if c.plan.Overlap > 0 && len(gone) > 0 {
		c.provider.object("%d sessions were lost within the overlap", len(gone))
	}
	if err := c.settled(ctx, c.child); err != nil {
		return err
	}
	again, refused := c.provider.counts()
	window := c.provider.retried()
	for _, number := range gone {
		if !slices.Contains(window, number) {
			c.provider.object("session %d was lost, and was not killed between rotation and save", number)
		}
	}
	r := &c.result
	r.Window += len(window)
	r.Lost += len(gone)
	r.Informed += len(informed)
	r.Recovered = r.Window - r.Lost
	r.Again, r.Reuses = again, c.provider.tenant.Reuses()
	if r.Reuses > refused {
		c.provider.object("the provider saw %d reuses, of which %d were recovery's", r.Reuses, refused)
	}
	c.provider.mark()
	return c.signIn(ctx, c.child, gone)
}
