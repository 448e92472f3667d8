package tokenward

import (
	"context"
	"sync"

	"github.com/tokenward/tokenward/messages"
)

const storeWorkers = 256

// runner does on goroutines what takes time. Requests to the provider are bounded
// by slots, store work by a number of workers, so that neither waits for the other.
type runner struct {
	ctx    context.Context // ends when the client gives up on what is under way
	cancel context.CancelCauseFunc
	tally  *messages.Tally

	slots slots

	mu      sync.Mutex
	jobs    []job
	workers int
	running int // goroutines of all kinds
	quiet   chan struct{}
}

type job struct {
	work    func(context.Context) any
	deliver func(any)
}

var _ messages.Runner = (*runner)(nil)

func newRunner(l Limits, tally *messages.Tally) *runner {
	r := &runner{tally: tally, slots: slots{free: l.ProviderRequests, most: l.QueuedFlights}}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	return r
}

// Run implements messages.Runner. Store work counts as pending until it was
// delivered; a request on the wire does not, only its delivery.
func (r *runner) Run(kind messages.Work, work func(context.Context) any, deliver func(any)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kind == messages.ProviderWork {
		r.running++
		go func() {
			defer r.done()
			m := work(r.ctx)
			r.tally.Add(1)
			deliver(m)
			r.tally.Add(-1)
		}()
		return
	}
	r.tally.Add(1)
	r.jobs = append(r.jobs, job{work, deliver})
	if r.workers < storeWorkers {
		r.workers++
		r.running++
		go r.storeWork()
	}
}

func (r *runner) storeWork() {
	defer r.done()
	for {
		r.mu.Lock()
		if len(r.jobs) == 0 {
			r.jobs = nil
			r.workers--
			r.mu.Unlock()
			return
		}
		j := r.jobs[0]
		r.jobs[0] = job{}
		r.jobs = r.jobs[1:]
		r.mu.Unlock()
		j.deliver(j.work(r.ctx))
		r.tally.Add(-1)
	}
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
