package postgres

import (
	"io/fs"
	"sync/atomic"
	"syscall"
)

// Instant takes the place of the server's clock: SQL for the present instant.
func Instant(sql string) Option { return func(o *options) { o.instant = sql } }

// OldestServer takes the place of the oldest major version that will do.
func OldestServer(major int) Option { return func(o *options) { o.oldest = major } }

// MigrationText returns the SQL of a migration, as it is run for a schema.
func MigrationText(schema string, n int) string {
	names, _ := fs.Glob(migrations, "migrations/*.sql")
	sql, _ := migrations.ReadFile(names[n-1])
	return filler(schema, presentInstant).Replace(string(sql))
}

// Settle waits for the work in the background.
func (s *Store) Settle() { s.life.Wait() }

// CollectEvery is how many writes there are between two batches of collection.
const CollectEvery = collectEvery

// LockNumber is the advisory lock for the migrations of a schema.
func LockNumber(schema string) int64 { return (&Store{schema: schema}).lockNumber() }

// CountDials counts the connections that are tried from now on. For before there are callers.
func (s *Store) CountDials(n *atomic.Int64) {
	s.wires.dialer.Control = func(string, string, syscall.RawConn) error {
		n.Add(1)
		return nil
	}
}
