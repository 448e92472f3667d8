package storetest

import (
	"context"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Faulty is a StateStore that passes everything on to another one, abilities
// included, counts it, and fails where a test tells it to. It has the abilities of
// the store inside, and store.As finds them.
//
//	f := storetest.NewFaulty(store.NewMemory(clk))
//	f.Fail(storetest.OpUpdate, 2)             // the next two fail, nothing is written
//	f.FailAfter(storetest.OpUpdate, 1)        // one is written, and fails
//	g := f.Hold(storetest.OpLoad)             // all wait at a gate
//	...
//	g.Arrived(t, 1)                           // one is there
//	g.Release()                               // and goes on
type Faulty struct {
	*Script
	store.StateStore // the one inside, through the script
	inner            store.StateStore
	feed             feedFaults
}

// NewFaulty returns a Faulty around s, without faults yet.
func NewFaulty(s store.StateStore) *Faulty {
	f := &Faulty{Script: newScript(), inner: s}
	f.StateStore = store.Around(s, func(ctx context.Context, call store.Call, do func(context.Context) error) error {
		return f.run(ctx, Call{Op(call.Op), call.Key, call.Options}, func() error { return do(ctx) })
	})
	return f
}

// Unwrap returns the store inside. Direct calls of it are neither counted nor
// failed.
func (f *Faulty) Unwrap() store.StateStore { return f.inner }

// Ability passes the abilities of the store inside on, each through the script.
func (f *Faulty) Ability(target any) bool {
	switch t := target.(type) {
	case *store.BatchEnder:
		return pass(f, t, func(inner store.BatchEnder) store.BatchEnder { return faultyBatchEnder{f.Script, inner} })
	case *store.ChangeFeed:
		return pass(f, t, func(inner store.ChangeFeed) store.ChangeFeed { return faultyFeed{f, inner} })
	}
	return store.Ability(f.StateStore, target)
}

// pass sets target to the ability of the store inside, wrapped, if it has that.
func pass[T any](f *Faulty, target *T, wrap func(T) T) bool {
	inner, ok := store.As[T](f.inner)
	if ok {
		*target = wrap(inner)
	}
	return ok
}

// Loads returns how often Load was called, for these keys or at all.
func (f *Faulty) Loads(keys ...session.Key) int { return f.Count(OpLoad, keys...) }

// Replaces returns how often Replace was called, for these keys or at all.
func (f *Faulty) Replaces(keys ...session.Key) int { return f.Count(OpReplace, keys...) }

// Updates returns how often Update was called, for these keys or at all.
func (f *Faulty) Updates(keys ...session.Key) int { return f.Count(OpUpdate, keys...) }

// Ends returns how often End was called, for these keys or at all.
func (f *Faulty) Ends(keys ...session.Key) int { return f.Count(OpEnd, keys...) }

type faultyBatchEnder struct {
	*Script
	inner store.BatchEnder
}

func (f faultyBatchEnder) EndAll(ctx context.Context, refs []store.Ref, e store.Ending, o store.Options) ([]store.Ref, error) {
	return answer(ctx, f.Script, Call{Op: OpEndAll, Options: o}, func() ([]store.Ref, error) {
		var failed, rest []store.Ref
		for _, r := range refs { // each counts as an End, and may fail as one
			if f.run(ctx, Call{OpEnd, r.Key, o}, func() error { return nil }) != nil {
				failed = append(failed, r)
			} else {
				rest = append(rest, r)
			}
		}
		left, err := f.inner.EndAll(ctx, rest, e, o)
		return append(left, failed...), err
	})
}
