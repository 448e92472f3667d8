// Package runner does on goroutines what takes time, and has the turns of session actors
// taken.
package runner

import (
	"context"
	"runtime"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

const (
	storeWork   = 256 // pieces of it at once
	turnsPerCPU = 4   // actors' turns at once

	queuedStrangers = 1000 // requests that wait for a permit of the strangers, then overloaded
)

// Runner bounds work by semaphores: requests to the provider, those of signed-in
// users and those that strangers can cause apart; store work; turns. So no kind waits for another.
// Renewals of leases are as many as leases are held.
type Runner struct {
	ctx     context.Context // ends when the client gives up on what is under way
	cancel  context.CancelCauseFunc
	pending *directory.Pending

	*Admission           // of refreshes, connection exchanges, revocations
	strangers  semaphore // code exchanges, pushed requests, discovery and keys for them
	store      semaphore
	turns      semaphore
	workers    workers
}

var _ actors.Runner = (*Runner)(nil)

// New returns a Runner that counts the work under way in pending. users, of UserRequests(l) permits, says when a request of a
// signed-in user is sent; the other requests are for strangers.
func New(l session.Limits, pending *directory.Pending, users *Admission) *Runner {
	_, strangers := shares(l.ProviderRequests)
	r := &Runner{
		pending:   pending,
		Admission: users,
		strangers: semaphore{free: strangers, most: queuedStrangers},
		store:     semaphore{free: storeWork, most: anyNumber},
		turns:     semaphore{free: turnsPerCPU * runtime.GOMAXPROCS(0), most: anyNumber},
	}
	r.workers.init()
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	return r
}

// UserRequests returns how many requests of signed-in users may be at the providers at once, of Limits.ProviderRequests.
func UserRequests(l session.Limits) int {
	users, _ := shares(l.ProviderRequests)
	return users
}

// shares divides the requests that may be at the provider at once: a quarter is for what strangers
// can cause, the rest for signed-in users. Each class has one at least.
func shares(requests int) (users, strangers int) {
	strangers = max(1, requests/4)
	return max(1, requests-strangers), strangers
}

// Run implements actors.Runner, for work that is not started in a turn of a pipeline.
func (r *Runner) Run(kind actors.Work, work func(context.Context) any, deliver func(any)) {
	(&pipeline{r: r}).Run(kind, work, deliver)
}

// Pipeline is actors.Env.Pipeline.
func (r *Runner) Pipeline() actors.Pipeline { return &pipeline{r: r} }

// Limit is idp.Config.Limit: a permit of the strangers, for a request that its caller sends.
func (r *Runner) Limit(ctx context.Context, first bool) (release func(), err error) {
	if err := r.strangers.await(ctx, first); err != nil {
		return nil, err
	}
	return r.strangers.release, nil
}

// Ask has a worker call ask once a request may be sent to issuer, for users or for strangers, and then answered. Where none
// may it calls answered with the reason, as Permit says it. A request on the wire does not count as pending, only its answer.
func (r *Runner) Ask(issuer string, strangers bool, ask func(context.Context) error, answered func(refused error)) {
	begin := func(refused error, release func(error)) {
		r.workers.do(func() {
			if refused == nil {
				release(ask(r.ctx))
			}
			r.pending.Add(1)
			defer r.pending.Add(-1)
			answered(refused)
		})
	}
	if strangers {
		granted := func(refused error) { begin(refused, func(error) { r.strangers.release() }) }
		if r.strangers.acquire(granted) {
			granted(nil)
		}
		return
	}
	granted := func(p actors.Permit, refused error) {
		begin(refused, func(err error) { r.Release(p, session.OutcomeOf(err)) })
	}
	if p, now := r.Permit(issuer, granted); now {
		granted(p, nil)
	}
}

// Context is the one that all work has: Cancel ends it.
func (r *Runner) Context() context.Context { return r.ctx }

// Go does a job that lasts as long as the client, under Context.
func (r *Runner) Go(job func()) { r.workers.do(job) }

// Refuse turns away every request that waits for a permit at the provider, and all that come,
// with session.ErrClosed.
func (r *Runner) Refuse() {
	r.Close()
	r.strangers.close()
}

// Cancel ends the context of all that is under way.
func (r *Runner) Cancel() { r.cancel(session.ErrClosed) }

// End sends idle goroutines home. It returns a channel that is closed when none is left.
func (r *Runner) End() <-chan struct{} { return r.workers.end() }
