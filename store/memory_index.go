package store

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Find implements Index. It asks each shard in turn, none of which scans.
func (m *Memory) Find(ctx context.Context, values []IndexValue, _ Options) ([]Ref, error) {
	now := m.now()
	var refs []Ref
	for i := range m.shards {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		refs = append(refs, m.shards[i].find(values, now)...)
	}
	sortRefs(refs)
	return refs, nil
}

// Due implements Index. Once the shards so far have filled a page, its last place bounds what the next ones look for. So a page costs a few
// times its own size, and not that of a page from each shard.
func (m *Memory) Due(ctx context.Context, from, until session.Ceiling, after Ref, limit int, _ Options) ([]Ref, error) {
	now := m.now()
	limit = max(0, limit)
	var refs []Ref
	before := place{at: int64(until)}
	for i := range m.shards {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		refs = append(refs, m.shards[i].due(from, before, place{int64(after.Ceiling), after.Key}, limit, now)...)
		if limit > 0 && len(refs)/2 >= limit {
			sortRefs(refs)
			refs = refs[:limit]
			before = place{int64(refs[limit-1].Ceiling), refs[limit-1].Key}
		}
	}
	sortRefs(refs)
	return refs[:min(limit, len(refs))], nil
}

// ClaimDue implements Index.
func (m *Memory) ClaimDue(ctx context.Context, until session.Ceiling, limit int, hold time.Duration, _ Options) ([]Ref, error) {
	now := m.now()
	turn := int(m.turn.Add(1) % uint32(len(m.shards)))
	var refs []Ref
	for i := 0; i < len(m.shards) && len(refs) < limit; i++ {
		if err := ctx.Err(); err != nil {
			if len(refs) > 0 {
				break // they are claimed now, so the caller must learn of them
			}
			return nil, err
		}
		sh := &m.shards[(turn+i)%len(m.shards)]
		refs = append(refs, sh.claimDue(until, limit-len(refs), after(now, hold), now)...)
	}
	sortRefs(refs)
	return refs, nil
}

func sortRefs(refs []Ref) {
	slices.SortFunc(refs, func(a, b Ref) int {
		return cmp.Or(cmp.Compare(a.Ceiling, b.Ceiling), bytes.Compare(a.Key[:], b.Key[:]))
	})
}
