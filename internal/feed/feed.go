// Package feed watches a store's change feed for as long as a client lives, and passes on what
// other processes write.
package feed

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

const (
	// again bounds the wait before a change feed that has worked is watched again. Until it is back, a logout in
	// another process is not heard of: so this bounds for how long its session is served once the store answers again.
	again = 500 * time.Millisecond

	// saidAgain is how often the log repeats that there is no feed.
	saidAgain = time.Minute
)

// Watcher watches a feed.
type Watcher struct {
	Feed    store.ChangeFeed
	Env     *actors.Env
	Changed func(session.Key, session.Version) // the zero Version: it has ended

	// From one Watch of the feed to the next.
	most   time.Duration // the longest wait until the next
	epochs int           // begun by this one
	broken bool          // the feed has worked, and does not
	said   time.Duration // when the log was told last that there is none
	away   bool          // the log was told so since the last epoch began
}

// Run watches until ctx ends. Each time that the feed breaks off, and each gap in it, ends a feed
// epoch (directory.Freshness).
func (w *Watcher) Run(ctx context.Context) {
	w.most, w.said = w.Env.Rules.RetryMost, -saidAgain
	for wait := time.Duration(0); ; {
		w.epochs = 0
		err := actors.Contain(func() error { return w.Feed.Watch(ctx, w.Changed, w.reset) })
		w.Env.Fresh.FeedDown(w.Env.Clock.Mono())
		if ctx.Err() != nil {
			return
		}
		w.down(err)
		if w.epochs > 0 {
			wait = 0
		}
		wait = min(max(2*wait, w.Env.Rules.RetryFirst), w.most)
		if !w.pause(ctx, wait) {
			return
		}
	}
}

// reset begins a feed epoch. Where the feed was broken the store may have been away, and answers again.
func (w *Watcher) reset() {
	now := w.Env.Clock.Mono()
	if w.broken {
		w.Env.Fresh.OutageUntil(now)
	}
	w.Env.Fresh.FeedReset(now)
	w.epochs++
	if w.away {
		w.Env.Log.Warn("the store tells of other processes' writes again")
	}
	w.away = false
	w.most, w.broken, w.said = min(w.most, again), false, now-saidAgain
}

// down notes that the feed has broken off, or cannot be had. The store may be down; more is known once it is back.
func (w *Watcher) down(err error) {
	now := w.Env.Clock.Mono()
	if w.epochs > 0 {
		w.Env.Fresh.OutageUntil(now)
		w.broken = true
	}
	if now-w.said >= saidAgain {
		w.Env.Log.Warn("the store does not tell of other processes' writes; it is asked again", zap.Error(err))
		w.said, w.away = now, true
	}
}

// pause waits for d, and reports whether ctx has not ended first.
func (w *Watcher) pause(ctx context.Context, d time.Duration) bool {
	over := make(chan struct{})
	timer := w.Env.Clock.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}
