package tokenward

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

const storeWorkers = 256

// runner does on goroutines what takes time. Requests to the provider are bounded
// by slots, store work by a number of workers, so that neither waits for the other.
type runner struct {
	ctx    context.Context // ends when the client gives up on what is under way
	cancel context.CancelCauseFunc
	tally  *messages.Tally

	slots     *semaphore.Weighted
	slotCtx   context.Context // ends when the client closes
	stopSlots context.CancelFunc
	waiting   atomic.Int64
	maxWait   int64

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
	r := &runner{tally: tally, slots: semaphore.NewWeighted(int64(l.ProviderRequests)), maxWait: int64(l.QueuedFlights)}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.slotCtx, r.stopSlots = context.WithCancel(context.Background())
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
func (r *runner) Slot(granted func(error)) {
	if r.slotCtx.Err() != nil {
		granted(session.ErrClosed)
		return
	}
	if r.slots.TryAcquire(1) {
		granted(nil)
		return
	}
	if r.waiting.Add(1) > r.maxWait {
		r.waiting.Add(-1)
		granted(session.ErrOverloaded)
		return
	}
	r.mu.Lock()
	r.running++
	r.mu.Unlock()
	go func() {
		defer r.done()
		err := r.slots.Acquire(r.slotCtx, 1)
		r.waiting.Add(-1)
		if err != nil {
			err = session.ErrClosed
		}
		granted(err)
	}()
}

// Release implements messages.Runner.
func (r *runner) Release() { r.slots.Release(1) }

// limit is the slot of a request that a caller makes itself.
func (r *runner) limit(ctx context.Context) (release func(), err error) {
	if err := r.slots.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return r.Release, nil
}
