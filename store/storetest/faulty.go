package storetest

import (
	"context"
	"time"

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
	inner store.StateStore
	feed  feedFaults
}

// NewFaulty returns a Faulty around s, without faults yet.
func NewFaulty(s store.StateStore) *Faulty { return &Faulty{Script: newScript(), inner: s} }

// Unwrap returns the store inside. Direct calls of it are neither counted nor
// failed.
func (f *Faulty) Unwrap() store.StateStore { return f.inner }

// Ability passes the abilities of the store inside on, each through the script.
func (f *Faulty) Ability(target any) bool {
	switch t := target.(type) {
	case *store.Exclusive:
		return store.Ability(f.inner, t)
	case *store.Index:
		return pass(f, t, func(inner store.Index) store.Index { return faultyIndex{f.Script, inner} })
	case *store.Leaser:
		return pass(f, t, func(inner store.Leaser) store.Leaser { return faultyLeaser{faultyBeginner{f.Script, inner}, inner} })
	case *store.BatchEnder:
		return pass(f, t, func(inner store.BatchEnder) store.BatchEnder { return faultyBatchEnder{f.Script, inner} })
	case *store.Intents:
		return pass(f, t, func(inner store.Intents) store.Intents { return faultyIntents{faultyBeginner{f.Script, inner}, inner} })
	case *store.ChangeFeed:
		return pass(f, t, func(inner store.ChangeFeed) store.ChangeFeed { return faultyFeed{f, inner} })
	case *store.Toucher:
		return pass(f, t, func(inner store.Toucher) store.Toucher { return faultyToucher{f.Script, inner} })
	}
	return false
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

// Load implements store.StateStore.
func (f *Faulty) Load(ctx context.Context, key session.Key, o store.Options) (r store.Record, err error) {
	err = f.run(ctx, Call{OpLoad, key, o}, func() error {
		r, err = f.inner.Load(ctx, key, o)
		return err
	})
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// Replace implements store.StateStore.
func (f *Faulty) Replace(ctx context.Context, key session.Key, r store.Record, o store.Options) error {
	return f.run(ctx, Call{OpReplace, key, o}, func() error { return f.inner.Replace(ctx, key, r, o) })
}

// Update implements store.StateStore.
func (f *Faulty) Update(ctx context.Context, key session.Key, prev session.Version, r store.Record, o store.Options) error {
	return f.run(ctx, Call{OpUpdate, key, o}, func() error { return f.inner.Update(ctx, key, prev, r, o) })
}

// End implements store.StateStore.
func (f *Faulty) End(ctx context.Context, key session.Key, only session.Incarnation, e store.Ending, o store.Options) error {
	return f.run(ctx, Call{OpEnd, key, o}, func() error { return f.inner.End(ctx, key, only, e, o) })
}

type faultyIndex struct {
	*Script
	inner store.Index
}

func (f faultyIndex) Find(ctx context.Context, values []store.IndexValue, o store.Options) ([]store.Ref, error) {
	return answer(ctx, f.Script, Call{Op: OpFind, Options: o}, func() ([]store.Ref, error) {
		return f.inner.Find(ctx, values, o)
	})
}

func (f faultyIndex) Due(ctx context.Context, from, until session.Ceiling, after store.Ref, limit int, o store.Options) ([]store.Ref, error) {
	return answer(ctx, f.Script, Call{Op: OpDue, Options: o}, func() ([]store.Ref, error) {
		return f.inner.Due(ctx, from, until, after, limit, o)
	})
}

func (f faultyIndex) ClaimDue(ctx context.Context, until session.Ceiling, limit int, hold time.Duration, o store.Options) ([]store.Ref, error) {
	return answer(ctx, f.Script, Call{Op: OpClaimDue, Options: o}, func() ([]store.Ref, error) {
		return f.inner.ClaimDue(ctx, until, limit, hold, o)
	})
}

type faultyLeaser struct {
	faultyBeginner
	inner store.Leaser
}

func (f faultyLeaser) Renew(ctx context.Context, key session.Key, owner string, epoch int64, ttl time.Duration, o store.Options) error {
	return f.run(ctx, Call{OpRenew, key, o}, func() error { return f.inner.Renew(ctx, key, owner, epoch, ttl, o) })
}

func (f faultyLeaser) Release(ctx context.Context, key session.Key, owner string, epoch int64, o store.Options) error {
	return f.run(ctx, Call{OpRelease, key, o}, func() error { return f.inner.Release(ctx, key, owner, epoch, o) })
}

type faultyBeginner struct {
	*Script
	inner store.Beginner
}

func (f faultyBeginner) Begin(ctx context.Context, key session.Key, b store.Beginning, o store.Options) (store.Begun, error) {
	return answer(ctx, f.Script, Call{OpBegin, key, o}, func() (store.Begun, error) { return f.inner.Begin(ctx, key, b, o) })
}

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

type faultyIntents struct {
	faultyBeginner
	inner store.Intents
}

func (f faultyIntents) ClearIntent(ctx context.Context, key session.Key, in store.Intent, o store.Options) error {
	return f.run(ctx, Call{OpClearIntent, key, o}, func() error { return f.inner.ClearIntent(ctx, key, in, o) })
}

func (f faultyIntents) StaleIntents(ctx context.Context, limit int, o store.Options) ([]store.StaleIntent, error) {
	return answer(ctx, f.Script, Call{Op: OpStaleIntents, Options: o}, func() ([]store.StaleIntent, error) {
		return f.inner.StaleIntents(ctx, limit, o)
	})
}

type faultyToucher struct {
	*Script
	inner store.Toucher
}

func (f faultyToucher) Touch(ctx context.Context, key session.Key, ttl time.Duration, o store.Options) error {
	return f.run(ctx, Call{OpTouch, key, o}, func() error { return f.inner.Touch(ctx, key, ttl, o) })
}
