package supervisor

import (
	"context"
	"testing"
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// inTurn does the supervisor's work in its own turn, so that it is done as early as can be.
type inTurn struct{ *rig }

func (inTurn) Run(_ actors.Work, work func(context.Context) any, deliver func(any)) {
	deliver(work(context.Background()))
}

// endsWatched calls ending before sessions are ended.
type endsWatched struct {
	*storetest.Faulty
	ending func(n int)
}

func (w *endsWatched) Ability(target any) bool {
	if t, ok := target.(*store.BatchEnder); ok {
		*t = w
		return true
	}
	return w.Faulty.Ability(target)
}

func (w *endsWatched) EndAll(ctx context.Context, refs []store.Ref, e store.Ending, o store.Options) ([]store.Ref, error) {
	w.ending(len(refs))
	ender, _ := store.As[store.BatchEnder](w.Faulty)
	return ender.EndAll(ctx, refs, e, o)
}

// Where many ceilings come in one second, the store is given all of them before memory is cleared of the first one. So the last
// one is deleted as early as can be.
func TestEnds_theStoreIsGivenAllThatAreDueFirst(t *testing.T) {
	const n = 3*chunk + 100
	w := &endsWatched{}
	r := newRig(t, func(r *rig, l *session.Limits) {
		l.Resident = 2 * n
		w.Faulty, r.env.Store, r.env.Runner = r.store, w, inTurn{r}
	})
	ended := 0
	w.ending = func(some int) {
		ended += some
		if left := r.s.residents.len(); left != n { // in the supervisor's turn
			t.Errorf("when %d were ended, %d were in memory, want %d", ended, left, n)
		}
	}
	due := t0.Add(time.Hour)
	for i := range n {
		r.put(id(i), session.Ceiling(due.Add(session.CeilingLeeway).Unix()))
		r.open(id(i))
	}
	r.settle()
	r.clock.Set(due)
	r.settle()
	if ended != n {
		t.Errorf("%d were ended, want %d", ended, n)
	}
	r.inside(func(s *Supervisor) {
		if left := s.residents.len(); left != 0 {
			t.Errorf("%d are in memory, want none", left)
		}
	})
	r.counts()
}
