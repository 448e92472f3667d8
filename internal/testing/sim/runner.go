package sim

import (
	"context"
	"errors"
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// job is one piece of work: it makes its steps when the world says so. What it asks of
// store and provider has two steps each, sent and acted, and anything may come in
// between; a job that is over is delivered in one more.
type job struct {
	p        *process
	kind     actors.Work
	owner    *mailbox            // whose actor wanted it, nil when that is not known
	snapshot *directory.Snapshot // what its session showed then
	flights  []*directory.Flight // the same
	family   *family             // whose that was
	decided  time.Time           // when that was, by the clock of p
	newest   int                 // its newest refresh token then, so far as p knew
	epoch    int64               // and of its lease
	again    bool                // a request that the product counts as sent again
	learns   []func()            // what p knows once the work's owner has its result
	work     func(context.Context) any
	deliver  func(any)

	worker     *worker // nil until it has begun
	stage      stage
	parked     context.Context // of the call it is in
	what       string          // the call it is in
	call       string          // of the store
	tear       func()          // have what was sent arrive in part
	killed     bool            // its process has died
	pending    func()          // what the call that was sent would do, should it arrive all the same
	late       bool            // it may do so at any time later
	about      *subject
	quick      bool     // what was sent fails without doing anything
	leaseOf    *subject // it has asked for the lease of that session
	leaseErr   error
	leaseEpoch int64
	request    *request // at the provider
	over       bool
	result     any
}

// can reports whether j can make a step: of a paused process only what it had sent goes on.
func (j *job) can() bool {
	return !j.p.paused || !j.over && j.stage == sent && !j.quick
}

type stage uint8

const (
	atRest stage = iota
	sent         // a call is on its way, and has done nothing yet
	acted        // it has done what it does, and the answer is on its way
)

var errKilled = errors.New("the process has died")

// Run implements actors.Runner.
func (p *process) Run(kind actors.Work, work func(context.Context) any, deliver func(any)) {
	w := p.w
	j := &job{p: p, kind: kind, work: work, deliver: deliver, owner: w.turn, decided: p.now()}
	if m := w.turn; m != nil && m.entry != nil {
		j.snapshot, j.flights = m.entry.Snapshot(), m.entry.Flights()
		if j.snapshot.Phase == directory.Ready {
			j.family = w.families[j.snapshot.State().Internal.SID]
			j.newest = p.held[j.family]
			j.epoch = m.subject.leaseOf(p).known
		}
		w.checkOwner(m)
	}
	retries := p.stats.Retries.Load()
	j.again, p.retries = retries != p.retries, retries
	p.jobs = append(p.jobs, j)
}

// step lets j make its next step.
func (j *job) step() {
	w := j.p.w
	if j.over {
		j.p.dropJob(j)
		if j.result != nil {
			w.deliveries = append(w.deliveries, delivery{j.result, j})
		}
		if j.request != nil {
			w.note("%sthe answer to request %d is delivered", j.p.prefix(), j.request.n)
		} else {
			w.note("%sthe end of %s is delivered", j.p.prefix(), j.what)
		}
		j.deliver(j.result)
		return
	}
	j.advance()
}

// advance goes on until the next place where something may come between.
func (j *job) advance() {
	w := j.p.w
	before := w.job
	w.job = j
	defer func() { w.job = before }()
	if j.worker == nil {
		j.worker = w.workers.take()
		j.worker.work = func() { j.result = j.work(context.Background()) }
	}
	if j.worker.goOn() {
		w.workers.give(j.worker)
		j.over, j.stage = true, atRest
	}
}

// park stops j at a stage of its work, until the world goes on with it. It returns
// an error when the call has ended by then, so far as j can tell.
func (j *job) park(ctx context.Context, s stage) error {
	if j.killed {
		return errKilled
	}
	j.stage, j.parked = s, ctx
	j.worker.park()
	j.stage = atRest
	switch {
	case j.killed:
		return errKilled
	case j.p.cut:
		return session.ErrClosed
	}
	return ctx.Err()
}

// kill ends j with its process. What it had sent may still arrive, now or later.
func (j *job) kill() {
	w := j.p.w
	if j.over || j.worker == nil {
		return
	}
	w.saw[crashPoint(j)]++
	j.killed = true
	if j.stage == sent && j.pending != nil {
		w.strand(j)
	}
	for !j.over {
		j.advance()
	}
}

// Permit implements actors.Runner. Breaker, pace and permits are those of the product.
func (p *process) Permit(issuer string, granted func(actors.Permit, error)) (permit actors.Permit, now bool) {
	if p.w.turn != nil {
		p.w.checkOwner(p.w.turn)
	}
	asked := true // and not yet answered
	permit, now = p.admission.Permit(issuer, func(got actors.Permit, err error) {
		switch {
		case err == nil:
			p.permits++
			p.sawPace(got)
		case errors.Is(err, session.ErrOverloaded):
			p.w.saw[permitsOverloaded]++
		}
		asked = false
		granted(got, err)
	})
	switch {
	case now:
		p.permits++
		p.sawPace(permit)
	case asked:
		p.w.saw[permitWaitedFor]++
	}
	return permit, now
}

func (p *process) sawPace(permit actors.Permit) {
	if permit.Paced {
		p.w.saw[pacedFlight]++
	}
}

// Spare implements actors.Runner.
func (p *process) Spare(issuer string) (permit actors.Permit, now bool) {
	if p.w.turn != nil {
		p.w.checkOwner(p.w.turn)
	}
	if !p.w.choose.odds(50) {
		permit, now = p.admission.Spare(issuer)
	}
	if now {
		p.permits++
	} else {
		p.w.saw[noneSpare]++
	}
	return permit, now
}

// Release implements actors.Runner.
func (p *process) Release(permit actors.Permit, o session.Outcome) {
	if p.permits--; p.permits < 0 {
		p.w.fail("P9", "a permit was given back that nobody held")
	}
	p.admission.Release(permit, o)
}
