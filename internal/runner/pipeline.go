package runner

import (
	"context"
	"sync/atomic"

	"github.com/tokenward/tokenward/actors"
)

const throughput = 300 // messages of one actor before others get a look in

// pipeline takes the turns of one session actor, and does what they start. What takes time is
// done by the worker that took the turn, and the turn that looks at its result is taken by that
// worker again. So a flight, from the query to the answer, is one goroutine's work, as if it
// had been written down as one function: nothing is passed between goroutines on the way, and
// where the provider answers at once the session's other callers find the token in the cache.
//
// It is there for a storm: 10 callers of each of 1,000 sessions whose tokens have expired
// (BenchmarkStorm in bench). Without it, that is with Env.Pipeline nil, the storm took 13 to 27 % longer
// and 6 to 19 % more of the processor, in three turns of each, alternating, on two busy cores.
type pipeline struct {
	r *Runner

	started *started // by the turn that is being taken

	// The actor library calls Schedule once and not again before that turn is over. So
	// while a result is delivered there is one turn at most that can wait for its end.
	delivery atomic.Int32
	waiting  func()
}

// The values of pipeline.delivery: what a worker that delivers a result does with the turn that comes of it.
const (
	noDelivery  int32 = iota
	delivering        // a result is being delivered; no turn has come of it yet
	turnWaiting       // a turn has come, and the delivering worker takes it
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
func (*pipeline) Throughput() int { return throughput }

// Schedule implements actor.Dispatcher: a turn, which never waits.
func (p *pipeline) Schedule(turn func()) {
	p.waiting = turn
	if p.delivery.CompareAndSwap(delivering, turnWaiting) {
		return
	}
	p.r.do(&p.r.turns, func() { p.begin(turn) })
}

// do has a worker do job, with a permit of s, now or when there is one.
func (r *Runner) do(s *semaphore, job func()) {
	if s.try() || s.acquire(func(error) { r.workers.do(job) }) {
		r.workers.do(job)
	}
}

// begin takes a turn that has its permit, and does what follows from it.
func (p *pipeline) begin(turn func()) {
	s := &started{}
	p.take(turn, s)
	p.r.turns.release()
	p.follow(s)
}

// take takes a turn. When it is over another worker may be taking the next one, so what it
// started is put where only this worker looks.
func (p *pipeline) take(turn func(), s *started) {
	s.job = job{}
	p.started = s
	turn()
}

// Run implements actors.Pipeline. Work with the store counts as pending until it was delivered;
// a request on the wire does not, only its delivery.
func (p *pipeline) Run(kind actors.Work, work func(context.Context) any, deliver func(any)) {
	j := job{kind, work, deliver}
	if kind != actors.ProviderWork {
		p.r.pending.Add(1)
	}
	if kind == actors.StoreWork && !p.r.store.try() {
		p.r.do(&p.r.store, func() { p.follow(&started{j}) })
		return
	}
	if s := p.started; s != nil && s.job.work == nil {
		s.job = j
		return
	}
	p.r.workers.do(func() { p.follow(&started{j}) }) // a turn's second job need not wait for the first
}

// follow does a job, delivers its result, takes the turn that comes of that, does the job
// that this started, and so on.
func (p *pipeline) follow(s *started) {
	for s.job.work != nil {
		turn := p.do(s.job)
		if turn == nil {
			return
		}
		p.take(turn, s)
	}
}

// do does a job, and returns the turn to take next, nil where another worker takes it.
func (p *pipeline) do(j job) (turn func()) {
	result := j.work(p.r.ctx)
	if j.kind == actors.ProviderWork {
		p.r.pending.Add(1)
	}
	first := p.delivery.CompareAndSwap(noDelivery, delivering) // else another delivery is under way
	j.deliver(result)
	p.r.pending.Add(-1)
	if j.kind == actors.StoreWork {
		p.r.store.release()
	}
	if !first || p.delivery.CompareAndSwap(delivering, noDelivery) {
		return nil
	}
	turn, p.waiting = p.waiting, nil
	p.delivery.Store(noDelivery)
	return turn
}
