package redis

import (
	"context"
	"encoding/hex"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Driven makes the scripts of s run as much later as a key says, which Lapse moves. That
// is all it changes in them.
func Driven(s *Store) {
	s.scripts = scripts("now = now + (redis.call('GET', prefix .. 'skew') or 0)\n")
}

// lapse is time that passes, also for what Redis drops by itself.
var lapse = goredis.NewScript(`
redis.call('INCRBY', ARGV[1] .. 'skew', ARGV[2])
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local at = redis.call('PEXPIRETIME', key)
  if at > 0 then redis.call('PEXPIREAT', key, at - ARGV[2]) end
end
return 0`)

// Lapse lets d pass for the stores of that prefix, which are Driven.
func Lapse(ctx context.Context, c *goredis.Client, prefix string, d time.Duration) error {
	return lapse.Run(ctx, c, nil, prefix, milliseconds(d)).Err()
}

// InPages makes the scripts of s look at n sessions at a time.
func InPages(s *Store, n int) { s.page = n }

// PrefixOf returns what the keys of s begin with.
func PrefixOf(s *Store) string { return s.prefix }

// ClientOf returns the client of s.
func ClientOf(s *Store) *goredis.Client { return s.client }

// KeyOf returns the name of the entry of a session.
func KeyOf(s *Store, key session.Key) string { return s.prefix + "s:" + key.String() }

// ListOf returns the name of the list of an index value.
func ListOf(s *Store, v store.IndexValue) string { return s.prefix + "x:" + hex.EncodeToString(v[:]) }
