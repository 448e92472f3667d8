package logging

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
)

// lossesEvery is how often it is logged that a store has lost records.
const lossesEvery = time.Minute

// Losses counts the records that a store has lost, and logs them: the first at once, what comes within a
// minute of that in one line. Make one with NewLosses.
type Losses struct {
	clock clock.Clock
	log   *zap.Logger
	count *atomic.Int64

	mu    sync.Mutex
	since int64       // not logged yet
	timer clock.Timer // armed within a minute of a line; nil otherwise
	over  bool
}

// NewLosses returns Losses that adds to count.
func NewLosses(c clock.Clock, log *zap.Logger, count *atomic.Int64) *Losses {
	return &Losses{clock: c, log: log, count: count}
}

// Note counts one record more.
func (l *Losses) Note() {
	l.count.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since++
	if l.timer == nil {
		l.say()
	}
}

// say logs what came since the last line, if anything did, and has what comes next wait.
func (l *Losses) say() {
	l.timer = nil
	if l.since == 0 {
		return
	}
	l.log.Error("the store lost records of sessions that nobody had ended; their users have to sign in again. "+
		"Look for a flush, eviction, a restart without persistence, a truncated table",
		zap.Int64("lost", l.since), zap.Int64("lost_so_far", l.count.Load()))
	l.since = 0
	if !l.over {
		l.timer = l.clock.AfterFunc(lossesEvery, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if !l.over {
				l.say()
			}
		})
	}
}

// End logs the losses that are not logged yet.
func (l *Losses) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.say()
}
