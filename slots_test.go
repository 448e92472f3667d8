package tokenward

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tokenward/tokenward/session"
)

// A slot that is given back is handed on at once, in the order in which they were asked for.
func TestSlots_areHandedOnInOrder(t *testing.T) {
	s := &slots{free: 1, most: 2}
	var got []int
	ask := func(i int, want error) {
		if _, now := s.take(false, func(err error) {
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
	s.give()
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

// Callers who give up while they wait keep no slot, and are never more than allowed.
func TestSlots_noneIsLost(t *testing.T) {
	s := &slots{free: 3, most: 1000}
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
			s.give()
		})
	}
	wg.Wait()
	if s.free != 3 || len(s.waiting) != 0 || most.Load() > 3 {
		t.Errorf("free %d, waiting %d, at once %d", s.free, len(s.waiting), most.Load())
	}
}

// A request that others wait for goes before what waits, and is not turned away.
func TestSlots_first(t *testing.T) {
	s := &slots{most: 1}
	var got []string
	ask := func(name string, first bool) {
		s.take(first, func(err error) { got = append(got, name+" "+string(session.CodeOf(err))) })
	}
	ask("a", false)
	ask("b", false)
	ask("c", true)
	s.give()
	s.give()
	if want := []string{"b overloaded", "c ", "a "}; !slices.Equal(got, want) {
		t.Errorf("answered %q, want %q", got, want)
	}
}
