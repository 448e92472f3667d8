package idptest

import (
	"context"
	"fmt"
	"sync"
)

// Point is a moment in the life of a request: [BeforeGrant] or [AfterGrant].
type Point int

// The moments at which a request can be held: before the tenant acts on it, so
// that nothing has been granted, rotated or used up; and after, with the answer
// ready to leave.
const (
	BeforeGrant Point = iota
	AfterGrant
)

// Hold holds requests on the wire until the test releases them.
type Hold struct {
	kind  Kind
	point Point

	mu       sync.Mutex
	released bool
	waiting  []chan struct{} // the requests, the earliest first
	changed  chan struct{}   // closed when waiting changes
}

// Hold holds every request of kind k that comes from now on, at point p, until
// Release. One whose client gives up, and every one when the tenant closes, ends
// unanswered.
func (t *Tenant) Hold(k Kind, p Point) *Hold {
	h := &Hold{kind: k, point: p, changed: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	holds := []*Hold{h}
	for _, old := range t.holds {
		if !old.over() {
			holds = append(holds, old)
		}
	}
	t.holds = holds // a new slice: requests on their way read the old one
	return h
}

// Held returns how many requests are held now.
func (h *Hold) Held() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiting)
}

// Wait waits until at least n requests are held at once. If ctx ends first, it says how
// many there were, and wraps ctx.Err().
func (h *Hold) Wait(ctx context.Context, n int) error {
	for {
		h.mu.Lock()
		held, changed := len(h.waiting), h.changed
		h.mu.Unlock()
		if held >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("idptest: %d of %d requests held (%s): %w", held, n, h.kind, ctx.Err())
		}
	}
}

// Next lets the request go that has been held longest. It reports whether there
// was one. Others stay held, and later ones are held too.
func (h *Hold) Next() bool { return h.release(func(int) int { return 0 }) }

// Last is Next for the request that has come last.
func (h *Hold) Last() bool { return h.release(func(n int) int { return n - 1 }) }

func (h *Hold) release(which func(n int) int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.waiting)
	if n == 0 {
		return false
	}
	i := which(n)
	close(h.waiting[i])
	h.set(append(h.waiting[:i:i], h.waiting[i+1:]...))
	return true
}

// Release lets every request go, and holds no more.
func (h *Hold) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.released = true
	for _, ch := range h.waiting {
		close(ch)
	}
	h.set(nil)
}

// over reports whether h was released.
func (h *Hold) over() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.released
}

// set replaces the held requests. The caller holds h.mu.
func (h *Hold) set(waiting []chan struct{}) {
	h.waiting = waiting
	close(h.changed)
	h.changed = make(chan struct{})
}

// enter adds a request, unless h was released.
func (h *Hold) enter() (chan struct{}, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.released {
		return nil, false
	}
	ch := make(chan struct{})
	h.set(append(h.waiting, ch))
	return ch, true
}

// abandon takes a request out whose client has gone.
func (h *Hold) abandon(ch chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, have := range h.waiting {
		if have == ch {
			h.set(append(h.waiting[:i:i], h.waiting[i+1:]...))
			return
		}
	}
}

// hold keeps c for as long as the test says. It reports false when its client or
// the tenant went away in that time.
func (t *Tenant) hold(c *call, p Point) bool {
	ctx := c.req.Context()
	t.mu.Lock()
	holds := t.holds
	t.mu.Unlock()
	for _, h := range holds {
		if h.point != p || !c.matches(h.kind) {
			continue
		}
		ch, ok := h.enter()
		if !ok {
			continue
		}
		if !t.await(ctx, ch) {
			h.abandon(ch)
			return false
		}
	}
	return ctx.Err() == nil && t.ctx.Err() == nil
}
