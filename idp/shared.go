package idp

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// flights are requests for documents, metadata or keys, each made once for all who wait for it.
type flights struct {
	mu    sync.Mutex
	byKey map[string]*flight
}

// flight is one request for a document. It belongs to none of those who wait: one who gives up
// leaves it to the others.
type flight struct {
	done  chan struct{} // closed when value and err are set
	value any
	err   error

	queued  context.Context // ends when the flight need not wait for a permit any more
	dequeue context.CancelFunc
	forUser atomic.Bool // a signed-in user waits for it

	renewal bool // it was begun in the background, for no one
}

// shared has work done once for all who ask for key at the same time.
func shared[T any](ctx context.Context, c *Client, key string, as class, work func(context.Context) (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	for {
		f := c.join(context.WithoutCancel(ctx), key, as, false, func(ctx context.Context) (any, error) { return work(ctx) })
		select {
		case <-f.done:
			if f.err != nil && f.renewal {
				continue // it may have been near its deadline when this caller came
			}
			v, _ := f.value.(T)
			return v, f.err
		case <-ctx.Done():
			return none, ctx.Err()
		}
	}
}

// join returns the flight for key, and starts it where there is none. It runs in the class of its
// highest waiter: what strangers wait for is promoted when a signed-in user joins.
func (c *Client) join(ctx context.Context, key string, as class, renewal bool, work func(context.Context) (any, error)) *flight {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	f, under := c.flights.byKey[key]
	if !under {
		f = &flight{done: make(chan struct{}), renewal: renewal}
		f.queued, f.dequeue = context.WithCancel(c.open)
	}
	if as == users {
		f.forUser.Store(true)
		f.dequeue()
	}
	if !under {
		c.flights.byKey[key] = f
		go c.run(ctx, key, f, work)
	}
	return f
}

// run waits for a permit and does the work. The cache has its result before the flight is over, so
// one who comes too late to join finds it there.
func (c *Client) run(ctx context.Context, key string, f *flight, work func(context.Context) (any, error)) {
	f.value, f.err = c.fetchIn(ctx, f, work)
	c.flights.mu.Lock()
	delete(c.flights.byKey, key)
	c.flights.mu.Unlock()
	close(f.done)
}

func (c *Client) fetchIn(ctx context.Context, f *flight, work func(context.Context) (any, error)) (v any, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.open, cancel)()
	// The host's transport runs in there; a panic on this goroutine would end the process.
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, fmt.Errorf("the HTTP client panicked with a %T", r)
		}
	}()
	release, err := c.admitFlight(f)
	f.dequeue()
	if err != nil {
		return nil, err
	}
	defer release()
	return work(ctx)
}
