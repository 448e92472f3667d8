package processes_test

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tokenward/tokenward/clock"
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

// await asks again and again until yes, and reports whether that came in time.
func await(yes func() bool) bool { return within(patience, yes) }

func within(d time.Duration, yes func() bool) bool {
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), d)
	defer cancel()
	for !yes() {
		if !pause(ctx, 5*time.Millisecond) {
			return false
		}
	}
	return true
}

// pause waits for d, and reports whether ctx has not ended first.
func pause(ctx context.Context, d time.Duration) bool {
	over := make(chan struct{})
	timer := clock.System().AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}

// eventually fails the test when what does not come in time.
func eventually(t testing.TB, what string, yes func() bool) {
	t.Helper()
	if !await(yes) {
		t.Fatalf("in vain waited for: %s", what)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
