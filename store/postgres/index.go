package postgres

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Find implements store.Index.
func (s *Store) Find(ctx context.Context, values []store.IndexValue, _ store.Options) ([]store.Ref, error) {
	return s.refs(ctx, opFind, valuesOf(values))
}

// Due implements store.Index.
func (s *Store) Due(ctx context.Context, from, until session.Ceiling, after store.Ref, limit int, _ store.Options) ([]store.Ref, error) {
	// One beginning, for of two the server scans from the earlier.
	key := after.Key[:]
	if after.Ceiling < from {
		after.Ceiling, key = from, []byte{} // before every key
	}
	return s.refs(ctx, opDue, int64(after.Ceiling), key, int64(until), int64(max(0, limit)))
}

// ClaimDue implements store.Index.
func (s *Store) ClaimDue(ctx context.Context, until session.Ceiling, limit int, hold time.Duration, _ store.Options) ([]store.Ref, error) {
	if limit <= 0 {
		return nil, ctx.Err()
	}
	refs, err := s.refs(ctx, opClaimDue, int64(until), int64(limit), microseconds(hold))
	slices.SortFunc(refs, func(a, b store.Ref) int {
		return cmp.Or(cmp.Compare(a.Ceiling, b.Ceiling), bytes.Compare(a.Key[:], b.Key[:]))
	})
	return refs, err
}

// refs lists what op answers with. A record that cannot be read is left out, and left alone.
func (s *Store) refs(ctx context.Context, op operation, args ...any) ([]store.Ref, error) {
	return rows(ctx, s, op, args, func(row pgx.CollectableRow) (ref store.Ref, ok bool, err error) {
		var key, incarnation []byte
		err = row.Scan(&key, &incarnation, &ref.Ceiling, &ref.Connections, &ref.Ended)
		return ref, read(ref.Key[:], key) && read(ref.Incarnation[:], incarnation), err
	})
}
