package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Lease implements store.Leaser. A lease that lapsed is taken anew, under a higher epoch, by
// its last owner too.
func (s *Store) Lease(ctx context.Context, key session.Key, owner string, ttl time.Duration, _ store.Options) (int64, error) {
	defer s.wrote()
	var epoch *int64
	if err := s.row(ctx, opLease, []any{key[:], owner, microseconds(ttl)}, &epoch); err != nil {
		return 0, err
	}
	if epoch == nil {
		return 0, store.ErrLeased
	}
	return *epoch, nil
}

// Release implements store.Leaser.
func (s *Store) Release(ctx context.Context, key session.Key, owner string, epoch int64, _ store.Options) error {
	return orNothing(s.row(ctx, opRelease, []any{key[:], owner, epoch}, nil))
}

// PutIntent implements store.Intents.
func (s *Store) PutIntent(ctx context.Context, key session.Key, in store.Intent, _ store.Options) (again bool, err error) {
	var word string
	var reason *string
	if err := s.row(ctx, opPutIntent, []any{key[:], in.Token[:], in.Epoch, in.At, int64(in.Tries), in.Next}, &word, &reason, &again); err != nil {
		return false, err
	}
	return again, outcome(word, reason)
}

// ClearIntent implements store.Intents.
func (s *Store) ClearIntent(ctx context.Context, key session.Key, in store.Intent, _ store.Options) error {
	return orNothing(s.row(ctx, opClearIntent, []any{key[:], in.Token[:], in.Epoch, in.At}, nil))
}

// Orphans implements store.Intents.
func (s *Store) Orphans(ctx context.Context, limit int, _ store.Options) ([]store.Orphan, error) {
	return rows(ctx, s, opOrphans, []any{int64(max(0, limit))}, func(row pgx.CollectableRow) (o store.Orphan, ok bool, err error) {
		var key, token []byte
		err = row.Scan(&key, &token, &o.Epoch, &o.At, &o.Tries, &o.Next)
		return o, read(o.Key[:], key) && read(o.Token[:], token), err
	})
}

// orNothing is for what is success where there is nothing to do.
func orNothing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// Renew implements store.Leaser.
func (s *Store) Renew(ctx context.Context, key session.Key, owner string, _ int64, ttl time.Duration, o store.Options) error {
	_, err := s.Lease(ctx, key, owner, ttl, o)
	return err
}
