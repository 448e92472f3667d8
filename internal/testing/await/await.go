// Package await waits for what another process or a server does, of which no channel tells: it
// asks again and again, on the machine's clock.
package await

import (
	"context"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
)

const between = 5 * time.Millisecond // two questions

// Pause waits for d, and reports whether ctx has not ended first.
func Pause(ctx context.Context, d time.Duration) bool {
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

// Within asks until the answer is yes, and reports whether it came within d.
func Within(d time.Duration, yes func() bool) bool {
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), d)
	defer cancel()
	for !yes() {
		if !Pause(ctx, between) {
			return false
		}
	}
	return true
}

// patience is how long what must happen may take on a machine that is busy. Nothing waits for it
// to pass.
const patience = 30 * time.Second

// Eventually fails the test when what does not come in time.
func Eventually(t testing.TB, what string, yes func() bool) {
	t.Helper()
	if !Within(patience, yes) {
		t.Fatalf("in vain waited for: %s", what)
	}
}
