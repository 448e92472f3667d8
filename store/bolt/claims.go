package bolt

import (
	"context"
	"sync"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// claims are the sessions that ClaimDue handed out, in memory.
type claims struct {
	turn chan struct{} // full while a call claims: one at a time

	mu    sync.Mutex
	byKey map[session.Key]claim
	purge int // when there are so many, look which have lapsed
}

type claim struct {
	incarnation session.Incarnation // another one is another login, which is not claimed
	until       int64
}

const minPurge = 1024

func (c *claims) init() {
	c.turn = make(chan struct{}, 1)
	c.byKey = make(map[session.Key]claim)
	c.purge = minPurge
}

// begin waits until no other call claims. The caller calls done.
func (c *claims) begin(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case c.turn <- struct{}{}:
		return func() { <-c.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *claims) stands(r store.Ref, now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	have, ok := c.byKey[r.Key]
	return ok && have.incarnation == r.Incarnation && now < have.until
}

func (c *claims) add(refs []store.Ref, now, until int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range refs {
		c.byKey[r.Key] = claim{r.Incarnation, until}
	}
	if len(c.byKey) < c.purge {
		return
	}
	for key, have := range c.byKey {
		if now >= have.until {
			delete(c.byKey, key)
		}
	}
	c.purge = max(minPurge, 2*len(c.byKey))
}

func (c *claims) end(key session.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byKey, key)
}
