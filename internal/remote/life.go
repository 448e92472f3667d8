package remote

import (
	"context"
	"sync"
)

// Life is a context that ends when its store is closed, and counts the work under way until then.
type Life struct {
	context.Context
	stop context.CancelFunc

	mu     sync.Mutex
	closed bool
	under  sync.WaitGroup
}

// NewLife returns the life of a store that was opened.
func NewLife() *Life {
	l := new(Life)
	l.Context, l.stop = context.WithCancel(context.Background())
	return l
}

// Begin notes that work is under way, until End is called. It reports false, and notes nothing,
// once the store is closed.
func (l *Life) Begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.under.Add(1)
	}
	return !l.closed
}

// End ends work that Begin has noted.
func (l *Life) End() { l.under.Done() }

// Wait returns when no work is under way.
func (l *Life) Wait() { l.under.Wait() }

// Close ends the context, calls cut, which has the work under way end, and waits for that. Repeated, it
// only waits.
func (l *Life) Close(cut func()) {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if !closed {
		l.stop()
		cut()
	}
	l.Wait()
}
