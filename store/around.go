package store

import (
	"context"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Call is one operation of a StateStore, or of an ability of it.
type Call struct {
	Op      string      // as "load", "claim_due"
	Key     session.Key // zero where the operation is about many sessions
	Options Options
}

// Around returns s, each operation of which goes through f: to be counted, measured, or made to fail. Calling do carries it
// out; f returns its error, or another one. The store that is returned has the abilities of s. A change feed is
// watched as s has it.
func Around(s StateStore, f func(ctx context.Context, call Call, do func(context.Context) error) error) StateStore {
	return &around{inner: s, f: f}
}

type around struct {
	inner StateStore
	f     func(ctx context.Context, call Call, do func(context.Context) error) error
}

// Unwrap gives what does not go through f.
func (a *around) Unwrap() StateStore { return a.inner }

// Ability gives what does.
func (a *around) Ability(target any) bool {
	switch t := target.(type) {
	case *Index:
		return give(a, t, func(of Index) Index { return indexAround{a, of} })
	case *Leaser:
		return give(a, t, func(of Leaser) Leaser { return leaserAround{beginnerAround{a, of}, of} })
	case *Intents:
		return give(a, t, func(of Intents) Intents { return intentsAround{beginnerAround{a, of}, of} })
	case *BatchEnder:
		return give(a, t, func(of BatchEnder) BatchEnder { return enderAround{a, of} })
	case *Lister:
		return give(a, t, func(of Lister) Lister { return listerAround{a, of} })
	case *Toucher:
		return give(a, t, func(of Toucher) Toucher { return toucherAround{a, of} })
	}
	return false
}

func give[T any](a *around, target *T, wrap func(T) T) bool {
	of, ok := As[T](a.inner)
	if ok {
		*target = wrap(of)
	}
	return ok
}

func (a *around) do(ctx context.Context, op string, key session.Key, o Options, do func(context.Context) error) error {
	return a.f(ctx, Call{op, key, o}, do)
}

// ask is do for an operation that brings something.
func ask[R any](ctx context.Context, a *around, op string, key session.Key, o Options, do func(context.Context) (R, error)) (R, error) {
	var got, none R
	err := a.do(ctx, op, key, o, func(ctx context.Context) (err error) {
		got, err = do(ctx)
		return err
	})
	if err != nil {
		return none, err
	}
	return got, nil
}

func (a *around) Load(ctx context.Context, key session.Key, o Options) (Record, error) {
	return ask(ctx, a, "load", key, o, func(ctx context.Context) (Record, error) { return a.inner.Load(ctx, key, o) })
}

func (a *around) Replace(ctx context.Context, key session.Key, r Record, o Options) error {
	return a.do(ctx, "replace", key, o, func(ctx context.Context) error { return a.inner.Replace(ctx, key, r, o) })
}

func (a *around) Update(ctx context.Context, key session.Key, prev session.Version, r Record, o Options) error {
	return a.do(ctx, "update", key, o, func(ctx context.Context) error { return a.inner.Update(ctx, key, prev, r, o) })
}

func (a *around) End(ctx context.Context, key session.Key, only session.Incarnation, e Ending, o Options) error {
	return a.do(ctx, "end", key, o, func(ctx context.Context) error { return a.inner.End(ctx, key, only, e, o) })
}

type indexAround struct {
	*around
	of Index
}

func (a indexAround) Find(ctx context.Context, values []IndexValue, o Options) ([]Ref, error) {
	return ask(ctx, a.around, "find", session.Key{}, o, func(ctx context.Context) ([]Ref, error) { return a.of.Find(ctx, values, o) })
}

func (a indexAround) Due(ctx context.Context, from, until session.Ceiling, after Ref, limit int, o Options) ([]Ref, error) {
	return ask(ctx, a.around, "due", session.Key{}, o, func(ctx context.Context) ([]Ref, error) {
		return a.of.Due(ctx, from, until, after, limit, o)
	})
}

func (a indexAround) ClaimDue(ctx context.Context, until session.Ceiling, limit int, hold time.Duration, o Options) ([]Ref, error) {
	return ask(ctx, a.around, "claim_due", session.Key{}, o, func(ctx context.Context) ([]Ref, error) {
		return a.of.ClaimDue(ctx, until, limit, hold, o)
	})
}

type beginnerAround struct {
	*around
	of Beginner
}

func (a beginnerAround) Begin(ctx context.Context, key session.Key, b Beginning, o Options) (Begun, error) {
	return ask(ctx, a.around, "begin", key, o, func(ctx context.Context) (Begun, error) { return a.of.Begin(ctx, key, b, o) })
}

type leaserAround struct {
	beginnerAround
	of Leaser
}

func (a leaserAround) Renew(ctx context.Context, key session.Key, owner string, epoch int64, ttl time.Duration, o Options) error {
	return a.do(ctx, "renew", key, o, func(ctx context.Context) error { return a.of.Renew(ctx, key, owner, epoch, ttl, o) })
}

func (a leaserAround) Release(ctx context.Context, key session.Key, owner string, epoch int64, o Options) error {
	return a.do(ctx, "release", key, o, func(ctx context.Context) error { return a.of.Release(ctx, key, owner, epoch, o) })
}

type intentsAround struct {
	beginnerAround
	of Intents
}

func (a intentsAround) ClearIntent(ctx context.Context, key session.Key, in Intent, o Options) error {
	return a.do(ctx, "clear_intent", key, o, func(ctx context.Context) error { return a.of.ClearIntent(ctx, key, in, o) })
}

func (a intentsAround) StaleIntents(ctx context.Context, limit int, o Options) ([]StaleIntent, error) {
	return ask(ctx, a.around, "stale_intents", session.Key{}, o, func(ctx context.Context) ([]StaleIntent, error) {
		return a.of.StaleIntents(ctx, limit, o)
	})
}

type enderAround struct {
	*around
	of BatchEnder
}

func (a enderAround) EndAll(ctx context.Context, refs []Ref, e Ending, o Options) ([]Ref, error) {
	return ask(ctx, a.around, "end_all", session.Key{}, o, func(ctx context.Context) ([]Ref, error) { return a.of.EndAll(ctx, refs, e, o) })
}

type listerAround struct {
	*around
	of Lister
}

func (a listerAround) List(ctx context.Context, l Listing, o Options) (Page, error) {
	return ask(ctx, a.around, "list", session.Key{}, o, func(ctx context.Context) (Page, error) { return a.of.List(ctx, l, o) })
}

type toucherAround struct {
	*around
	of Toucher
}

func (a toucherAround) Touch(ctx context.Context, key session.Key, ttl time.Duration, o Options) error {
	return a.do(ctx, "touch", key, o, func(ctx context.Context) error { return a.of.Touch(ctx, key, ttl, o) })
}
