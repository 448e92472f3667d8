package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/internal/remote"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// run runs a script for key and returns what follows "ok" in its answer, or the error
// that stands there instead.
func (s *Store) run(ctx context.Context, op script, key session.Key, args ...any) ([]any, error) {
	id := key.String()
	return s.eval(ctx, op, []string{s.prefix + "s:" + id}, id, args)
}

// runAll is run for a script that is about no session in particular.
func (s *Store) runAll(ctx context.Context, op script, args ...any) ([]any, error) {
	return s.eval(ctx, op, nil, "", args)
}

func (s *Store) eval(ctx context.Context, op script, keys []string, id string, args []any) ([]any, error) {
	all := append([]any{s.prefix, id, milliseconds(s.tombstones)}, args...)
	answer, err := call(ctx, s, op, func(ctx context.Context, c *goredis.Client) ([]any, error) {
		// A server that does not know the script has run nothing, and is sent its text.
		return s.scripts[op].Run(ctx, c, keys, all...).Slice()
	})
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, err
	}
	if len(answer) > 0 {
		switch answer[0] {
		case "ok":
			return answer[1:], nil
		case "none":
			return nil, store.ErrNotFound
		case "conflict":
			return nil, store.ErrConflict
		case "leased":
			return nil, leasedError(answer)
		case "presented":
			return nil, store.ErrPresented
		case "gone":
			if gone, ok := tombstone(answer[1:]); ok {
				return nil, gone
			}
		}
	}
	return nil, unexpected(op)
}

// call has f speak to Redis on a line of its own, and cuts it off when ctx ends.
func call[T any](ctx context.Context, s *Store, op script, f func(context.Context, *goredis.Client) (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if !s.life.Begin() {
		return none, &Error{Op: string(op), Err: ErrClosed}
	}
	defer s.life.End()
	l, err := s.lines.take(ctx, s)
	if err != nil {
		return none, s.failed(ctx, op, err)
	}
	defer s.lines.give(l)
	uncut := context.AfterFunc(ctx, l.use())
	value, err := f(withoutDeadline{ctx}, l.client)
	l.done()
	uncut()
	switch {
	case errors.Is(err, goredis.Nil): // an answer
		return none, goredis.Nil
	case err != nil:
		return none, s.failed(ctx, op, err)
	}
	return value, nil
}

// failed returns what a call says that failed with err.
func (s *Store) failed(ctx context.Context, op script, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.life.Err() != nil:
		return &Error{Op: string(op), Err: ErrClosed}
	}
	return &Error{Op: string(op), Err: s.explained(err)}
}

// withoutDeadline hides the deadline of a context. The client library would turn it into one
// of the connection, which may pass a moment before the context ends: then the caller
// would get an error that is not its context's.
type withoutDeadline struct{ context.Context }

// Deadline implements context.Context.
func (withoutDeadline) Deadline() (time.Time, bool) { return time.Time{}, false }

func unexpected(op script) error {
	return &Error{Op: string(op), Err: remote.PlainError("an answer that is none of ours")}
}

func leasedError(answer []any) *store.LeasedError {
	owner, _ := at[string](answer, 1)
	left, _ := at[int64](answer, 2)
	return &store.LeasedError{Owner: owner, Left: remote.Duration(left, time.Millisecond)}
}

// at returns the element of answer with this index, if it is a T.
func at[T any](answer []any, i int) (value T, ok bool) {
	if i < len(answer) {
		value, ok = answer[i].(T)
	}
	return value, ok
}

// milliseconds returns d rounded up; 0 where it is not positive.
func milliseconds(d time.Duration) int64 { return remote.Units(d, time.Millisecond) }
