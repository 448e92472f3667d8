package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/store"
)

var _ store.Checker = (*Store)(nil)

const check script = "check"

// Check implements store.Checker, by a write to a key that is not there, which has no effect: a replica, and a server
// that is out of memory or cannot write to its disk, refuse it all the same.
func (s *Store) Check(ctx context.Context) error {
	_, err := call(ctx, s, check, func(ctx context.Context, c *goredis.Client) (any, error) {
		return nil, c.Do(ctx, "set", s.prefix+"probe", "", "xx").Err()
	})
	if errors.Is(err, goredis.Nil) {
		return nil
	}
	return err
}
