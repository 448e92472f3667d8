package store_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tokenward/tokenward/store"
)

// plain is a key-value store that a program has already.
type plain struct{ values sync.Map }

func (p *plain) Get(_ context.Context, key string, _ store.Options) ([]byte, error) {
	value, ok := p.values.Load(key)
	if !ok {
		return nil, nil // absence is no error
	}
	return value.([]byte), nil
}

func (p *plain) Set(_ context.Context, key string, value []byte, _ time.Duration, _ store.Options) error {
	p.values.Store(key, append([]byte(nil), value...))
	return nil
}

func (p *plain) Delete(_ context.Context, key string, _ store.Options) error {
	p.values.Delete(key)
	return nil
}

// A plain key-value store keeps sessions of one process, for tokenward.WithStateStore.
func ExampleNewSimple() {
	sessions := store.NewSimple(&plain{}, nil, store.OwnedByThisProcess())
	fmt.Println("only this process uses it:", sessions.Exclusive())
	// Output: only this process uses it: true
}
