package clock

import (
	"context"
	"sync"
	"time"
)

// WithTimeout returns a copy of parent that ends with context.DeadlineExceeded,
// as its error and as its cause, when d has passed on c. Like any context it
// also ends when parent does, with its error and cause, and by cancel, which
// must be called to release the timer.
//
// It never has a Deadline, not even its parent's: that is for readers of the
// machine's clock, and c may be far from it.
func WithTimeout(parent context.Context, c Clock, d time.Duration) (ctx context.Context, cancel context.CancelFunc) {
	t := &timeout{parent: parent, done: make(chan struct{})}
	if t.Err() != nil {
		return t, func() {}
	}
	timer := c.AfterFunc(d, func() { t.end(context.DeadlineExceeded, false) })
	unwatch := context.AfterFunc(parent, func() { t.end(parent.Err(), true) })
	t.onEnd(func() { timer.Stop(); unwatch() })
	return t, func() { t.end(context.Canceled, false) }
}

// timeout is a context of our own, for the standard library makes none that
// ends with DeadlineExceeded on demand. What is derived from it reaches it by
// AfterFunc, so that a child costs no goroutine and ends together with it.
type timeout struct {
	parent context.Context
	done   chan struct{}

	mu       sync.Mutex
	err      error // set once, just before done is closed
	byParent bool  // err is the parent's
	last     uint64
	ends     map[uint64]func() // called once, at the end
}

func (t *timeout) Deadline() (time.Time, bool) { return time.Time{}, false }

func (t *timeout) Done() <-chan struct{} {
	t.followParent()
	return t.done
}

func (t *timeout) Err() error {
	t.followParent()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Value returns the parent's value. One key is special: context.Cause finds by
// it the nearest standard context that was cancelled. Once this one has ended
// for a reason of its own, a parent that ends later must not lend it another.
func (t *timeout) Value(key any) any {
	t.mu.Lock()
	own := t.err != nil && !t.byParent
	t.mu.Unlock()
	if own {
		return context.WithoutCancel(t.parent).Value(key)
	}
	return t.parent.Value(key)
}

// String hides the values, and keeps fmt from reading fields without the lock.
func (t *timeout) String() string { return "clock.WithTimeout" }

// AfterFunc is what the context package looks for in a parent it does not know.
func (t *timeout) AfterFunc(f func()) (stop func() bool) {
	id, ok := t.add(f)
	if !ok {
		go f() // the caller holds a lock that f takes
		return func() bool { return false }
	}
	return func() bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		_, waiting := t.ends[id]
		delete(t.ends, id)
		return waiting
	}
}

// onEnd calls f when the context ends, or now if it has.
func (t *timeout) onEnd(f func()) {
	if _, ok := t.add(f); !ok {
		f()
	}
}

// add reports false when the context has ended already.
func (t *timeout) add(f func()) (id uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return 0, false
	}
	if t.ends == nil {
		t.ends = make(map[uint64]func())
	}
	t.last++
	t.ends[t.last] = f
	return t.last, true
}

// followParent spares whoever asks the moment that the parent's AfterFunc takes.
func (t *timeout) followParent() {
	if err := t.parent.Err(); err != nil {
		t.end(err, true)
	}
}

// end ends the context if nothing did before. It returns with the children ended.
func (t *timeout) end(err error, byParent bool) {
	t.mu.Lock()
	if t.err != nil {
		t.mu.Unlock()
		return
	}
	t.err, t.byParent = err, byParent
	close(t.done)
	ends := t.ends
	t.ends = nil
	t.mu.Unlock()
	for _, f := range ends {
		f()
	}
}
