package redis

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/remote"
)

// errSilent says that a ping stayed without an answer.
const errSilent = remote.PlainError("the connection is dead: a ping had no answer")

// liveness tells a connection on which nothing happens from one that is dead. The reader
// says what it hears; the pinger, on another goroutine, sees to it that there is something to hear.
type liveness struct {
	heard   atomic.Int64 // signs of life
	passing atomic.Bool  // something was heard, and waits for whom it is for
}

// pass notes that something was heard, and calls f to pass it on. While f waits nothing is
// read, the answers to pings neither: then the connection is not judged.
func (l *liveness) pass(f func() bool) bool {
	l.passing.Store(true)
	l.heard.Add(1)
	passed := f()
	l.heard.Add(1)
	l.passing.Store(false)
	return passed
}

// watch calls ping at every interval, until ctx ends, with its error, or nothing was heard
// from one ping to the next: then it returns errSilent.
func (l *liveness) watch(ctx context.Context, c clock.Clock, every time.Duration, ping func(context.Context) error) error {
	due := make(chan struct{}, 1)
	timer := c.AfterFunc(every, func() {
		select {
		case due <- struct{}{}:
		default:
		}
	})
	defer timer.Stop()
	for before := int64(-1); ; {
		select {
		case <-due:
		case <-ctx.Done():
			return ctx.Err()
		}
		passing := l.passing.Load() // looked at first: it ends with a sign of life
		heard := l.heard.Load()
		if heard == before && !passing {
			return errSilent
		}
		before = heard
		if err := ping(ctx); err != nil {
			return err
		}
		timer.Reset(every)
	}
}
