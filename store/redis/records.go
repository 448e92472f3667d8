package redis

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Load implements store.StateStore.
func (s *Store) Load(ctx context.Context, key session.Key, _ store.Options) (store.Record, error) {
	answer, err := s.run(ctx, load, key)
	if goredis.HasErrorPrefix(err, "WRONGTYPE") {
		return store.Record{}, &store.UnreadableError{Why: store.Corrupt, Err: err}
	}
	if err != nil {
		return store.Record{}, err
	}
	value, ok := at[string](answer, 0)
	if !ok {
		return store.Record{}, &store.UnreadableError{Why: store.Corrupt}
	}
	return store.UnmarshalRecord([]byte(value))
}

// Replace implements store.StateStore.
func (s *Store) Replace(ctx context.Context, key session.Key, r store.Record, _ store.Options) error {
	_, err := s.run(ctx, replace, key, s.write(key, r)...)
	return err
}

// Update implements store.StateStore. It is never sent twice: an error that is
// neither ErrConflict nor ErrNotFound leaves open whether it took effect, and the version tells.
func (s *Store) Update(ctx context.Context, key session.Key, prev session.Version, r store.Record, _ store.Options) error {
	keepIntent := 0
	if r.KeepIntent {
		keepIntent = 1
	}
	_, err := s.run(ctx, update, key, append(s.write(key, r), string(prev[:]), r.Epoch, r.Release, keepIntent)...)
	return err
}

// Touch implements store.Toucher.
func (s *Store) Touch(ctx context.Context, key session.Key, ttl time.Duration, _ store.Options) error {
	_, err := s.run(ctx, touch, key, milliseconds(ttl))
	return err
}

// write returns the arguments of the scripts that write r. They hold nothing of it, for
// they may outlive the call.
func (s *Store) write(key session.Key, r store.Record) []any {
	ceiling := ""
	if r.Ceiling > 0 {
		ceiling = sortable(int64(r.Ceiling))
	}
	held := "0"
	if r.Connections {
		held = "1"
	}
	return []any{
		string(r.Version[:]), string(r.Incarnation[:]), store.MarshalRecord(r), ceiling, hexValues(r.Index), milliseconds(r.TTL), held,
		s.channel, notice(key, r.Version),
	}
}

// hexValues returns values as the scripts keep them, one after the other.
func hexValues(values []store.IndexValue) []byte {
	text := make([]byte, 0, len(values)*hexValue)
	for _, v := range values {
		text = hex.AppendEncode(text, v[:])
	}
	return text
}

const hexValue = 2 * len(store.IndexValue{})

// sortable returns n as 16 hexadecimal digits, which are in the order of the numbers.
func sortable(n int64) string { return fmt.Sprintf("%016x", uint64(n)^(1<<63)) }
