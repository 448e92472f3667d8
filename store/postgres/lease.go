package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tokenward/tokenward/internal/remote"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Begin implements store.Leaser and store.Intents, in one statement.
func (s *Store) Begin(ctx context.Context, key session.Key, b store.Beginning, _ store.Options) (store.Begun, error) {
	defer s.wrote()
	in := b.Intent
	if b.Version == (session.Version{}) {
		in = store.Intent{}
	}
	var (
		word                                       string
		reason, holder                             *string
		holds, lease, tries, next                  *int64
		priorEpoch, priorAt, priorTries, priorNext *int64
		moved                                      recordRow
	)
	err := s.row(ctx, opBegin, []any{
		key[:], remote.OrEmpty(b.Version[:]), b.Owner, microseconds(b.TTL), remote.OrEmpty(in.Token[:]), in.At, int64(in.Tries), in.Next,
	}, append([]any{
		&word, &reason, &holder, &holds, &lease, &tries, &next, &priorEpoch, &priorAt, &priorTries, &priorNext,
	}, moved.columns()...)...)
	if err != nil {
		return store.Begun{}, err
	}
	switch word {
	case "moved":
		r, err := moved.record()
		if err != nil {
			return store.Begun{}, err
		}
		return store.Begun{Moved: &r}, nil
	case "leased":
		return store.Begun{}, &store.LeasedError{Owner: orZero(holder), Left: remote.Duration(orZero(holds), time.Microsecond)}
	case "begun":
	default:
		return store.Begun{}, outcome(word, reason)
	}
	begun := store.Begun{Epoch: orZero(lease)}
	if in.Token == ([32]byte{}) {
		return begun, nil
	}
	begun.Intent = store.Intent{Token: in.Token, Epoch: begun.Epoch, At: in.At, Tries: int(orZero(tries)), Next: orZero(next)}
	if priorEpoch != nil {
		begun.Prior = &store.Intent{
			Token: in.Token, Epoch: *priorEpoch, At: orZero(priorAt), Tries: int(orZero(priorTries)), Next: orZero(priorNext),
		}
	}
	return begun, nil
}

// orZero returns what p points to, the zero T where it is nil.
func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// Renew implements store.Leaser.
func (s *Store) Renew(ctx context.Context, key session.Key, owner string, epoch int64, ttl time.Duration, _ store.Options) error {
	err := s.row(ctx, opRenew, []any{key[:], owner, epoch, microseconds(ttl)}, nil)
	if errors.Is(err, store.ErrNotFound) {
		return store.ErrConflict
	}
	return err
}

// Release implements store.Leaser.
func (s *Store) Release(ctx context.Context, key session.Key, owner string, epoch int64, _ store.Options) error {
	return orNothing(s.row(ctx, opRelease, []any{key[:], owner, epoch}, nil))
}

// ClearIntent implements store.Intents.
func (s *Store) ClearIntent(ctx context.Context, key session.Key, in store.Intent, _ store.Options) error {
	return orNothing(s.row(ctx, opClearIntent, []any{key[:], in.Token[:], in.Epoch, in.At}, nil))
}

// StaleIntents implements store.Intents.
func (s *Store) StaleIntents(ctx context.Context, limit int, _ store.Options) ([]store.StaleIntent, error) {
	return rows(ctx, s, opStaleIntents, []any{int64(max(0, limit))}, func(row pgx.CollectableRow) (o store.StaleIntent, ok bool, err error) {
		var key, token []byte
		err = row.Scan(&key, &token, &o.Epoch, &o.At, &o.Tries, &o.Next)
		return o, read(o.Key[:], key) && read(o.Token[:], token), err
	})
}

// orNothing is for operations that succeed where there is nothing to do.
func orNothing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
