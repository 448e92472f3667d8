package tokenward

import (
	"context"
	"slices"
	"sync"

	"github.com/tokenward/tokenward/session"
)

// slots bound the requests at the provider of one class. Waiting for one costs no goroutine. The
// next in line is handed the slot in the call that gives it back, before that returns: so Settle
// misses nothing.
type slots struct {
	mu      sync.Mutex
	free    int
	most    int // waiters, but for those that go first
	waiting []*waiter
	closed  bool
}

type waiter struct{ granted func(error) }

// shares divides the requests that may be at the provider at once: a quarter is for what strangers
// can cause, the rest for signed-in users. Each class has one at least.
func shares(requests int) (users, strangers int) {
	strangers = max(1, requests/4)
	return max(1, requests-strangers), strangers
}

// take reports whether there is a slot now. If not, granted is called: with nil when there is one,
// or with session.ErrOverloaded or session.ErrClosed. A request that goes first is put before all
// others, however many wait.
func (s *slots) take(first bool, granted func(error)) (w *waiter, now bool) {
	s.mu.Lock()
	var err error
	switch {
	case s.closed:
		err = session.ErrClosed
	case s.free > 0:
		s.free--
		s.mu.Unlock()
		return nil, true
	case first:
		w = &waiter{granted}
		s.waiting = slices.Insert(s.waiting, 0, w)
		s.mu.Unlock()
		return w, false
	case len(s.waiting) >= s.most:
		err = session.ErrOverloaded
	default:
		w = &waiter{granted}
		s.waiting = append(s.waiting, w)
		s.mu.Unlock()
		return w, false
	}
	s.mu.Unlock()
	granted(err)
	return nil, false
}

// give gives a slot back.
func (s *slots) give() {
	s.mu.Lock()
	if len(s.waiting) == 0 {
		s.free++
		s.mu.Unlock()
		return
	}
	w := s.waiting[0]
	s.waiting[0] = nil
	s.waiting = s.waiting[1:]
	s.mu.Unlock()
	w.granted(nil)
}

// close turns away all that wait.
func (s *slots) close() {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting, s.closed = nil, true
	s.mu.Unlock()
	for _, w := range waiting {
		w.granted(session.ErrClosed)
	}
}

// await takes a slot for a request that its caller makes itself.
func (s *slots) await(ctx context.Context, first bool) error {
	granted := make(chan error, 1)
	w, now := s.take(first, func(err error) { granted <- err })
	if now {
		return nil
	}
	select {
	case err := <-granted:
		return err
	case <-ctx.Done():
	}
	if !s.leave(w) {
		if err := <-granted; err == nil {
			s.give()
		}
	}
	return ctx.Err()
}

// leave takes w out of the queue, and reports whether it was still there.
func (s *slots) leave(w *waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, have := range s.waiting {
		if have == w {
			s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
			return true
		}
	}
	return false
}
