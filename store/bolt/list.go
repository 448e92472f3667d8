package bolt

import (
	"bytes"
	"context"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// List implements store.Lister. A page walks as many keys of the file as it may hold sessions, and some that ended beside
// them, so it may hold fewer than that.
func (s *Store) List(ctx context.Context, l store.Listing, _ store.Options) (page store.Page, err error) {
	after, err := store.ParsePlace(l.After)
	if err != nil {
		return page, err
	}
	walk := listing{bucket: sessionBucket, key: keyOnly}
	switch {
	case l.Until > 0:
		walk = listing{bucket: ceilingIndex, from: placeKey(max(1, int64(l.From)), session.Key{}), key: func(k []byte) (r store.Ref, ok bool) {
			ceiling, key, ok := place(k)
			return store.Ref{Key: key, Ceiling: session.Ceiling(ceiling)}, ok
		}}
		if next := append(placeKey(int64(after.Ceiling), after.Key), 0); l.After != "" && bytes.Compare(walk.from, next) < 0 {
			walk.from = next
		}
	case l.Value != store.IndexValue{}:
		walk = listing{bucket: valueIndex, from: l.Value[:], prefix: l.Value[:], key: func(k []byte) (store.Ref, bool) { return keyOnly(k[len(l.Value):]) }}
		fallthrough
	default:
		if l.After != "" {
			walk.from = append(append(bytes.Clone(walk.from), after.Key[:]...), 0)
		}
	}
	err = s.view(ctx, func(v view) error {
		page = s.page(v, walk, l)
		return nil
	})
	return page, err
}

// listing is which keys of which bucket are walked.
type listing struct {
	bucket       []byte
	from, prefix []byte
	key          func(k []byte) (store.Ref, bool)
}

func keyOnly(k []byte) (r store.Ref, ok bool) {
	return r, copy(r.Key[:], k) == len(k) && len(k) == len(r.Key)
}

// page walks at most as many keys as a scan does, for a transaction that stays open holds up writers.
func (s *Store) page(v view, walk listing, l store.Listing) (page store.Page) {
	cursor := v.tx.Bucket(walk.bucket).Cursor()
	seen := 0
	var last store.Ref
	for k, _ := cursor.Seek(walk.from); k != nil && bytes.HasPrefix(k, walk.prefix); k, _ = cursor.Next() {
		r, ok := walk.key(k)
		switch {
		case !ok:
			continue
		case l.Until > 0 && r.Ceiling >= l.Until:
			return page
		case seen == scanLen || len(page.Sessions) >= l.Limit:
			page.Next = last.Place()
			return page
		}
		seen++
		last = r
		if listed, ok := s.listed(v, r, l); ok {
			page.Sessions = append(page.Sessions, listed)
		}
	}
	return page
}

func (s *Store) listed(v view, at store.Ref, l store.Listing) (listed store.Listed, ok bool) {
	f, ref, ok := s.verified(v, at.Key)
	switch {
	case !ok, l.Until > 0 && ref.Ceiling != at.Ceiling, l.Value == store.IndexValue{} && (ref.Ended || len(f.record.Index) == 0):
		return listed, false
	case ref.Ended:
		return store.Listed{Ref: ref}, true
	}
	listed.Ref = ref
	if f.used != 0 {
		listed.Used = time.UnixMicro(f.used)
	}
	if !l.Brief {
		listed.Sealed = bytes.Clone(f.record.Sealed)
	}
	return listed, true
}
