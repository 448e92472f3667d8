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
	t := &timeout{source: source{parent: parent}}
	if t.Err() == nil {
		t.timer = c.AfterFunc(d, t.expire)
	}
	return t, t.cancel
}

// timeout becomes a standard context once a caller waits for its end or derives from it,
// so that derived contexts cost no goroutine and end together with it. Until then it
// costs little: there is one for every request and every write. It looks at its parent
// itself, so that Err is right in the moment that the parent's AfterFunc takes.
type timeout struct {
	source source
	timer  Timer // nil where the parent had ended before

	once    sync.Once // makes what follows, or sees to it that it is not made any more
	end     context.CancelFunc
	unwatch func() bool // the parent
}

func (t *timeout) expire() { t.source.end(context.DeadlineExceeded, false) }

func (t *timeout) cancel() {
	t.source.end(context.Canceled, false)
	if t.timer != nil {
		t.timer.Stop()
	}
	t.once.Do(func() {})
	if t.end != nil {
		t.end()
		t.unwatch()
	}
}

// Deadline implements context.Context.
func (t *timeout) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (t *timeout) Done() <-chan struct{} {
	t.source.followParent()
	t.once.Do(t.become)
	if s := t.source.standard(); s != nil {
		return s.Done()
	}
	return over
}

// over is closed.
var over = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (t *timeout) become() {
	standard, end := context.WithCancel(&t.source)
	t.end = end
	t.source.become(standard)
	t.unwatch = context.AfterFunc(t.source.parent, t.source.followParent)
}

// Err implements context.Context.
func (t *timeout) Err() error {
	t.source.followParent()
	return t.source.Err()
}

// Value implements context.Context.
func (t *timeout) Value(key any) any {
	if s := t.source.standard(); s != nil {
		return s.Value(key)
	}
	return t.source.Value(key)
}

// String hides the values of the parent.
func (t *timeout) String() string { return "clock.WithTimeout" }

// source is the parent of that standard context, and ends when told. It is the
// one way to end a standard context with DeadlineExceeded at a chosen moment.
type source struct {
	parent context.Context

	mu       sync.Mutex
	err      error // set once
	byParent bool  // err is the parent's
	done     chan struct{}
	child    func() // ends the standard context, if nothing did before
	made     context.Context
}

func (s *source) standard() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

// become takes the standard context that was made of s.
func (s *source) become(standard context.Context) {
	s.mu.Lock()
	s.made = standard
	ended := s.err != nil
	s.mu.Unlock()
	if ended && s.child != nil {
		s.child() // what ended s may have come before child
	}
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
		if s.done != nil {
			close(s.done)
		}
	}
	child := s.child
	s.mu.Unlock()
	if child != nil {
		child()
	}
}

// AfterFunc is how the context package ties a child to a parent it does not know.
func (s *source) AfterFunc(f func()) (stop func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.child = f
	return func() bool { return false }
}

// Deadline implements context.Context.
func (s *source) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context. It is asked when the standard context is made.
func (s *source) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		if s.err != nil {
			close(s.done)
		}
	}
	return s.done
}

// Err implements context.Context.
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
