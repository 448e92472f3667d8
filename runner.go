package tokenward

import (
	"context"
	"runtime"
	"sync"

	"github.com/tokenward/tokenward/messages"
)

const (
	storeWorkers = 256
	turnsPerCPU  = 4   // actors' turns at once
	throughput   = 300 // messages of one actor before others get a look in
)

// runner does on goroutines what takes time, and the turns of the actors. Requests to
// the provider are bounded by slots, store work and turns by a number of workers, so
// that none waits for another.
type runner struct {
	ctx    context.Context // ends when the client gives up on what is under way
	cancel context.CancelCauseFunc
	tally  *messages.Tally

	slots    slots
	provider pool
	store    pool
	turns    pool

	mu      sync.Mutex
	running int // workers of all pools
	quiet   chan struct{}
}

var _ messages.Runner = (*runner)(nil)

func newRunner(l Limits, tally *messages.Tally) *runner {
	r := &runner{tally: tally, slots: slots{free: l.ProviderRequests, most: l.QueuedFlights}}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.provider = pool{r: r, most: l.ProviderRequests} // each job has a slot
	r.store = pool{r: r, most: storeWorkers}
	r.turns = pool{r: r, most: turnsPerCPU * runtime.GOMAXPROCS(0)}
	return r
}

// Run implements messages.Runner. Store work counts as pending until it was
// delivered; a request on the wire does not, only its delivery.
func (r *runner) Run(kind messages.Work, work func(context.Context) any, deliver func(any)) {
	if kind == messages.ProviderWork {
		r.provider.add(func() {
			m := work(r.ctx)
			r.tally.Add(1)
			deliver(m)
			r.tally.Add(-1)
		})
		return
	}
	r.tally.Add(1)
	r.store.add(func() {
		deliver(work(r.ctx))
		r.tally.Add(-1)
	})
}

// Schedule implements actor.Dispatcher: a turn of an actor, which never waits.
func (r *runner) Schedule(turn func()) { r.turns.add(turn) }

// Throughput implements actor.Dispatcher.
func (r *runner) Throughput() int { return throughput }

// pool does jobs of one kind, in order, a number of them at once. A worker goes on while
// there are jobs, with the stack that the last one needed: each new goroutine has to
// grow its own.
type pool struct {
	r    *runner
	most int

	mu      sync.Mutex
	jobs    []func()
	workers int
}

func (p *pool) add(job func()) {
	p.mu.Lock()
	p.jobs = append(p.jobs, job)
	more := p.workers < p.most
	if more {
		p.workers++
	}
	p.mu.Unlock()
	if more {
		p.r.started()
		go p.work()
	}
}

func (p *pool) work() {
	defer p.r.done()
	for {
		p.mu.Lock()
		if len(p.jobs) == 0 {
			p.jobs = nil
			p.workers--
			p.mu.Unlock()
			return
		}
		job := p.jobs[0]
		p.jobs[0] = nil
		p.jobs = p.jobs[1:]
		p.mu.Unlock()
		job()
	}
}

func (r *runner) started() {
	r.mu.Lock()
	r.running++
	r.mu.Unlock()
}

func (r *runner) done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	if r.running == 0 && r.quiet != nil {
		close(r.quiet)
		r.quiet = nil
	}
}

// wait returns a channel that is closed when no goroutine of the runner is left.
func (r *runner) wait() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	quiet := make(chan struct{})
	if r.running == 0 {
		close(quiet)
	} else {
		r.quiet = quiet
	}
	return quiet
}

// Slot implements messages.Runner.
func (r *runner) Slot(granted func(error)) { r.slots.take(granted) }

// Release implements messages.Runner.
func (r *runner) Release() { r.slots.give() }

// limit is the slot of a request that a caller makes itself.
func (r *runner) limit(ctx context.Context) (release func(), err error) {
	if err := r.slots.await(ctx); err != nil {
		return nil, err
	}
	return r.Release, nil
}
