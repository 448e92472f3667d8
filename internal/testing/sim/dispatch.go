package sim

import "iter"

// workers carry jobs out, one after the other. They are kept from run to run, for the race
// detector never forgets a coroutine that has ended.
type workers struct{ idle []*worker }

// worker is a coroutine that carries out one job at a time.
type worker struct {
	work func()
	park func() // stops the work until goOn is called; for the work
	next func() (done, more bool)
	stop func()
}

func newWorker() *worker {
	h := &worker{}
	h.next, h.stop = iter.Pull(func(yield func(bool) bool) {
		h.park = func() { yield(false) }
		for more := true; more; more = yield(true) {
			h.work()
		}
	})
	return h
}

// goOn has the work go on to the next place where it parks, and reports whether it is done.
func (h *worker) goOn() bool {
	done, _ := h.next()
	return done
}

// take returns a worker that has nothing to do.
func (h *workers) take() *worker {
	if len(h.idle) == 0 {
		return newWorker()
	}
	last := len(h.idle) - 1
	free := h.idle[last]
	h.idle = h.idle[:last]
	return free
}

func (h *workers) give(free *worker) {
	free.work = nil
	h.idle = append(h.idle, free)
}

func (h *workers) close() {
	for _, free := range h.idle {
		free.stop()
	}
}
