package processes_test

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tokenward/tokenward/internal/testing/await"
)

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		os.Exit(work())
	}
	goleak.VerifyTestMain(tests{m})
}

type tests struct{ *testing.M }

// Run runs the tests and ends the servers, before anybody looks for what still runs.
func (m tests) Run() int {
	defer theRedis.Close()
	defer thePostgres.Close()
	return m.M.Run()
}

// patience is how long what must happen may take on a machine that is busy. Nothing waits
// for it to pass.
const patience = time.Minute

// inTime asks again and again until yes, and reports whether that came in time.
func inTime(yes func() bool) bool { return await.Within(patience, yes) }

// eventually fails the test when what does not come in time.
func eventually(t testing.TB, what string, yes func() bool) {
	t.Helper()
	if !inTime(yes) {
		t.Fatalf("in vain waited for: %s", what)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
