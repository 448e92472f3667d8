package tokenward

import (
	"context"
	"sync"

	"github.com/tokenward/tokenward/session"
)

// slots bound the requests at the provider. Who waits for one costs no goroutine, and is
// handed it by whoever gives it back, before that returns: so Settle misses nothing.
type slots struct {
	mu      sync.Mutex
	free    int
	most    int // who may wait
	waiting []*waiter
	closed  bool
}

type waiter struct{ granted func(error) }

// take reports whether there is a slot now. If not, granted is called: with nil when there is one,
// or with session.ErrOverloaded or session.ErrClosed.
func (s *slots) take(granted func(error)) (w *waiter, now bool) {
	s.mu.Lock()
	var err error
	switch {
	case s.closed:
		err = session.ErrClosed
	case s.free > 0:
		s.free--
		s.mu.Unlock()
		return nil, true
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

// close turns away whoever waits.
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
func (s *slots) await(ctx context.Context) error {
	granted := make(chan error, 1)
	w, now := s.take(func(err error) { granted <- err })
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
