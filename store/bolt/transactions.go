package bolt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Transactions returns the login transactions of the file, which are closed with s. What
// Take has returned is gone for good, a crash included. What cannot be read counts as
// absent.
func (s *Store) Transactions() store.TransactionStore { return transactions{s} }

type transactions struct{ s *Store }

// Put implements store.TransactionStore.
func (t transactions) Put(ctx context.Context, key string, data []byte, ttl time.Duration, _ store.Options) error {
	k := hashOf(key)
	d := newDraft(k, kindTransaction, data)
	return t.s.change(ctx, k, func(c *change) error {
		old := c.read(transactionBucket, k)
		switch {
		case ttl <= 0 && old.there:
			c.forgetTransaction(k, old)
		case ttl <= 0:
		default:
			if !old.there {
				c.makeRoom(t.s.maxTransactions)
				c.count(1)
			}
			c.transactions().keep(k, old, d, expiry(c.now, ttl))
		}
		return nil
	})
}

// Get implements store.TransactionStore.
func (t transactions) Get(ctx context.Context, key string, _ store.Options) (data []byte, err error) {
	k := hashOf(key)
	err = t.s.view(ctx, func(v view) error {
		have := v.read(transactionBucket, k)
		if !have.isTransaction(v.now) {
			t.s.note(k, have.err)
			return store.ErrNotFound
		}
		data = bytes.Clone(have.body)
		return nil
	})
	return data, err
}

// Take implements store.TransactionStore. Where it fails for want of an answer, the
// transaction may be gone.
func (t transactions) Take(ctx context.Context, key string, _ store.Options) ([]byte, error) {
	k := hashOf(key)
	taken := make(chan []byte, 1) // a caller who gave up shares nothing with the writer
	err := t.s.change(ctx, k, func(c *change) error {
		have := c.read(transactionBucket, k)
		if !have.isTransaction(c.now) {
			t.s.note(k, have.err)
			return store.ErrNotFound
		}
		taken <- bytes.Clone(have.body)
		c.forgetTransaction(k, have)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return <-taken, nil
}

// hashOf returns what a transaction is kept under: its key, which the browser's URL
// shows, is not in the file.
func hashOf(key string) session.Key { return sha256.Sum256([]byte(key)) }

func (s stored) isTransaction(now int64) bool {
	return !s.lapsed(now) && s.err == nil && s.kind == kindTransaction
}

func (c *change) transactions() shelf {
	return shelf{c, transactionBucket, transactionExpires}
}

// forgetTransaction drops the transaction under key.
func (c *change) forgetTransaction(key session.Key, old stored) {
	c.transactions().drop(key, old)
	c.count(-1)
}

// count notes that there is one transaction more or less.
func (c *change) count(by int) {
	if b := c.tx.Bucket(transactionBucket); c.err == nil {
		c.dirty = true
		c.err = b.SetSequence(uint64(max(0, int(b.Sequence())+by)))
	}
}

// makeRoom drops those transactions that expire first until there are fewer than
// limit, not too many at once.
func (c *change) makeRoom(limit int) {
	for range sweepMost {
		if c.err != nil || int(c.tx.Bucket(transactionBucket).Sequence()) < limit {
			return
		}
		k, _ := c.tx.Bucket(transactionExpires).Cursor().First()
		if k == nil {
			return
		}
		k = bytes.Clone(k)
		slot, key, _ := place(k)
		if old := c.read(transactionBucket, key); old.there && (old.err != nil || old.listed == slot) {
			c.forgetTransaction(key, old)
		}
		c.unset(transactionExpires, k)
	}
}
