package clock_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward/clock"
)

type ctxKey struct{}

var errParent = errors.New("parent ended")

// over reports whether ctx is done, without waiting.
func over(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

func wantEnd(t *testing.T, what string, ctx context.Context, err, cause error) {
	t.Helper()
	if !over(ctx) {
		t.Errorf("%s: not done", what)
	}
	if got := ctx.Err(); !errors.Is(got, err) {
		t.Errorf("%s: err = %v, want %v", what, got, err)
	}
	if got := context.Cause(ctx); !errors.Is(got, cause) {
		t.Errorf("%s: cause = %v, want %v", what, got, cause)
	}
}

func TestWithTimeout_endsOnTime(t *testing.T) {
	clk := clock.NewFake(t0)
	ctx, cancel := clock.WithTimeout(t.Context(), clk, time.Minute)
	defer cancel()

	clk.Advance(time.Minute - 1)
	if over(ctx) || ctx.Err() != nil || context.Cause(ctx) != nil {
		t.Fatalf("before its time: over = %v, err = %v, cause = %v", over(ctx), ctx.Err(), context.Cause(ctx))
	}

	clk.Advance(1)
	wantEnd(t, "on time", ctx, context.DeadlineExceeded, context.DeadlineExceeded)

	cancel()
	wantEnd(t, "cancelled later", ctx, context.DeadlineExceeded, context.DeadlineExceeded)
}

func TestWithTimeout_noTimeLeft(t *testing.T) {
	ctx, cancel := clock.WithTimeout(t.Context(), clock.NewFake(t0), 0)
	defer cancel()
	wantEnd(t, "at once", ctx, context.DeadlineExceeded, context.DeadlineExceeded)
}

func TestWithTimeout_cancelReleasesTheTimer(t *testing.T) {
	clk := clock.NewFake(t0)
	ctx, cancel := clock.WithTimeout(t.Context(), clk, time.Minute)
	if got := clk.Waiting(); got != 1 {
		t.Errorf("waiting = %d, want 1", got)
	}

	cancel()

	if got := clk.Waiting(); got != 0 {
		t.Errorf("waiting after cancel = %d, want 0", got)
	}
	wantEnd(t, "cancelled", ctx, context.Canceled, context.Canceled)
	cancel()
}

func TestWithTimeout_endsWithItsParent(t *testing.T) {
	clk := clock.NewFake(t0)
	parent, end := context.WithCancelCause(t.Context())
	ctx, cancel := clock.WithTimeout(parent, clk, time.Minute)
	defer cancel()

	end(errParent)

	wantEnd(t, "parent ended", ctx, context.Canceled, errParent)
	late, cancelLate := clock.WithTimeout(parent, clk, 0)
	defer cancelLate()
	wantEnd(t, "parent over already", late, context.Canceled, errParent)
}

func TestWithTimeout_endsWithItsParentThoughNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, end := context.WithCancel(t.Context())
		ctx, cancel := clock.WithTimeout(parent, clock.NewFake(t0), time.Minute)
		defer cancel()
		done := ctx.Done()
		end()
		<-done
	})
}

func TestWithTimeout_obeysTheMachinesDeadlineOfItsParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		ctx, cancel := clock.WithTimeout(parent, clock.NewFake(t0), time.Minute)
		defer cancel()

		if at, ok := ctx.Deadline(); ok {
			t.Errorf("deadline = %v, want none", at)
		}
		<-ctx.Done()
		wantEnd(t, "parent's deadline", ctx, context.DeadlineExceeded, context.DeadlineExceeded)
	})
}

func TestWithTimeout_parentThatEndsLaterChangesNothing(t *testing.T) {
	clk := clock.NewFake(t0)
	parent, end := context.WithCancelCause(context.WithValue(t.Context(), ctxKey{}, "value"))
	ctx, cancel := clock.WithTimeout(parent, clk, time.Minute)
	defer cancel()

	clk.Advance(time.Minute)
	end(errParent)

	wantEnd(t, "timed out", ctx, context.DeadlineExceeded, context.DeadlineExceeded)
	if got := ctx.Value(ctxKey{}); got != "value" {
		t.Errorf("value = %v, want value", got)
	}
}

