package runner

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/tokenward/tokenward/session"
)

// semaphore bounds by permits how many things of a kind are under way. Waiting for a permit
// costs no goroutine: the next in line is called with it by the very call that gives it back,
// before that returns. So directory.Pending misses nothing.
type semaphore struct {
	mu      sync.Mutex
	free    int
	most    int // waiters at most, not counting those that go first
	waiting []*waiter
	closed  bool
}

const anyNumber = math.MaxInt // of waiters

type waiter struct {
	granted func(error)
	still   func() bool // asked when the waiter's turn has come; where it says no it has dealt with the waiter; nil: yes
}

// try takes a permit if there is one now.
func (s *semaphore) try() bool { return s.tryAbove(0) }

// tryAbove takes a permit if more than rest are free.
func (s *semaphore) tryAbove(rest int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.free <= rest {
		return false
	}
	s.free--
	return true
}

// acquire reports whether there is a permit now. If not, granted is called: with nil when there is
// one, or with session.ErrOverloaded or session.ErrClosed.
func (s *semaphore) acquire(granted func(error)) (now bool) {
	return s.acquireIf(nil, granted)
}

// acquireIf is acquire for one who may not want the permit any more when its turn comes.
func (s *semaphore) acquireIf(still func() bool, granted func(error)) (now bool) {
	_, now = s.join(false, still, granted)
	return now
}

// join is acquire for one who may give up. Who goes first is put before all others, however many
// wait.
func (s *semaphore) join(first bool, still func() bool, granted func(error)) (w *waiter, now bool) {
	s.mu.Lock()
	if !s.closed && s.free > 0 {
		s.free--
		s.mu.Unlock()
		return nil, true
	}
	var refused error
	switch {
	case s.closed:
		refused = session.ErrClosed
	case !first && len(s.waiting) >= s.most:
		refused = session.ErrOverloaded
	default:
		w = &waiter{granted, still}
		at := len(s.waiting)
		if first {
			at = 0
		}
		s.waiting = slices.Insert(s.waiting, at, w)
	}
	s.mu.Unlock()
	if refused != nil {
		granted(refused)
	}
	return w, false
}

// release gives a permit back.
func (s *semaphore) release() {
	for {
		w := s.nextInLine()
		switch {
		case w == nil:
			return
		case w.still == nil || w.still():
			w.granted(nil)
			return
		}
	}
}

// nextInLine returns who gets the permit that is given back. Where no one waits it returns nil, and the permit is free.
func (s *semaphore) nextInLine() *waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		s.waiting = nil
		s.free++
		return nil
	}
	w := s.waiting[0]
	s.waiting[0] = nil
	s.waiting = s.waiting[1:]
	return w
}

// close turns away all that wait, and all that come.
func (s *semaphore) close() {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting, s.closed = nil, true
	s.mu.Unlock()
	for _, w := range waiting {
		w.granted(session.ErrClosed)
	}
}

// await takes a permit, waiting for it on the caller's goroutine.
func (s *semaphore) await(ctx context.Context, first bool) error {
	granted := make(chan error, 1)
	w, now := s.join(first, nil, func(err error) { granted <- err })
	if now {
		return nil
	}
	select {
	case err := <-granted:
		return err
	case <-ctx.Done():
	}
	if !s.giveUp(w) {
		if err := <-granted; err == nil {
			s.release()
		}
	}
	return ctx.Err()
}

// giveUp takes w out of the queue, and reports whether it was still there.
func (s *semaphore) giveUp(w *waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.waiting, w)
	if at < 0 {
		return false
	}
	s.waiting = slices.Delete(s.waiting, at, at+1)
	return true
}
