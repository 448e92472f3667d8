package store

import (
	"bytes"
	"container/heap"
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/tokenward/tokenward/clock"
)

// DefaultMaxTransactions is how many transactions Transactions keeps.
const DefaultMaxTransactions = 100_000

// Transactions is a TransactionStore in memory. It keeps a bounded number: when it is
// full, expired ones go first, then the oldest. What it keeps is lost with the
// process, and a callback that arrives in another process finds nothing.
type Transactions struct {
	clock clock.Clock
	max   int

	mu       sync.Mutex
	byKey    map[string]*transaction
	byAge    list.List // of *transaction, oldest first
	byExpiry expiries
}

type transaction struct {
	key     string
	data    []byte
	expires time.Time
	age     *list.Element
	at      int // in byExpiry
}

// TransactionsOption changes what NewTransactions returns.
type TransactionsOption func(*Transactions)

// MaxTransactions sets how many transactions are kept, instead of
// DefaultMaxTransactions. Beyond it, the user who started a login first has to start
// again.
func MaxTransactions(n int) TransactionsOption {
	return func(t *Transactions) { t.max = max(1, n) }
}

// NewTransactions returns an empty Transactions; a nil clock is the system's.
func NewTransactions(c clock.Clock, options ...TransactionsOption) *Transactions {
	if c == nil {
		c = clock.System()
	}
	t := &Transactions{clock: c, max: DefaultMaxTransactions, byKey: make(map[string]*transaction)}
	for _, o := range options {
		o(t)
	}
	return t
}

// Put implements TransactionStore.
func (t *Transactions) Put(ctx context.Context, key string, data []byte, ttl time.Duration, _ Options) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	t.drop(t.byKey[key])
	t.sweep(now)
	if ttl <= 0 {
		return nil
	}
	for len(t.byKey) >= t.max {
		t.drop(t.byAge.Front().Value.(*transaction))
	}
	tx := &transaction{key: key, data: bytes.Clone(data), expires: now.Add(ttl)}
	tx.age = t.byAge.PushBack(tx)
	t.byKey[key] = tx
	heap.Push(&t.byExpiry, tx)
	return nil
}

// Get implements TransactionStore.
func (t *Transactions) Get(ctx context.Context, key string, _ Options) ([]byte, error) {
	return t.get(ctx, key, false)
}

// Take implements TransactionStore.
func (t *Transactions) Take(ctx context.Context, key string, _ Options) ([]byte, error) {
	return t.get(ctx, key, true)
}

func (t *Transactions) get(ctx context.Context, key string, take bool) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	tx, err := t.living(key)
	if err != nil {
		return nil, err
	}
	if take {
		t.drop(tx)
	}
	return bytes.Clone(tx.data), nil
}

// Len returns how many transactions are kept, expired ones not yet dropped included.
func (t *Transactions) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byKey)
}

func (t *Transactions) living(key string) (*transaction, error) {
	tx := t.byKey[key]
	if tx == nil {
		return nil, ErrNotFound
	}
	if !t.clock.Now().Before(tx.expires) {
		t.drop(tx)
		return nil, ErrNotFound
	}
	return tx, nil
}

// sweep drops some expired transactions: more than one for each that comes, so that
// they run out, and few enough that no caller waits.
func (t *Transactions) sweep(now time.Time) {
	for range 4 {
		if len(t.byExpiry) == 0 || now.Before(t.byExpiry[0].expires) {
			return
		}
		t.drop(t.byExpiry[0])
	}
}

func (t *Transactions) drop(tx *transaction) {
	if tx == nil {
		return
	}
	delete(t.byKey, tx.key)
	t.byAge.Remove(tx.age)
	heap.Remove(&t.byExpiry, tx.at)
}

// expiries is a heap of transactions, the first to expire on top.
type expiries []*transaction

func (h expiries) Len() int           { return len(h) }
func (h expiries) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }
func (h expiries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *expiries) Push(x any) {
	tx := x.(*transaction)
	tx.at = len(*h)
	*h = append(*h, tx)
}

// Pop implements heap.Interface.
func (h *expiries) Pop() any {
	old := *h
	tx := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return tx
}
