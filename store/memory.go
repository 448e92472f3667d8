package store

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

// Memory is a StateStore in memory. It is for tests and for trying things out: what it
// keeps is lost with the process, and nothing but Record.TTL bounds it. It starts no
// goroutine and arms no timer; what has lapsed is not seen any more, and is cleared away a
// little with each write. By default it belongs to one client, and has the abilities that
// mean something then: an index and Touch.
type Memory struct {
	clock      clock.Clock
	shared     bool
	survives   bool
	tombstones time.Duration

	shards [64]shard
	epochs atomic.Int64  // the last lease epoch given; one count for all keys
	turn   atomic.Uint32 // which shard ClaimDue asks first
	feed   feed
}

// MemoryOption changes what NewMemory returns.
type MemoryOption func(*Memory)

// Shared makes the store answer that it does not belong to one process alone, so
// that several clients may share it as processes do: with leases, intents and a change
// feed. The default is exclusive.
func Shared() MemoryOption { return func(m *Memory) { m.shared = true } }

// Survives is for tests in which the store outlives its client: it has intents, as a
// durable store of one process.
func Survives() MemoryOption { return func(m *Memory) { m.survives = true } }

// TombstoneLife sets how long a tombstone stands, instead of DefaultTombstoneLife.
func TombstoneLife(d time.Duration) MemoryOption { return func(m *Memory) { m.tombstones = d } }

// NewMemory returns an empty Memory; a nil clock is the system's.
func NewMemory(c clock.Clock, options ...MemoryOption) *Memory {
	if c == nil {
		c = clock.System()
	}
	m := &Memory{clock: c, tombstones: DefaultTombstoneLife}
	for i := range m.shards {
		m.shards[i].init()
	}
	for _, o := range options {
		o(m)
	}
	return m
}

// Exclusive implements the ability of that name.
func (m *Memory) Exclusive() bool { return !m.shared }

// Ability says what the store can do, as it was made. See As.
func (m *Memory) Ability(target any) bool {
	switch t := target.(type) {
	case *Exclusive:
		return set[Exclusive](t, m, true)
	case *Index:
		return set[Index](t, m, true)
	case *Lister:
		return set[Lister](t, m, true)
	case *Toucher:
		return set[Toucher](t, m, true)
	case *Intents:
		return set[Intents](t, m, m.shared || m.survives)
	case *Leaser:
		return set[Leaser](t, m, m.shared)
	case *BatchEnder:
		return set[BatchEnder](t, m, true)
	case *ChangeFeed:
		return set[ChangeFeed](t, m, m.shared)
	}
	return false
}

func set[T any](target *T, ability T, has bool) bool {
	if has {
		*target = ability
	}
	return has
}

// Load implements StateStore.
func (m *Memory) Load(ctx context.Context, key session.Key, _ Options) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	now := m.now()
	sh := m.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, err := sh.living(key, now)
	if err != nil {
		return Record{}, err
	}
	r := cloneRecord(*e.record)
	r.TTL = 0
	return r, nil
}

// Replace implements StateStore.
func (m *Memory) Replace(ctx context.Context, key session.Key, r Record, _ Options) error {
	return m.change(ctx, key, func(sh *shard, now int64) error {
		e := sh.entry(key, now)
		e.intent = nil
		sh.unbury(key, e)
		e.held = 0
		sh.put(key, e, r, now)
		m.feed.tell(key, r.Version)
		return nil
	})
}

// Update implements StateStore.
func (m *Memory) Update(ctx context.Context, key session.Key, prev session.Version, r Record, _ Options) error {
	return m.change(ctx, key, func(sh *shard, now int64) error {
		e, err := sh.living(key, now)
		if err != nil {
			return err
		}
		if e.record.Version != prev || e.record.Incarnation != r.Incarnation || r.Epoch < e.epoch {
			return ErrConflict
		}
		if !r.KeepIntent {
			e.intent = nil
		}
		if r.Release != "" && e.owner == r.Release && e.epoch == r.Epoch {
			e.owner = ""
		}
		sh.put(key, e, r, now)
		m.feed.tell(key, r.Version)
		return nil
	})
}

// Touch implements Toucher.
func (m *Memory) Touch(ctx context.Context, key session.Key, ttl time.Duration, _ Options) error {
	return m.change(ctx, key, func(sh *shard, now int64) error {
		e, err := sh.living(key, now)
		if err != nil {
			return err
		}
		e.expires, e.used = expiry(now, ttl), now
		sh.settle(key, e, now)
		return nil
	})
}

// Len returns how many sessions live in the store.
func (m *Memory) Len() int {
	now, n := m.now(), 0
	for i := range m.shards {
		sh := &m.shards[i]
		sh.mu.Lock()
		for _, e := range sh.entries {
			if e.record != nil && now < e.expires {
				n++
			}
		}
		sh.mu.Unlock()
	}
	return n
}

// change runs f under the lock of key's shard, after clearing away a few entries of
// that shard that have lapsed.
func (m *Memory) change(ctx context.Context, key session.Key, f func(sh *shard, now int64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := m.now()
	sh := m.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.sweep(now, 4)
	return f(sh, now)
}

func (m *Memory) shard(key session.Key) *shard { return &m.shards[m.number(key)] }

func (m *Memory) number(key session.Key) int { return int(key[0]) % len(m.shards) }

func (m *Memory) now() int64 { return m.clock.Now().UnixMicro() }

// forever is the instant that never comes. Instants are microseconds since the Unix
// epoch: nanoseconds would end in 2262, which is before the last legal ceiling.
const forever = math.MaxInt64

// after returns the instant that is d, rounded up, after now.
func after(now int64, d time.Duration) int64 {
	us := d.Microseconds()
	if d%time.Microsecond > 0 {
		us++
	}
	return now + us
}

// between returns how long it is from now to an instant; not more than a Duration holds.
func between(now, then int64) time.Duration {
	return time.Duration(min(then-now, math.MaxInt64/1000)) * time.Microsecond
}

// upToSecond returns the whole second since the Unix epoch, rounded up, of an instant.
func upToSecond(at int64) int64 {
	second := at / 1e6
	if at%1e6 > 0 {
		second++
	}
	return second
}

// expiry is when a record with this TTL lapses: never when it is 0.
func expiry(now int64, ttl time.Duration) int64 {
	if ttl <= 0 {
		return forever
	}
	return after(now, ttl)
}

func cloneRecord(r Record) Record {
	r.Index = slices.Clone(r.Index)
	r.Sealed = slices.Clone(r.Sealed)
	r.Release, r.KeepIntent = "", false
	return r
}
