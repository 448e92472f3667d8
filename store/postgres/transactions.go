package postgres

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/tokenward/tokenward/store"
)

// Transactions returns the store of login transactions that is beside the sessions, so
// that a callback may arrive in any process. It ends with s.
func (s *Store) Transactions() store.TransactionStore { return transactions{s} }

// transactions keeps nothing under the key itself, which may be of any length and whose
// knowledge is half of a login.
type transactions struct{ s *Store }

// Put implements store.TransactionStore.
func (t transactions) Put(ctx context.Context, key string, data []byte, ttl time.Duration, _ store.Options) error {
	if ttl <= 0 {
		return orNothing(t.s.row(ctx, opDropTransaction, []any{hashed(key)}, nil))
	}
	defer t.s.wrote()
	return t.s.row(ctx, opPutTransaction, []any{hashed(key), notNil(data), microseconds(ttl)}, nil)
}

// Get implements store.TransactionStore.
func (t transactions) Get(ctx context.Context, key string, _ store.Options) (data []byte, err error) {
	err = t.s.row(ctx, opGetTransaction, []any{hashed(key)}, &data)
	return data, err
}

// Take implements store.TransactionStore.
func (t transactions) Take(ctx context.Context, key string, _ store.Options) (data []byte, err error) {
	err = t.s.row(ctx, opTakeTransaction, []any{hashed(key)}, &data)
	return data, err
}

func hashed(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}
