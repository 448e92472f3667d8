package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tokenward/tokenward/internal/remote"
	"github.com/tokenward/tokenward/store"
)

// ErrClosed says that the store was closed.
var ErrClosed = errors.New("postgres: the store is closed")

// Error says that the server did not answer, or answered that it cannot. Whether a write
// happened is then not known, unless Err is a *store.NotServingError or a *pgconn.PgError of
// severity ERROR: that one was rolled back.
type Error struct {
	Op  string // the operation, as "update"
	Err error  // cause
}

// Error implements error.
func (e *Error) Error() string { return "postgres: " + e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Refusal says why Open failed.
type Refusal string

// The reasons for which Open fails.
const (
	BadURL      Refusal = "bad_url"      // it cannot be parsed, or says what it cannot mean
	BadSchema   Refusal = "bad_schema"   // see Schema
	Unreachable Refusal = "unreachable"  // no answer, or TLS fails
	Denied      Refusal = "denied"       // wrong user or password, or too few permissions
	TooOld      Refusal = "too_old"      // older than PostgreSQL 14
	Standby     Refusal = "standby"      // takes no writes
	NewerSchema Refusal = "newer_schema" // set up by a later release
	OlderSchema Refusal = "older_schema" // with NoDDL: a migration was not applied, or something of the schema is missing
	BadPool     Refusal = "bad_pool"     // New was given a pool that will not do
	Failed      Refusal = "failed"       // any other answer, as that there is no such database
)

// OpenError says why Open failed. Unless a migration itself failed, Open has changed
// nothing. Its text holds no password.
type OpenError struct {
	Why    Refusal
	Detail string // found or expected; may be empty
	Err    error  // cause, nil when there is none
}

// Error implements error.
func (e *OpenError) Error() string {
	text := "postgres: cannot open: " + string(e.Why)
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *OpenError) Unwrap() error { return e.Err }

// SQLSTATE codes that something depends on.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	noSuchStatement      = "26000" // a prepared one, that a pooler has forgotten
	changedPlan          = "0A000" // a prepared statement that a migration has outdated
	readOnly             = "25006" // the primary has become a standby
	notPermitted         = "42501"
	noSuchSchema         = "3F000"
	noSuchTable          = "42P01"
	noSuchFunction       = "42883"
	diskFull             = "53100"
	outOfMemory          = "53200"
	notAuthorised        = "28" // a class
)

// answer returns what the server answered when err is that, else nil.
func answer(err error) *pgconn.PgError {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg
	}
	return nil
}

const readOnlyRemedy = "the URL has to lead to the primary, and default_transaction_read_only has to be off"

// isReadOnly reports whether the server answered that it takes no writes.
func isReadOnly(err error) bool {
	pg := answer(err)
	return pg != nil && pg.Code == readOnly
}

// failed returns what a call says that failed with err.
func (s *Store) failed(op operation, err error) error {
	return &Error{Op: statements[op].name, Err: s.explained(err)}
}

// explained is discreet, and says what to do about an answer that the operator can change.
func (s *Store) explained(err error) error {
	e := &store.NotServingError{Err: s.discreet(err)}
	pg := answer(err)
	switch {
	case errors.Is(err, errStandby):
		e.Why, e.Remedy, e.Err = store.ReadOnly, "the URL has to lead to the primary", errStandby
	case pg == nil:
		return e.Err
	case pg.Code == readOnly:
		e.Why, e.Remedy = store.ReadOnly, readOnlyRemedy
	case pg.Code == noSuchSchema, pg.Code == noSuchTable, pg.Code == noSuchFunction:
		e.Why, e.Remedy = store.Incomplete, s.restoreSchema()
	case pg.Code == notPermitted:
		e.Why, e.Remedy = store.Forbidden, "its user has to own the schema "+s.schema+", or be allowed to use all in it"
	case pg.Code == diskFull, pg.Code == outOfMemory:
		e.Why = store.Full
	default:
		return e.Err
	}
	return e
}

// restoreSchema says what to do where something of the schema is missing.
func (s *Store) restoreSchema() string {
	if s.noDDL {
		return "restore the schema " + s.schema + ", or apply Migrations where it is empty"
	}
	return "restore the schema " + s.schema + ", or start a process on it, which sets it up where it is empty"
}

// discreet returns err without what it must not carry. An error of the client library has the
// whole configuration in it, password included, and its own deadlines, which must not
// look as if the caller's context had ended.
func (s *Store) discreet(err error) error {
	if pg := answer(err); pg != nil {
		return pg
	}
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		err = connecting.Unwrap() // without user and database
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	if remote.Quotes(text, s.passwords...) {
		return remote.ErrQuoting
	}
	return remote.PlainError(text)
}

// refused turns what went wrong while opening into an OpenError.
func (s *Store) refused(ctx context.Context, err error) error {
	var already *OpenError
	switch {
	case errors.As(err, &already):
		return already
	case ctx.Err() != nil:
		return &OpenError{Why: Unreachable, Err: ctx.Err()}
	case errors.Is(err, errStandby):
		return &OpenError{Why: Standby}
	}
	why := Unreachable
	if pg := answer(err); pg != nil {
		why = Failed
		if pg.Code == notPermitted || strings.HasPrefix(pg.Code, notAuthorised) {
			why = Denied
		}
	}
	return &OpenError{Why: why, Err: s.discreet(err)}
}
