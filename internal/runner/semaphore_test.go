package runner

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tokenward/tokenward/session"
)

// A permit that is given back is handed on at once, in the order in which they were asked for.
func TestSemaphore_areHandedOnInOrder(t *testing.T) {
	s := &semaphore{free: 1, most: 2}
	var got []int
	ask := func(i int, want error) {
		if _, now := s.join(false, nil, func(err error) {
			if !errors.Is(err, want) {
				t.Errorf("%d: %v, want %v", i, err, want)
			}
			got = append(got, i)
		}); now {
			got = append(got, i)
		}
	}
	ask(0, nil)
	ask(1, nil)
	ask(2, session.ErrClosed)
	ask(3, session.ErrOverloaded)
	s.release()
	s.close()
	ask(4, session.ErrClosed)
	want := []int{0, 3, 1, 2, 4}
	if len(got) != len(want) {
		t.Fatalf("answered %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("answered %v, want %v", got, want)
		}
	}
}

// Callers who give up while they wait keep no permit, and are never more than allowed.
func TestSemaphore_noneIsLost(t *testing.T) {
	s := &semaphore{free: 3, most: 1000}
	var out, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			if i%3 == 0 {
				go cancel()
			}
			defer cancel()
			if s.await(ctx, false) != nil {
				return
			}
			n := out.Add(1)
			for {
				m := most.Load()
				if n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			out.Add(-1)
			s.release()
		})
	}
	wg.Wait()
	if s.free != 3 || len(s.waiting) != 0 || most.Load() > 3 {
		t.Errorf("free %d, waiting %d, at once %d", s.free, len(s.waiting), most.Load())
	}
}

// A request that others wait for goes before what waits, and is not turned away.
func TestSemaphore_first(t *testing.T) {
	s := &semaphore{most: 1}
	var got []string
	ask := func(name string, first bool) {
		s.join(first, nil, func(err error) { got = append(got, name+" "+string(session.CodeOf(err))) })
	}
	ask("a", false)
	ask("b", false)
	ask("c", true)
	s.release()
	s.release()
	if want := []string{"b overloaded", "c ", "a "}; !slices.Equal(got, want) {
		t.Errorf("answered %q, want %q", got, want)
	}
}

// Jobs that find no permit are kept in order, any number of them, each to start in the place of
// one that ended.
func TestSemaphore_keepsAnyNumber(t *testing.T) {
	s := semaphore{free: 2, most: anyNumber}
	var got []int
	for i := range 5 {
		if now := s.acquire(func(error) { got = append(got, i) }); now != (i < 2) {
			t.Errorf("job %d started: %v", i, now)
		}
	}
	if s.try() {
		t.Error("a permit was taken past those that wait")
	}
	for range 5 {
		s.release()
	}
	if !slices.Equal(got, []int{2, 3, 4}) {
		t.Errorf("kept jobs started in the order %v", got)
	}
	if s.free != 2 {
		t.Errorf("free = %d, want 2", s.free)
	}
}
