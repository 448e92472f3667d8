package lookup

import (
	"context"
	"errors"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
)

// Attempt does store work on the caller's goroutine: within its deadline, and a panic
// of the store is an error. What the store says of a record is returned as it is.
func Attempt(ctx context.Context, env *actors.Env, work func(context.Context) error) error {
	bounded, cancel := clock.WithTimeout(ctx, env.Clock, env.Rules.StoreTimeout)
	defer cancel()
	err := actors.Contain(func() error { return work(bounded) })
	switch {
	case err == nil, errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrUnreadable):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return StoreError(err)
}
