package store

import (
	"context"
	"errors"

	"github.com/tokenward/tokenward/session"
)

// End implements StateStore.
func (m *Memory) End(ctx context.Context, key session.Key, only session.Incarnation, e Ending, _ Options) error {
	return m.change(ctx, key, func(sh *shard, now int64) error {
		return m.end(sh, sh.peek(key, now), only, e, now)
	})
}

// EndAll implements BatchEnder. It takes each shard once.
func (m *Memory) EndAll(ctx context.Context, refs []Ref, e Ending, _ Options) (left []Ref, err error) {
	var from [len(m.shards) + 1]int // where the refs of each shard begin in order
	for _, r := range refs {
		from[m.number(r.Key)+1]++
	}
	for i := range m.shards {
		from[i+1] += from[i]
	}
	var found []*entry
	order, next := make([]int32, len(refs)), from // the places of refs, by shard
	for at, r := range refs {
		i := m.number(r.Key)
		order[next[i]] = int32(at)
		next[i]++
	}
	for i := range m.shards {
		of := order[from[i]:from[i+1]]
		if len(of) == 0 {
			continue
		}
		err := m.change(ctx, refs[of[0]].Key, func(sh *shard, now int64) error {
			// First all are looked up, for the processor waits for the memory of several of them at once.
			found = found[:0]
			for _, at := range of {
				found = append(found, sh.peek(refs[at].Key, now))
			}
			for i, at := range of {
				r := &refs[at]
				if errors.Is(m.end(sh, found[i], r.Incarnation, e, now), ErrConflict) {
					left = append(left, *r)
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

// end ends the session of an entry, nil where there is none, under the lock of its shard.
func (m *Memory) end(sh *shard, have *entry, only session.Incarnation, e Ending, now int64) error {
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
	sh.bury(have.key, have, &next, now)
	sh.settle(have.key, have, now)
	m.feed.tell(have.key, session.Version{})
	return nil
}