func TestWithTimeout_childrenEndWithIt(t *testing.T) {
	clk := clock.NewFake(t0)
	before := runtime.NumGoroutine()
	ctx, cancel := clock.WithTimeout(context.WithValue(t.Context(), ctxKey{}, "value"), clk, time.Minute)
	defer cancel()
	child, cancelChild := context.WithCancel(ctx)
	defer cancelChild()
	valued := context.WithValue(ctx, ctxKey{}, "another")
	grandchild, cancelGrandchild := context.WithTimeoutCause(valued, 24*time.Hour, errParent)
	defer cancelGrandchild()
	shorter, cancelShorter := clock.WithTimeout(child, clk, time.Second)
	defer cancelShorter()
	gone, cancelGone := context.WithCancel(ctx)
	cancelGone()
	if got := runtime.NumGoroutine(); got > before {
		t.Errorf("goroutines: %d before, %d with six contexts", before, got)
	}

	clk.Advance(time.Second)
	wantEnd(t, "shorter", shorter, context.DeadlineExceeded, context.DeadlineExceeded)
	if child.Err() != nil || grandchild.Err() != nil {
		t.Errorf("with the shorter one ended child = %v, grandchild = %v", child.Err(), grandchild.Err())
	}
	if got := child.Value(ctxKey{}); got != "value" {
		t.Errorf("child's value = %v, want value", got)
	}

	clk.Advance(time.Minute)
	wantEnd(t, "child", child, context.DeadlineExceeded, context.DeadlineExceeded)
	wantEnd(t, "grandchild", grandchild, context.DeadlineExceeded, context.DeadlineExceeded)
	wantEnd(t, "shorter, later", shorter, context.DeadlineExceeded, context.DeadlineExceeded)
	wantEnd(t, "gone before", gone, context.Canceled, context.Canceled)
	late, cancelLate := context.WithCancel(ctx)
	defer cancelLate()
	wantEnd(t, "derived later", late, context.DeadlineExceeded, context.DeadlineExceeded)
}

func TestWithTimeout_stoppedAfterFuncIsNotCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := clock.NewFake(t0)
		ctx, cancel := clock.WithTimeout(t.Context(), clk, time.Minute)
		defer cancel()
		calls := 0
		context.AfterFunc(ctx, func() { calls++ })
		stop := context.AfterFunc(ctx, func() { calls += 10 })
		if !stop() {
			t.Error("stop = false, want true")
		}

		clk.Advance(time.Minute)
		synctest.Wait()

		context.AfterFunc(ctx, func() { calls += 100 })
		synctest.Wait()
		if calls != 101 {
			t.Errorf("calls = %d, want 101", calls)
		}
	})
}

func TestWithTimeout_raceOfAllItsEnds(t *testing.T) {
	for range 200 {
		clk := clock.NewFake(t0)
		parent, end := context.WithCancel(t.Context())
		ctx, cancel := clock.WithTimeout(parent, clk, time.Minute)
		go end()
		go clk.Advance(time.Minute)
		go cancel()
		child, cancelChild := context.WithCancel(ctx)
		<-child.Done()
		if !errors.Is(ctx.Err(), child.Err()) {
			t.Errorf("err = %v, its child's = %v", ctx.Err(), child.Err())
		}
		cancelChild()
		end()
		cancel()
		if got := clk.Waiting(); got != 0 {
			t.Errorf("waiting = %d, want 0", got)
		}
	}
}

func TestWithTimeout_printsNoValues(t *testing.T) {
	ctx, cancel := clock.WithTimeout(context.WithValue(t.Context(), ctxKey{}, "secret"), clock.NewFake(t0), time.Minute)
	defer cancel()
	child, cancelChild := context.WithCancel(ctx)
	defer cancelChild()
	if got, want := child.(interface{ String() string }).String(), "clock.WithTimeout.WithCancel"; got != want {
		t.Errorf("child prints as %q, want %q", got, want)
	}
}
