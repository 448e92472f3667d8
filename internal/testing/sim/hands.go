package sim

import "iter"

// hands carry jobs out, one after the other. They are kept from run to run, for the race
// detector never forgets a coroutine that has ended.
type hands struct{ idle []*hand }

// hand is a coroutine that carries out one job at a time.
type hand struct {
	work func()
	park func() // stops the work until somebody has it go on; for the work
	next func() (done, more bool)
	stop func()
}

func newHand() *hand {
	h := &hand{}
	h.next, h.stop = iter.Pull(func(yield func(bool) bool) {
		h.park = func() { yield(false) }
		for more := true; more; more = yield(true) {
			h.work()
		}
	})
	return h
}

// goOn has the work go on to the next place where it parks, and reports whether it is done.
func (h *hand) goOn() bool {
	done, _ := h.next()
	return done
}

// take returns a hand that has nothing to do.
func (h *hands) take() *hand {
	if len(h.idle) == 0 {
		return newHand()
	}
	last := len(h.idle) - 1
	free := h.idle[last]
	h.idle = h.idle[:last]
	return free
}

func (h *hands) give(free *hand) {
	free.work = nil
	h.idle = append(h.idle, free)
}

func (h *hands) close() {
	for _, free := range h.idle {
		free.stop()
	}
}
