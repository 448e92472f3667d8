package bolt

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Find implements store.Index.
func (s *Store) Find(ctx context.Context, values []store.IndexValue, _ store.Options) ([]store.Ref, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var refs []store.Ref
	seen := make(map[session.Key]struct{})
	for _, want := range values {
		err := s.scan(ctx, valueIndex, want[:], func(v view, k []byte) bool {
			if !bytes.HasPrefix(k, want[:]) {
				return false
			}
			if len(k) != len(want)+len(session.Key{}) {
				return true
			}
			key := session.Key(k[len(want):])
			if _, again := seen[key]; again {
				return true
			}
			if f, r, ok := s.verified(v, key); ok && slices.Contains(f.values(), want) {
				seen[key] = struct{}{}
				refs = append(refs, r)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return refs, nil
}

// Due implements store.Index.
func (s *Store) Due(ctx context.Context, from, until session.Ceiling, last store.Ref, limit int, _ store.Options) ([]store.Ref, error) {
	start := placeKey(max(1, int64(from)), session.Key{})
	if next := append(placeKey(int64(last.Ceiling), last.Key), 0); bytes.Compare(start, next) < 0 {
		start = next
	}
	var refs []store.Ref
	err := s.ceilings(ctx, start, until, func(r store.Ref) bool {
		if len(refs) < limit {
			refs = append(refs, r)
		}
		return len(refs) < limit
	})
	return refs, err
}

// ClaimDue implements store.Index. Claims are kept in memory: the process that opens the file next
// has none. It steps over sessions that are claimed already, so let no large number of claims
// stand.
func (s *Store) ClaimDue(ctx context.Context, until session.Ceiling, limit int, hold time.Duration, _ store.Options) ([]store.Ref, error) {
	done, err := s.claims.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	now := s.now()
	var refs []store.Ref
	err = s.ceilings(ctx, placeKey(1, session.Key{}), until, func(r store.Ref) bool {
		if len(refs) < limit && !s.claims.stands(r, now) {
			refs = append(refs, r)
		}
		return len(refs) < limit
	})
	if err != nil {
		return nil, err
	}
	s.claims.add(refs, now, after(now, hold))
	return refs, nil
}

// ceilings calls visit for the living records with a ceiling before until, in order,
// from a place on, for as long as it returns true.
func (s *Store) ceilings(ctx context.Context, start []byte, until session.Ceiling, visit func(store.Ref) bool) error {
	return s.scan(ctx, ceilingIndex, start, func(v view, k []byte) bool {
		ceiling, key, ok := place(k)
		if !ok {
			return true
		}
		if ceiling >= int64(until) {
			return false
		}
		if _, r, ok := s.verified(v, key); ok && int64(r.Ceiling) == ceiling {
			return visit(r)
		}
		return true
	})
}

// verified returns what an index entry points to, if that lives and can be read.
func (s *Store) verified(v view, key session.Key) (f found, r store.Ref, ok bool) {
	f = v.session(key)
	s.note(key, f.err)
	r, ok = f.ref(key, v.now)
	return f, r, ok
}

// scanLen is how many keys one transaction walks. A transaction that stays open keeps
// the file from growing, and so every caller from writing.
const scanLen = 512

// scan calls visit for the keys of a bucket from a key on, in order, for as long as it
// returns true. Keys that come or go during that are seen or not.
func (s *Store) scan(ctx context.Context, bucket, from []byte, visit func(v view, k []byte) bool) error {
	for more := true; more; {
		err := s.view(ctx, func(v view) error {
			n := 0
			cursor := v.tx.Bucket(bucket).Cursor()
			for k, _ := cursor.Seek(from); k != nil; k, _ = cursor.Next() {
				if n == scanLen {
					from = bytes.Clone(k)
					return nil
				}
				n++
				if !visit(v, k) {
					break
				}
			}
			more = false
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
