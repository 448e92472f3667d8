package tokenward

import (
	"context"
	"sync/atomic"

	"github.com/tokenward/tokenward/actors"
)

// hand takes the turns of one actor, and does what they start. What takes time is done by
// the worker that took the turn, and the turn that looks at its result is taken by that
// worker again. So a flight, from question to answer, is one goroutine's work, as if
// somebody had written it down as one function: nothing is handed over on the way, and
// where the provider answers at once the session's other callers find the token in the cache.
type hand struct {
	r *runner

	started *started // by the turn that is being taken

	// The actor library calls Schedule once and not again before that turn is over. So
	// while something is delivered there is one turn at most that can wait for its end.
	delivery atomic.Int32
	waiting  func()
}

// What delivery says.
const (
	noDelivery  int32 = iota
	delivering        // whoever delivers takes the turn that comes next
	turnWaiting       // and here it is
)

// job is something that takes time, and what to do with its result.
type job struct {
	kind    actors.Work
	work    func(context.Context) any
	deliver func(any)
}

// started is what a turn started and its worker does next.
type started struct{ job job }

// Throughput implements actor.Dispatcher.
func (*hand) Throughput() int { return throughput }

// Schedule implements actor.Dispatcher: a turn, which never waits.
func (h *hand) Schedule(turn func()) {
	h.waiting = turn
	if h.delivery.CompareAndSwap(delivering, turnWaiting) {
		return
	}
	carry := func() { h.carry(turn) }
	if h.r.turns.enter(carry) {
		h.r.workers.do(carry)
	}
}

// carry takes a turn that is through the gate, and does what follows from it.
func (h *hand) carry(turn func()) {
	s := &started{}
	h.take(turn, s)
	if next := h.r.turns.leave(); next != nil {
		h.r.workers.do(next)
	}
	h.follow(s)
}

// take takes a turn. When it is over another worker may be taking the next one, so what it
// started is put where only this worker looks.
func (h *hand) take(turn func(), s *started) {
	s.job = job{}
	h.started = s
	turn()
}

// Run implements actors.Hand. Work with the store counts as pending until it was delivered;
// a request on the wire does not, only its delivery.
func (h *hand) Run(kind actors.Work, work func(context.Context) any, deliver func(any)) {
	j := job{kind, work, deliver}
	if kind != actors.ProviderWork {
		h.r.tally.Add(1)
	}
	if kind == actors.StoreWork && !h.r.store.pass() && !h.r.store.enter(func() { h.follow(&started{j}) }) {
		return
	}
	if s := h.started; s != nil && s.job.work == nil {
		s.job = j
		return
	}
	h.r.workers.do(func() { h.follow(&started{j}) }) // a turn's second job need not wait for the first
}

// follow does a job, delivers its result, takes the turn that comes of that, does the job
// that this started, and so on.
func (h *hand) follow(s *started) {
	for s.job.work != nil {
		turn := h.do(s.job)
		if turn == nil {
			return
		}
		h.take(turn, s)
	}
}

// do does a job, and returns the turn to take next, nil where somebody else takes it.
func (h *hand) do(j job) (turn func()) {
	result := j.work(h.r.ctx)
	if j.kind == actors.ProviderWork {
		h.r.tally.Add(1)
	}
	ours := h.delivery.CompareAndSwap(noDelivery, delivering) // else another delivery is under way
	j.deliver(result)
	h.r.tally.Add(-1)
	if j.kind == actors.StoreWork {
		if next := h.r.store.leave(); next != nil {
			h.r.workers.do(next)
		}
	}
	if !ours || h.delivery.CompareAndSwap(delivering, noDelivery) {
		return nil
	}
	turn, h.waiting = h.waiting, nil
	h.delivery.Store(noDelivery)
	return turn
}
