package servers

import (
	"sync"
	"testing"
)

var shared struct {
	mu       sync.Mutex
	postgres *Postgres
}

// SharedPostgres returns the one server of this test binary, and starts it when it is asked
// for first. A test that stops it, in whatever way, has it running again when it ends. Whoever
// uses it calls CloseShared in TestMain.
func SharedPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	find(tb, postgresInit, postgresDebian, postgresFolders)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.postgres == nil {
		p, err := StartPostgres()
		if err != nil {
			tb.Fatal(err)
		}
		shared.postgres = p
	}
	return shared.postgres
}

// CloseShared ends the servers that are shared. It is harmless when there are none.
func CloseShared() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.postgres != nil {
		shared.postgres.Close()
		shared.postgres = nil
	}
}

// Main runs the tests of a binary that shares servers, and closes those before anybody
// looks for goroutines that were left behind: it takes the place of m in
// goleak.VerifyTestMain(servers.Main{M: m}).
type Main struct{ M *testing.M }

// Run implements goleak.TestingM.
func (m Main) Run() int {
	defer CloseShared()
	return m.M.Run()
}
