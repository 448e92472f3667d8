package browser

import (
	"sync"

	"github.com/tokenward/tokenward/session"
)

// maxEnded is how many sessions are remembered as ended: longer than answers are late, in a process that ends
// a hundred of them each second and answers within minutes.
const maxEnded = 16_384

// Ended remembers which browsers' sessions have ended, here or elsewhere, after they have left memory; and which
// of them a login in the same browser has replaced. Their ids are random, so they do not begin again. It is for
// answers that are late: see Sessions.Remove and Sessions.Renew. Safe for concurrent use.
type Ended struct {
	mu       sync.Mutex
	replaced map[session.Key]bool // false: it has ended in another way
	order    []session.Key        // a ring
	next     int
}

// Add notes that a session has ended, and why.
func (e *Ended) Add(key session.Key, why session.Reason) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.replaced == nil {
		e.replaced = make(map[session.Key]bool)
	}
	replaced, known := e.replaced[key]
	e.replaced[key] = replaced || why == session.ReasonReplaced
	switch {
	case known:
	case len(e.order) < maxEnded:
		e.order = append(e.order, key)
	default:
		delete(e.replaced, e.order[e.next])
		e.order[e.next] = key
		e.next = (e.next + 1) % maxEnded
	}
}

// Has reports whether a session is known to have ended, and whether a login replaced it.
func (e *Ended) Has(key session.Key) (known, replaced bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	replaced, known = e.replaced[key]
	return known, replaced
}
