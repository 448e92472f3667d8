package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tokenward/tokenward/internal/remote"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// attempts is how often an operation is tried that was certainly without effect.
const attempts = 5

// row runs op, which answers with one row or none, and scans that row. It fails with
// store.ErrNotFound when there is none.
func (s *Store) row(ctx context.Context, op operation, args []any, dest ...any) error {
	err := s.run(ctx, op, func(ctx context.Context) error { return s.pool.QueryRow(ctx, s.sql[op], args...).Scan(dest...) })
	if errors.Is(err, pgx.ErrNoRows) {
		return store.ErrNotFound
	}
	return err
}

// rows runs op and returns what scan makes of each row of the answer; those of which it
// makes nothing are left out.
func rows[T any](ctx context.Context, s *Store, op operation, args []any, scan func(pgx.CollectableRow) (T, bool, error)) ([]T, error) {
	var all []T
	err := s.run(ctx, op, func(ctx context.Context) error {
		all = nil
		rows, err := s.pool.Query(ctx, s.sql[op], args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			one, ok, err := scan(rows)
			if err != nil {
				return err
			}
			if ok {
				all = append(all, one)
			}
		}
		return rows.Err()
	})
	return all, err
}

// run calls ask until it succeeds, fails for good, or is not safe to be repeated.
func (s *Store) run(ctx context.Context, op operation, ask func(context.Context) error) error {
	asking := ctx
	if s.host != nil {
		var done func()
		var err error
		if asking, done, err = s.host.during(ctx, s.life); err != nil {
			return err
		}
		defer done()
	}
	for attempt := 1; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := ask(asking)
		switch {
		case err == nil, errors.Is(err, pgx.ErrNoRows):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case s.life.Err() != nil:
			return ErrClosed
		}
		if isReadOnly(err) && !s.elsewhere.allow(s.clock.Now()) {
			return s.failed(op, err)
		}
		if lost(err) {
			s.pool.Reset() // what broke one connection has most likely broken all
		}
		if attempt == attempts || !repeatable(op, err) {
			return s.failed(op, err)
		}
	}
}

// lost reports whether err says that a connection broke, or leads to the wrong server now.
func lost(err error) bool {
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) || errors.Is(err, errStandby) {
		return false // there was none
	}
	pg := answer(err)
	return pg == nil || isReadOnly(err) || pg.SeverityUnlocalized == "FATAL" || pg.SeverityUnlocalized == "PANIC"
}

// repeatable reports whether op, which failed with err, can be asked again: it had no
// effect, for nothing was sent, the server has rolled it back, or it never has one.
func repeatable(op operation, err error) bool {
	if pgconn.SafeToRetry(err) {
		return true
	}
	if pg := answer(err); pg != nil {
		switch pg.Code {
		case serializationFailure, deadlockDetected, noSuchStatement, changedPlan, readOnly: // of the last, see Store.elsewhere
			return true
		}
	}
	return statements[op].reads && lost(err)
}

// microseconds returns d, rounded up; 0 where it is not positive.
func microseconds(d time.Duration) int64 { return remote.Units(d, time.Microsecond) }

// outcome turns what a function answered into an error.
func outcome(word string, reason *string) error {
	switch word {
	case "done":
		return nil
	case "conflict":
		return store.ErrConflict
	case "presented":
		return store.ErrPresented
	case "gone":
		if reason != nil {
			return &store.GoneError{Reason: session.Reason(*reason)}
		}
	}
	return store.ErrNotFound
}

// notNil returns b, which is NULL to the client library when it is nil.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
