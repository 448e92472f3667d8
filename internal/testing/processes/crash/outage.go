package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/tokenward/tokenward/session"
)

// Outages kills the server of a new store at place under a child that lives on, as often as the
// plan has kills, and starts it again on the same data. While it is away, cached tokens are
// served, and no refresh token is spent that the store does not have; once it is back,
// everything is saved. The provider grants no overlap. It stops at the first round in which
// something is wrong, with a *RoundError.
func Outages(ctx context.Context, place *Place, plan Plan) (Result, error) {
	if !place.kind.shared() {
		return Result{}, fmt.Errorf("crash: %s has no server", place.kind)
	}
	plan.Overlap = 0
	o := &outages{campaign: campaign{place: place, plan: plan.orDefaults()}}
	o.result = Result{Kind: place.kind, Server: true}
	err := o.run(ctx, o.struck, o.once)
	return o.result, err
}

type outages struct {
	campaign
	dead chan struct{} // closed when the server has been killed; set before its trap is
}

// once is one round: load, the server's death in the midst of it, and its return.
func (o *outages) once(ctx context.Context) error {
	random := rand.New(rand.NewPCG(o.round.seed, 1))
	o.round.random = random
	if err := o.askAll(ctx); err != nil { // so that everybody is in memory and has a token
		return err
	}
	workers := []int{4, 8, 16}[random.IntN(3)]
	t := trap{At: []moment{answered, granted}[o.round.seed%2], Count: 1 + random.IntN(30)} // after answered there may be nothing unsaved
	o.round.what = fmt.Sprintf("%d callers, the server killed %v", workers, t)

	o.dead = make(chan struct{})
	loading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	loaded := make(chan error, 1)
	o.provider.set(t)
	seed := random.Uint64()
	go func() { loaded <- o.load(loading, o.child, seed, workers, o.refusedInOutage) }()
	err := o.endure(ctx)
	stop(errEnough)
	if err = errors.Join(err, <-loaded); err != nil {
		return err
	}
	o.objectTo(o.child)
	return o.judge(ctx)
}

// struck kills the server, not the child.
func (o *outages) struck(*process) {
	o.place.kill()
	o.provider.mark()
	close(o.dead)
}

// refusedInOutage judges a refusal: until the server is back, a caller may be refused.
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
	asked := o.child.unanswered()
	o.result.InFlight += len(sessionsOf(asked))
	err := each(o.permuted(), 16, func(number int) error {
		return o.askKept(ctx, number, o.provider.view(number))
	})
	if err != nil {
		return err
	}
	// A caller is answered when the save that it waits for was done, or has failed once.
	err = until(ctx, "the answers to all who had asked before", func() (bool, error) {
		return !o.child.owes(asked), nil
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

// judge looks at what the outage has left.
func (o *outages) judge(ctx context.Context) error {
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
