package telemetry

import (
	"context"
	"errors"

	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/store"
)

// Store returns s, each operation of which is told of. It has the abilities of s.
func (t *Telemetry) Store(s store.StateStore) store.StateStore {
	if t == nil || t.observer.Store == nil {
		return s
	}
	return store.Around(s, func(ctx context.Context, call store.Call, do func(context.Context) error) error {
		return watch(ctx, t, call.Op, do)
	})
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
