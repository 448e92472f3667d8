package store

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Begin implements Leaser and Intents.
func (m *Memory) Begin(ctx context.Context, key session.Key, b Beginning, _ Options) (begun Begun, err error) {
	if !m.shared {
		b.Owner = ""
	}
	err = m.change(ctx, key, func(sh *shard, now int64) error {
		e, err := sh.living(key, now)
		if err == ErrNotFound && b.Version == (session.Version{}) { //nolint:errorlint // no tombstone either
			b.Intent = Intent{}
			e, err = sh.entry(key, now), nil
		}
		switch {
		case err != nil:
			return err
		case e.record != nil && e.record.Version != b.Version:
			r := cloneRecord(*e.record)
			r.TTL = 0
			begun.Moved = &r
			return nil
		case b.Owner == "" && e.epoch > 0:
			return ErrConflict
		case b.Owner != "" && e.owner != "" && e.owner != b.Owner:
			return &LeasedError{Owner: e.owner, Left: between(now, e.leased)}
		}
		return m.begin(sh, key, e, b, &begun, now)
	})
	return begun, err
}

// begin takes the lease and writes the intent, of which one can still fail.
func (m *Memory) begin(sh *shard, key session.Key, e *entry, b Beginning, begun *Begun, now int64) error {
	epoch := e.epoch
	if b.Owner != "" && e.owner == "" {
		epoch = m.epochs.Add(1)
	}
	if b.Intent.Token != ([32]byte{}) {
		b.Intent.Epoch = epoch
		next, prior, err := b.Intent.Over(e.intent)
		if err != nil {
			return err
		}
		if prior {
			stood := *e.intent
			begun.Prior = &stood
		}
		begun.Intent = next
		e.intent = &next
		sh.intents[key] = struct{}{}
	}
	if b.Owner != "" {
		e.owner, e.epoch, e.leased = b.Owner, epoch, after(now, b.TTL)
		begun.Epoch = epoch
	}
	sh.settle(key, e, now)
	return nil
}

// Renew implements Leaser.
func (m *Memory) Renew(ctx context.Context, key session.Key, owner string, epoch int64, ttl time.Duration, _ Options) error {
	return m.change(ctx, key, func(sh *shard, now int64) error {
		e := sh.peek(key, now)
		if e == nil || e.owner == "" || e.owner != owner || e.epoch != epoch {
			return ErrConflict
		}
		e.leased = after(now, ttl)
		sh.settle(key, e, now)
		return nil
	})
}

// Release implements Leaser.
func (m *Memory) Release(ctx context.Context, key session.Key, owner string, epoch int64, _ Options) error {
	return m.change(ctx, key, func(sh *shard, now int64) error {
		if e := sh.peek(key, now); e != nil && e.owner == owner && e.epoch == epoch {
			e.owner = ""
			sh.settle(key, e, now)
		}
		return nil
	})
}

// ClearIntent implements Intents.
func (m *Memory) ClearIntent(ctx context.Context, key session.Key, in Intent, _ Options) error {
	return m.change(ctx, key, func(sh *shard, now int64) error {
		if e := sh.peek(key, now); e != nil && e.intent != nil && in.Matches(*e.intent) {
			e.intent = nil
			delete(sh.intents, key)
		}
		return nil
	})
}

// StaleIntents implements Intents.
func (m *Memory) StaleIntents(ctx context.Context, limit int, _ Options) ([]StaleIntent, error) {
	now := m.now()
	var found []StaleIntent
	for i := range m.shards {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found = append(found, m.shards[i].stale(now)...)
	}
	slices.SortFunc(found, func(a, b StaleIntent) int {
		return cmp.Or(cmp.Compare(a.At, b.At), bytes.Compare(a.Key[:], b.Key[:]))
	})
	return found[:min(max(0, limit), len(found))], nil
}

func (sh *shard) stale(now int64) []StaleIntent {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var found []StaleIntent
	for key := range sh.intents {
		e := sh.entries[key]
		if now < e.expires && (e.owner == "" || now >= e.leased) {
			found = append(found, StaleIntent{Key: key, Intent: *e.intent})
		}
	}
	return found
}
