package redis

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/store"
)

// Transactions is a store.TransactionStore in the same Redis, under the same prefix. It
// ends with its Store.
type Transactions struct{ store *Store }

// Transactions returns where login transactions are kept.
func (s *Store) Transactions() *Transactions { return &Transactions{store: s} }

const (
	put  script = "put"
	get  script = "get"
	take script = "take"
)

// Put implements store.TransactionStore.
func (t *Transactions) Put(ctx context.Context, key string, data []byte, ttl time.Duration, _ store.Options) error {
	s, name, data := t.store, t.name(key), bytes.Clone(data)
	_, err := call(ctx, s, put, func(ctx context.Context, c *goredis.Client) (any, error) {
		if ttl <= 0 {
			return nil, c.Del(ctx, name).Err()
		}
		return nil, c.Do(ctx, "set", name, data, "px", milliseconds(ttl)).Err()
	})
	return err
}

// Get implements store.TransactionStore.
func (t *Transactions) Get(ctx context.Context, key string, _ store.Options) ([]byte, error) {
	return t.read(ctx, get, (*goredis.Client).Get, key)
}

// Take implements store.TransactionStore. It is never sent twice: where it fails, the
// transaction may be gone.
func (t *Transactions) Take(ctx context.Context, key string, _ store.Options) ([]byte, error) {
	return t.read(ctx, take, (*goredis.Client).GetDel, key)
}

func (t *Transactions) read(ctx context.Context, op script, command func(*goredis.Client, context.Context, string) *goredis.StringCmd, key string) ([]byte, error) {
	s, name := t.store, t.name(key)
	data, err := call(ctx, s, op, func(ctx context.Context, c *goredis.Client) ([]byte, error) {
		return command(c, ctx, name).Bytes()
	})
	if errors.Is(err, goredis.Nil) {
		return nil, store.ErrNotFound
	}
	return data, err
}

// name hashes the key, which carries the state of a login that is under way.
func (t *Transactions) name(key string) string {
	h := sha256.Sum256([]byte(key))
	return t.store.prefix + "t:" + hex.EncodeToString(h[:])
}
