package tokenward

import (
	"context"
	"runtime"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/internal/directory"
)

const (
	storeWorkers = 256
	turnsPerCPU  = 4   // actors' turns at once
	throughput   = 300 // messages of one actor before others get a look in

	queuedStrangers = 1000 // requests that wait for a slot of the strangers, then overloaded
)

// runner does on goroutines what takes time, and has the turns of session actors taken.
// Requests to the provider are bounded by slots, those of signed-in users and those that strangers
// can cause apart; store work and turns each by a gate. So none waits for another. Renewals of
// leases are as many as leases are held.
type runner struct {
	ctx    context.Context // ends when the client gives up on what is under way
	cancel context.CancelCauseFunc
	tally  *directory.Tally

	users     slots // refreshes, connection exchanges, revocations
	strangers slots // code exchanges, pushed requests, discovery and keys for them
	store     gate
	turns     gate
	workers   workers
}

var _ actors.Runner = (*runner)(nil)

func newRunner(l Limits, tally *directory.Tally) *runner {
	users, strangers := shares(l.ProviderRequests)
	r := &runner{
		tally:     tally,
		users:     slots{free: users, most: l.QueuedFlights},
		strangers: slots{free: strangers, most: queuedStrangers},
		store:     gate{free: storeWorkers},
		turns:     gate{free: turnsPerCPU * runtime.GOMAXPROCS(0)},
	}
	r.workers.init()
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	return r
}

// Run implements actors.Runner, for work that is not started in a turn of a hand.
func (r *runner) Run(kind actors.Work, work func(context.Context) any, deliver func(any)) {
	(&hand{r: r}).Run(kind, work, deliver)
}

// Hand is actors.Env.Hand.
func (r *runner) Hand() actors.Hand { return &hand{r: r} }

// Slot implements actors.Runner.
func (r *runner) Slot(granted func(error)) bool {
	_, now := r.users.take(false, granted)
	return now
}

// Release implements actors.Runner.
func (r *runner) Release() { r.users.give() }

// limit is idp.Config.Limit.
func (r *runner) limit(ctx context.Context, first bool) (release func(), err error) {
	if err := r.strangers.await(ctx, first); err != nil {
		return nil, err
	}
	return r.strangers.give, nil
}
