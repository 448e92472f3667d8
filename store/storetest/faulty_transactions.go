package storetest

import (
	"context"
	"time"

	"github.com/tokenward/tokenward/store"
)

// FaultyTransactions is to a TransactionStore what Faulty is to a StateStore.
type FaultyTransactions struct {
	*Script
	inner store.TransactionStore
}

// NewFaultyTransactions returns a FaultyTransactions around s, without faults yet.
func NewFaultyTransactions(s store.TransactionStore) *FaultyTransactions {
	return &FaultyTransactions{Script: newScript(), inner: s}
}

// Put implements store.TransactionStore.
func (f *FaultyTransactions) Put(ctx context.Context, key string, data []byte, ttl time.Duration, o store.Options) error {
	return f.run(ctx, Call{Op: OpPut, Options: o}, func() error { return f.inner.Put(ctx, key, data, ttl, o) })
}

// Get implements store.TransactionStore.
func (f *FaultyTransactions) Get(ctx context.Context, key string, o store.Options) ([]byte, error) {
	return answer(ctx, f.Script, Call{Op: OpGet, Options: o}, func() ([]byte, error) { return f.inner.Get(ctx, key, o) })
}

// Take implements store.TransactionStore.
func (f *FaultyTransactions) Take(ctx context.Context, key string, o store.Options) ([]byte, error) {
	return answer(ctx, f.Script, Call{Op: OpTake, Options: o}, func() ([]byte, error) { return f.inner.Take(ctx, key, o) })
}
