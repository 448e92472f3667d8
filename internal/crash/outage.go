package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

// Outages kills the server of a new store at place under a child that lives on, as often as the
// plan has kills, and starts it again on the same data. While it is away, what is cached is
// served, no refresh token is spent that the store does not have; and once it is back,
// everything is saved. The provider grants no overlap. It stops at the first round in which
// something is wrong, with a *RoundError.
func Outages(ctx context.Context, place *Place, plan Plan) (Result, error) {
	if !place.kind.shared() {
		return Result{}, fmt.Errorf("crash: %s has no server", place.kind)
	}
	plan = plan.orDefaults()
	plan.Overlap = 0
	began := clock.System().Now()
	o := &outages{campaign: campaign{place: place, plan: plan, result: Result{Kind: place.kind, Server: true}}}
	err := o.run(ctx)
	o.result.Took = clock.System().Now().Sub(began)
	return o.result, err
}

type outages struct {
	campaign
	dead chan struct{} // closed when the server has been killed; set before its trap is
}

func (o *outages) run(ctx context.Context) (err error) {
	if o.stage, err = newStage(ctx, o.place.newHome(), o.plan.Sessions, 0, o.plan.Fault, o.struck); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	o.round = round{seed: o.plan.Seed, what: "before the first kill"}
	if err := o.begin(ctx); err != nil {
		return o.failed(err)
	}
	for o.result.Kills < o.plan.Kills {
		if err := o.once(ctx); err != nil || len(o.provider.objections()) > 0 {
			return o.failed(err)
		}
		o.result.Rounds++
		o.round.seed++
		if o.plan.Told != nil {
			o.plan.Told(o.result)
		}
	}
	if err := o.end(ctx); err != nil || len(o.provider.objections()) > 0 {
		return o.failed(err)
	}
	return nil
}

// once is one round: load, the server's death in the midst of it, and its return.
func (o *outages) once(ctx context.Context) error {
	ctx, cancel := clock.WithTimeout(ctx, clock.System(), patience)
	defer cancel()
	random := rand.New(rand.NewPCG(o.round.seed, 1))
	o.round.random = random
	if err := o.askAll(ctx); err != nil { // so that everybody is in memory and has a token
		return err
	}
	workers := []int{4, 8, 16}[random.IntN(3)]
	t := trap{At: []moment{granted, answered}[random.IntN(2)], Count: 1 + random.IntN(30)}
	o.round.what = fmt.Sprintf("%d callers, the server killed %v", workers, t)

	o.dead = make(chan struct{})
	loading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	loaded := make(chan error, 1)
	o.provider.set(t)
	go func() { loaded <- o.load(loading, o.child, random.Uint64(), workers, o.refusedInOutage) }()
	err := o.endure(ctx)
	stop(errEnough)
	return errors.Join(err, <-loaded, o.judge(ctx, err))
}

// struck kills the server, not the child.
func (o *outages) struck(*process) {
	o.place.kill()
	o.provider.mark()
	close(o.dead)
}

// refusedInOutage judges what a caller was refused: until the server is back, that is nobody's fault.
func (o *outages) refusedInOutage(number int, r report) {
	if session.Code(r.Code) != session.CodeStoreError {
		o.refusedWrongly(number, r)
	}
}

// endure waits for the server's death, sees to it that the process goes on, and brings the server
// back.
func (o *outages) endure(ctx context.Context) error {
	select {
	case <-o.dead:
	case <-o.child.gone:
		return errGone
	case <-ctx.Done():
		return fmt.Errorf("the server was not killed: %w", ctx.Err())
	}
	o.result.Kills++
	o.result.InFlight += len(sessionsOf(o.child.unanswered()))
	err := each(o.permuted(), 16, func(number int) error {
		return o.askKept(ctx, number, o.provider.view(number))
	})
	if err != nil {
		return err
	}
	state, err := o.child.do(ctx, order{Do: howIsIt})
	if err != nil {
		return err
	}
	o.result.Window += state.Number
	if state.ReadyText == "" {
		o.provider.object("the server is down, and the process says that it is ready")
	}
	if most := o.provider.mark(); most > 1 {
		o.provider.object("while the server was down a session spent %d refresh tokens", most)
	}
	if err := o.place.restart(); err != nil {
		return err
	}
	return until(ctx, "the save of everything", func() (bool, error) {
		state, err := o.child.do(ctx, order{Do: howIsIt})
		return state.Number == 0 && state.ReadyText == "", err
	})
}

// judge looks at what the outage has left, unless it did not come to an end.
func (o *outages) judge(ctx context.Context, err error) error {
	if err != nil {
		return nil
	}
	if err := o.askAll(ctx); err != nil {
		return err
	}
	if err := o.settled(ctx, o.child); err != nil {
		return err
	}
	stored, err := o.stored(ctx)
	if err != nil {
		return err
	}
	for number, token := range stored {
		if token != o.provider.view(number).newest {
			o.provider.object("session %d: the store lacks the newest refresh token", number)
		}
		if !o.provider.tenant.FamilyAlive(subjectOf(number)) {
			o.provider.object("session %d was lost", number)
			o.result.Lost++
		}
	}
	o.result.Recovered = o.result.Window - o.result.Lost
	o.result.Again, _ = o.provider.counts()
	o.result.Reuses = o.provider.tenant.Reuses()
	return nil
}

// askAll asks every session for a new token; where the store does not answer yet, again.
func (o *outages) askAll(ctx context.Context) error {
	return each(o.permuted(), 32, func(number int) error {
		return until(ctx, "an answer", func() (bool, error) {
			r, err := o.child.do(ctx, order{Do: ask, Session: number, Audience: o.newAudience()})
			if err == nil && r.Code != "" && session.Code(r.Code) != session.CodeStoreError {
				o.refusedWrongly(number, r)
				return true, nil
			}
			return r.Code == "", err
		})
	})
}
