package redis

import (
	"context"
	"encoding/hex"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/clock"
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

// Hook has h see every command that s sends from now on.
func Hook(s *Store, h goredis.Hook) {
	s.hooks = append(s.hooks, h)
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	for _, l := range s.lines.all {
		l.client.AddHook(h)
	}
}

// Lines returns how many connections the calls of s have needed at once.
func Lines(s *Store) int {
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	return len(s.lines.all)
}

// KeyOf returns the name of the entry of a session.
func KeyOf(s *Store, key session.Key) string { return s.prefix + "s:" + key.String() }

// ListOf returns the name of the list of an index value.
func ListOf(s *Store, v store.IndexValue) string { return s.prefix + "x:" + hex.EncodeToString(v[:]) }

// Parsers of answers.
var (
	ParseInfo   = parseInfo
	ParseNotice = parseNotice
	ParseIntent = parseIntent
	ParseTries  = parseTries
	FormatTries = formatTries
	Notice      = notice
	Fit         = fit
)

// FormatIntent returns how an intent is kept.
func FormatIntent(in store.Intent) string { return string(formatIntent(in)) }

// RefsOf reads sessions from an answer.
func RefsOf(answer ...any) ([]store.Ref, error) { return appendRefs(nil, find, answer) }

// TombstoneOf and BegunOf read what answers with these words hold.
var (
	TombstoneOf = tombstone
	BegunOf     = parseBegun
)

// Liveness is what a watcher knows of its connection.
type Liveness = liveness

// WatchLiveness and Pass are its methods.
func WatchLiveness(ctx context.Context, l *Liveness, c clock.Clock, every time.Duration, ping func(context.Context) error) error {
	return l.watch(ctx, c, every, ping)
}

// Pass is what a reader calls.
func Pass(l *Liveness, f func() bool) { l.pass(f) }

// GiveUpAfter makes lines of s that are still to be made give up after d.
func GiveUpAfter(s *Store, d time.Duration) {
	s.config.ReadTimeout = d
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	s.lines.idle = nil
}
