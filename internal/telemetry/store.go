package telemetry

import (
	"context"
	"errors"
	"time"

	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Store returns s, each operation of which is told of. It has the abilities of s.
func (t *Telemetry) Store(s store.StateStore) store.StateStore {
	if t == nil || t.observer.Store == nil {
		return s
	}
	return &states{t, s}
}

// states is a state store that is watched.
type states struct {
	t     *Telemetry
	under store.StateStore
}

// Unwrap gives the abilities that are not watched.
func (s *states) Unwrap() store.StateStore { return s.under }

// Ability gives those that are.
func (s *states) Ability(target any) bool {
	switch target := target.(type) {
	case *store.Index:
		return give(s, target, func(of store.Index) store.Index { return index{s.t, of} })
	case *store.Leaser:
		return give(s, target, func(of store.Leaser) store.Leaser { return leaser{beginner{s.t, of}, of} })
	case *store.Intents:
		return give(s, target, func(of store.Intents) store.Intents { return intents{beginner{s.t, of}, of} })
	case *store.BatchEnder:
		return give(s, target, func(of store.BatchEnder) store.BatchEnder { return ender{s.t, of} })
	case *store.Lister:
		return give(s, target, func(of store.Lister) store.Lister { return lister{s.t, of} })
	case *store.Toucher:
		return give(s, target, func(of store.Toucher) store.Toucher { return toucher{s.t, of} })
	}
	return false
}

func give[T any](s *states, target *T, watched func(T) T) bool {
	ability, ok := store.As[T](s.under)
	if ok {
		*target = watched(ability)
	}
	return ok
}

// watch tells of one operation.
func watch(ctx context.Context, t *Telemetry, operation string, do func(context.Context) error) (err error) {
	ctx, end := begin(ctx, t.observer.Store, observe.Store{Operation: operation, At: t.clock.Now()})
	if end == nil {
		return do(ctx)
	}
	panicked := true
	defer func() {
		outcome := storeOutcome(err)
		if panicked {
			outcome = observe.StoreFailed
		}
		end(observe.StoreEnd{At: t.clock.Now(), Outcome: outcome})
	}()
	err = do(ctx)
	panicked = false
	return err
}

// watched is watch for an operation that brings something.
func watched[R any](ctx context.Context, t *Telemetry, operation string, do func(context.Context) (R, error)) (r R, err error) {
	err = watch(ctx, t, operation, func(ctx context.Context) error {
		r, err = do(ctx)
		return err
	})
	return r, err
}

func storeOutcome(err error) string {
	switch {
	case err == nil:
		return observe.StoreOK
	case errors.Is(err, store.ErrNotFound):
		return observe.StoreNotFound
	case errors.Is(err, store.ErrConflict):
		return observe.StoreConflict
	case errors.Is(err, store.ErrLeased):
		return observe.StoreLeased
	case errors.Is(err, store.ErrPresented):
		return observe.StorePresented
	case errors.Is(err, store.ErrUnreadable):
		return observe.StoreUnreadable
	case errors.Is(err, context.Canceled):
		return observe.StoreCanceled
	}
	return observe.StoreFailed
}

// Load implements store.StateStore.
func (s *states) Load(ctx context.Context, key session.Key, o store.Options) (store.Record, error) {
	return watched(ctx, s.t, "load", func(ctx context.Context) (store.Record, error) { return s.under.Load(ctx, key, o) })
}

// Replace implements store.StateStore.
func (s *states) Replace(ctx context.Context, key session.Key, r store.Record, o store.Options) error {
	return watch(ctx, s.t, "replace", func(ctx context.Context) error { return s.under.Replace(ctx, key, r, o) })
}

// Update implements store.StateStore.
func (s *states) Update(ctx context.Context, key session.Key, prev session.Version, r store.Record, o store.Options) error {
	return watch(ctx, s.t, "update", func(ctx context.Context) error { return s.under.Update(ctx, key, prev, r, o) })
}

// End implements store.StateStore.
func (s *states) End(ctx context.Context, key session.Key, only session.Incarnation, e store.Ending, o store.Options) error {
	return watch(ctx, s.t, "end", func(ctx context.Context) error { return s.under.End(ctx, key, only, e, o) })
}

type index struct {
	t     *Telemetry
	under store.Index
}

// Find implements store.Index.
func (i index) Find(ctx context.Context, values []store.IndexValue, o store.Options) ([]store.Ref, error) {
	return watched(ctx, i.t, "find", func(ctx context.Context) ([]store.Ref, error) { return i.under.Find(ctx, values, o) })
}

// Due implements store.Index.
func (i index) Due(ctx context.Context, from, until session.Ceiling, after store.Ref, limit int, o store.Options) ([]store.Ref, error) {
	return watched(ctx, i.t, "due", func(ctx context.Context) ([]store.Ref, error) { return i.under.Due(ctx, from, until, after, limit, o) })
}

// ClaimDue implements store.Index.
func (i index) ClaimDue(ctx context.Context, until session.Ceiling, limit int, hold time.Duration, o store.Options) ([]store.Ref, error) {
	return watched(ctx, i.t, "claim_due", func(ctx context.Context) ([]store.Ref, error) { return i.under.ClaimDue(ctx, until, limit, hold, o) })
}

type leaser struct {
	beginner
	under store.Leaser
}

// Renew implements store.Leaser.
func (l leaser) Renew(ctx context.Context, key session.Key, owner string, epoch int64, ttl time.Duration, o store.Options) error {
	return watch(ctx, l.t, "renew", func(ctx context.Context) error { return l.under.Renew(ctx, key, owner, epoch, ttl, o) })
}

// Release implements store.Leaser.
func (l leaser) Release(ctx context.Context, key session.Key, owner string, epoch int64, o store.Options) error {
	return watch(ctx, l.t, "release", func(ctx context.Context) error { return l.under.Release(ctx, key, owner, epoch, o) })
}

type intents struct {
	beginner
	under store.Intents
}

// ClearIntent implements store.Intents.
func (i intents) ClearIntent(ctx context.Context, key session.Key, in store.Intent, o store.Options) error {
	return watch(ctx, i.t, "clear_intent", func(ctx context.Context) error { return i.under.ClearIntent(ctx, key, in, o) })
}

// StaleIntents implements store.Intents.
func (i intents) StaleIntents(ctx context.Context, limit int, o store.Options) ([]store.StaleIntent, error) {
	return watched(ctx, i.t, "stale_intents", func(ctx context.Context) ([]store.StaleIntent, error) { return i.under.StaleIntents(ctx, limit, o) })
}

type beginner struct {
	t     *Telemetry
	under store.Beginner
}

// Begin implements store.Leaser and store.Intents.
func (b beginner) Begin(ctx context.Context, key session.Key, begins store.Beginning, o store.Options) (store.Begun, error) {
	return watched(ctx, b.t, "begin", func(ctx context.Context) (store.Begun, error) { return b.under.Begin(ctx, key, begins, o) })
}

type ender struct {
	t     *Telemetry
	under store.BatchEnder
}

// EndAll implements store.BatchEnder.
func (e ender) EndAll(ctx context.Context, refs []store.Ref, end store.Ending, o store.Options) ([]store.Ref, error) {
	return watched(ctx, e.t, "end_all", func(ctx context.Context) ([]store.Ref, error) { return e.under.EndAll(ctx, refs, end, o) })
}

type lister struct {
	t     *Telemetry
	under store.Lister
}

// List implements store.Lister.
func (l lister) List(ctx context.Context, of store.Listing, o store.Options) (store.Page, error) {
	return watched(ctx, l.t, "list", func(ctx context.Context) (store.Page, error) { return l.under.List(ctx, of, o) })
}

type toucher struct {
	t     *Telemetry
	under store.Toucher
}

// Touch implements store.Toucher.
func (t toucher) Touch(ctx context.Context, key session.Key, ttl time.Duration, o store.Options) error {
	return watch(ctx, t.t, "touch", func(ctx context.Context) error { return t.under.Touch(ctx, key, ttl, o) })
}
