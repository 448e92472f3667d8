package servers

import (
	"sync"
	"testing"
)

// SharedPostgres is one server for all tests of a program: it is started for the first
// that asks, and TestMain closes it. Each test keeps to a schema or a database of its own, and
// leaves the server running.
type SharedPostgres struct {
	once   sync.Once
	server *Postgres
	err    error
}

// Get returns the server. The test is left out where the program is not installed.
func (s *SharedPostgres) Get(tb testing.TB) *Postgres {
	tb.Helper()
	find(tb, "initdb", postgresDebian, postgresFolders)
	s.once.Do(func() { s.server, s.err = StartPostgres() })
	if s.err != nil {
		tb.Fatal(s.err)
	}
	return s.server
}

// Close ends the server, if any test has asked for it.
func (s *SharedPostgres) Close() {
	if s.server != nil {
		s.server.Close()
	}
}
