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
	s := &source{parent: parent, done: make(chan struct{})}
	std, cancelStd := context.WithCancel(s)
	t := &timeout{Context: std, source: s}
	if t.Err() != nil {
		return t, cancelStd
	}
	timer := c.AfterFunc(d, func() { s.end(context.DeadlineExceeded, false) })
	unwatch := context.AfterFunc(parent, s.followParent)
	return t, func() {
		cancelStd()
		timer.Stop()
		unwatch()
	}
}

// timeout is a standard context, so that what is derived from it costs no
// goroutine and ends together with it. All it adds is a look at the parent, which
// spares whoever asks the moment that the parent's AfterFunc takes.
type timeout struct {
	context.Context
	source *source
}

func (t *timeout) Done() <-chan struct{} {
	t.source.followParent()
	return t.Context.Done()
}

func (t *timeout) Err() error {
	t.source.followParent()
	return t.Context.Err()
}

// String hides the values of the parent.
func (t *timeout) String() string { return "clock.WithTimeout" }

// source is the parent of that standard context, and ends when told. It is the
// one way to end a standard context with DeadlineExceeded at a chosen moment.
type source struct {
	parent context.Context
	done   chan struct{}
	child  func() // ends the standard context, if nothing did before

	mu       sync.Mutex
	err      error // set once
	byParent bool  // err is the parent's
}

func (s *source) followParent() {
	if err := s.parent.Err(); err != nil {
		s.end(err, true)
	}
}

// end returns with the standard context and its children ended.
func (s *source) end(err error, byParent bool) {
	s.mu.Lock()
	if s.err == nil {
		s.err, s.byParent = err, byParent
		close(s.done)
	}
	s.mu.Unlock()
	s.child()
}

// AfterFunc is how the context package ties a child to a parent it does not know.
func (s *source) AfterFunc(f func()) (stop func() bool) {
	s.child = f
	return func() bool { return false }
}

func (s *source) Deadline() (time.Time, bool) { return time.Time{}, false }

func (s *source) Done() <-chan struct{} { return s.done }

func (s *source) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Value returns the parent's value. The context package also asks it for the
// cause of the end, with a key of its own. If the end was not the parent's doing,
// a parent that ends in that very moment must not lend its cause.
func (s *source) Value(key any) any {
	s.mu.Lock()
	own := s.err != nil && !s.byParent
	s.mu.Unlock()
	if own {
		return context.WithoutCancel(s.parent).Value(key)
	}
	return s.parent.Value(key)
}
