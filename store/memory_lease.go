package store

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Lease implements Leaser. A lease that lapsed is taken anew, under a higher epoch, by
// its last owner too.
func (m *Memory) Lease(ctx context.Context, key session.Key, owner string, ttl time.Duration, _ Options) (int64, error) {
	var epoch int64
	err := m.change(ctx, key, func(sh *shard, now int64) error {
		e := sh.entry(key, now)
		switch e.owner {
		case "":
			e.owner, e.epoch = owner, m.epochs.Add(1)
		case owner:
		default:
			return ErrLeased
		}
		e.leased, epoch = after(now, ttl), e.epoch
		sh.settle(key, e, now)
		return nil
	})
	return epoch, err
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

// PutIntent implements Intents.
func (m *Memory) PutIntent(ctx context.Context, key session.Key, in Intent, _ Options) (again bool, err error) {
	err = m.change(ctx, key, func(sh *shard, now int64) error {
		e, err := sh.living(key, now)
		if err != nil {
			return err
		}
		if in.Epoch < e.epoch {
			return ErrConflict
		}
		var next Intent
		if next, again, err = in.Over(e.intent); err != nil {
			return err
		}
		e.intent = &next
		sh.intents[key] = struct{}{}
		return nil
	})
	return again, err
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

// Orphans implements Intents.
func (m *Memory) Orphans(ctx context.Context, limit int, _ Options) ([]Orphan, error) {
	now := m.now()
	var found []Orphan
	for i := range m.shards {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found = append(found, m.shards[i].orphans(now)...)
	}
	slices.SortFunc(found, func(a, b Orphan) int {
		return cmp.Or(cmp.Compare(a.At, b.At), bytes.Compare(a.Key[:], b.Key[:]))
	})
	return found[:min(max(0, limit), len(found))], nil
}

func (sh *shard) orphans(now int64) []Orphan {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var found []Orphan
	for key := range sh.intents {
		e := sh.entries[key]
		if now < e.expires && (e.owner == "" || now >= e.leased) {
			found = append(found, Orphan{Key: key, Intent: *e.intent})
		}
	}
	return found
}
