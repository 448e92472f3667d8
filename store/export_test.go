package store

import (
	"slices"

	"github.com/tokenward/tokenward/internal/remote"
)

// MaxNotices is how far a watcher may lag behind.
const MaxNotices = remote.MaxNotices

// Kept counts what a Memory holds on to.
type Kept struct{ Entries, Values, Intents, Ceilings, Lapses int }

// Kept looks into every shard.
func (m *Memory) Kept() Kept {
	var n Kept
	for i := range m.shards {
		sh := &m.shards[i]
		sh.mu.Lock()
		n.Entries += len(sh.entries)
		n.Values += len(sh.values)
		n.Intents += len(sh.intents)
		n.Ceilings += sh.ceilings.len()
		n.Lapses += sh.lapses.len()
		sh.mu.Unlock()
	}
	return n
}

func (a *agenda) len() int {
	n := 0
	for b := range a.buckets.from(&bucket{second: -1 << 63}) {
		n += int(b.n)
	}
	return n
}

// Locks returns how many locks a Simple holds on to.
func (s *Simple) Locks() int {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	return len(s.keys.locks)
}

// IndexEntries counts the keys under all index values, without those that a tombstone takes out when it goes.
func IndexEntries(m *Memory) (n int) {
	for i := range m.shards {
		sh := &m.shards[i]
		sh.mu.Lock()
		for value, keys := range sh.values {
			for key := range keys.all {
				if e := sh.entries[key]; e == nil || e.gone == nil || !slices.Contains(e.gone.index, value) {
					n++
				}
			}
		}
		sh.mu.Unlock()
	}
	return n
}
