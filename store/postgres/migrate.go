package postgres

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
)

// Migrations are numbered from 1 without a gap, and are never changed once released. What
// runs may be a release older than its schema: a migration must leave what that one calls.
//
//go:embed migrations/*.sql
var migrations embed.FS

// Migration is a step of the schema, for those who apply it themselves.
type Migration struct {
	Version int    // 1 and up, without a gap
	Name    string // as 0001_tables
	SQL     string // commands for one transaction, which note in the schema that they were applied
}

// Migrations returns the steps that make the schema of that name, oldest first. Each is applied once, by a user who owns the schema or may make
// it, before a process with NoDDL starts. Those of a release are never changed, and later ones leave what a process of the release before calls. It
// fails with an *OpenError for a name that is none, see Schema.
//
// The application's user then needs no more than
//
//	GRANT USAGE ON SCHEMA tokenward TO app;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tokenward TO app;
//	GRANT USAGE ON ALL SEQUENCES IN SCHEMA tokenward TO app;
func Migrations(schema string) ([]Migration, error) {
	s, _, err := newStore([]Option{Schema(schema)})
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var all []Migration
	for i, file := range files {
		text, err := migrations.ReadFile(file)
		if err != nil {
			return nil, err
		}
		m := Migration{Version: i + 1, Name: strings.TrimSuffix(path.Base(file), ".sql")}
		sql := fmt.Sprintf("SELECT pg_advisory_xact_lock(%d);\n", s.lockNumber())
		if m.Version == 1 {
			sql += `CREATE SCHEMA IF NOT EXISTS :"schema";` + "\n" + createMigrations + ";\n"
		}
		m.SQL = s.fill(fmt.Sprintf("%sINSERT INTO :\"schema\".migrations (version) VALUES (%d);\n%s", sql, m.Version, text))
		all = append(all, m)
	}
	return all, nil
}

// checkSchema returns which migrations lack, with NoDDL.
func (s *Store) checkSchema(ctx context.Context, conn *pgx.Conn) error {
	all, err := Migrations(s.schema)
	if err != nil {
		return err
	}
	have, err := s.schemaVersion(ctx, conn, len(all))
	if err != nil {
		return err
	}
	if have < len(all) {
		var names []string
		for _, m := range all[have:] {
			names = append(names, m.Name)
		}
		return &OpenError{Why: OlderSchema, Detail: fmt.Sprintf("the schema %s has version %d, and this release needs %d: apply %s of Migrations",
			s.schema, have, len(all), strings.Join(names, ", "))}
	}
	var readOnly bool
	var missing []string
	if err = conn.QueryRow(ctx, s.sql[opCheck], pgx.QueryExecModeExec, s.schema, relations, functions).Scan(&readOnly, &missing); err == nil && len(missing) > 0 {
		err = &OpenError{Why: OlderSchema, Detail: "the schema " + s.schema + " lacks " + strings.Join(missing, ", ") + ": " + s.restoreSchema()}
	}
	return err
}

// migrate applies what the schema lacks, each migration in a transaction of its own.
func (s *Store) migrate(ctx context.Context, conn *pgx.Conn) error {
	files, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return err
	}
	have, err := s.schemaVersion(ctx, conn, len(files))
	if err != nil {
		return err
	}
	for have < len(files) {
		if have, err = s.migrateOnce(ctx, conn, files); err != nil {
			return err
		}
	}
	return nil
}

// migrateOnce applies the first migration that is missing, if there is still one when it is
// its turn, and returns which version the schema has then.
func (s *Store) migrateOnce(ctx context.Context, conn *pgx.Conn, files []string) (have int, err error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err = tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1::bigint)", pgx.QueryExecModeExec, s.lockNumber()); err != nil {
		return 0, err
	}
	have, err = s.schemaVersion(ctx, tx, len(files))
	if err != nil || have == len(files) {
		return have, err
	}
	if have == 0 {
		if err = s.createSchema(ctx, tx); err != nil {
			return 0, err
		}
	}
	sql, err := migrations.ReadFile(files[have])
	if err != nil {
		return 0, err
	}
	have++
	if _, err = tx.Exec(ctx, s.fill(string(sql))); err != nil {
		return 0, fmt.Errorf("migration %d: %w", have, err)
	}
	if _, err = tx.Exec(ctx, s.fill(`INSERT INTO :"schema".migrations (version) VALUES ($1::integer)`), pgx.QueryExecModeExec, have); err != nil {
		return 0, err
	}
	if err = tx.Commit(ctx); err != nil {
		return 0, err
	}
	s.log.Info("the schema was migrated", zap.String("schema", s.schema), zap.Int("version", have))
	return have, nil
}

func (s *Store) createSchema(ctx context.Context, tx pgx.Tx) error {
	var exists bool // CREATE SCHEMA asks for a permission even where it exists
	err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1::text)",
		pgx.QueryExecModeExec, s.schema).Scan(&exists)
	if err != nil {
		return err
	}
	if !exists {
		if _, err := tx.Exec(ctx, s.fill(`CREATE SCHEMA :"schema"`)); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, s.fill(createMigrations))
	return err
}

const createMigrations = `CREATE TABLE IF NOT EXISTS :"schema".migrations (
	version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// schemaVersion returns the number of the last migration applied, 0 when there is none. It
// fails when that one is newer than ours.
func (s *Store) schemaVersion(ctx context.Context, from querier, newest int) (have int, err error) {
	// Not to_regclass: it remembers a table as absent that came while we waited for the lock.
	var exists bool
	err = from.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1::text AND c.relname = 'migrations')`, pgx.QueryExecModeExec, s.schema).Scan(&exists)
	if err != nil || !exists {
		return 0, err
	}
	err = from.QueryRow(ctx, s.fill(`SELECT coalesce(max(version), 0) FROM :"schema".migrations`), pgx.QueryExecModeExec).Scan(&have)
	if err == nil && have > newest {
		err = &OpenError{Why: NewerSchema, Detail: fmt.Sprintf("version %d, this release knows %d: start the release that set it up, or a later one", have, newest)}
	}
	return have, err
}

// lockNumber is the advisory lock for the migrations of this schema.
func (s *Store) lockNumber() int64 {
	sum := sha256.Sum256([]byte("tokenward schema " + s.schema))
	return int64(binary.BigEndian.Uint64(sum[:]))
}
