package store

import (
	"context"
	"errors"

	"github.com/tokenward/tokenward/session"
)

// End implements StateStore.
func (m *Memory) End(ctx context.Context, key session.Key, only session.Incarnation, e Ending, _ Options) error {
	return m.change(ctx, key, func(sh *shard, now int64) error { return m.end(sh, key, only, e, now) })
}

// EndAll implements BatchEnder. It takes each shard once.
func (m *Memory) EndAll(ctx context.Context, refs []Ref, e Ending, _ Options) (left []Ref, err error) {
	var from [len(m.shards) + 1]int // where the refs of each shard begin in byShard
	for _, r := range refs {
		from[m.number(r.Key)+1]++
	}
	for i := range m.shards {
		from[i+1] += from[i]
	}
	byShard, next := make([]Ref, len(refs)), from
	for _, r := range refs {
		i := m.number(r.Key)
		byShard[next[i]] = r
		next[i]++
	}
	for i := range m.shards {
		refs := byShard[from[i]:from[i+1]]
		if len(refs) == 0 {
			continue
		}
		err := m.change(ctx, refs[0].Key, func(sh *shard, now int64) error {
			for _, r := range refs {
				if errors.Is(m.end(sh, r.Key, r.Incarnation, e, now), ErrConflict) {
					left = append(left, r)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return left, nil
}

// end ends a session, under the lock of its shard.
func (m *Memory) end(sh *shard, key session.Key, only session.Incarnation, e Ending, now int64) error {
	have := sh.peek(key, now)
	if have == nil {
		return nil
	}
	var gone *GoneError
	if have.gone != nil {
		gone = have.gone.at(now)
	}
	next, changes, err := e.over(only, have.record, gone)
	if !changes {
		return err
	}
	next.Stands = max(next.Stands, m.tombstones)
	sh.bury(key, have, &next, now)
	sh.settle(key, have, now)
	m.feed.tell(key, session.Version{})
	return nil
}
