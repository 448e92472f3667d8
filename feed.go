package tokenward

import (
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

const (
	// feedAgain bounds the wait before a change feed that has worked is watched again. Until it is back, a logout in
	// another process is not heard of: so this bounds for how long its session is served once the store answers again.
	feedAgain = 500 * time.Millisecond

	// feedSaidAgain is how often the log repeats that there is no feed.
	feedSaidAgain = time.Minute
)

// watch passes on what other processes write, for as long as the client lives. Each time that the feed
// breaks off, and each gap in it, ends a feed epoch (directory.Freshness).
func (c *Client) watch() {
	w := &feedWatch{Client: c, most: c.opts.limits.RetryMost, said: -feedSaidAgain}
	for wait := time.Duration(0); ; {
		w.epochs = 0
		err := actors.Contain(func() error { return c.feed.Watch(c.runner.Context(), w.changed, w.reset) })
		c.env.Fresh.FeedDown(c.clock.Mono())
		if c.runner.Context().Err() != nil {
			return
		}
		w.down(err)
		if w.epochs > 0 {
			wait = 0
		}
		wait = min(max(2*wait, c.opts.limits.RetryFirst), w.most)
		if !c.pause(wait) {
			return
		}
	}
}

// feedWatch is what watch remembers from one Watch of the feed to the next.
type feedWatch struct {
	*Client
	most   time.Duration // the longest wait until the next
	epochs int           // begun by this one
	broken bool          // the feed has worked, and does not
	said   time.Duration // when the log was told last that there is none
}

func (w *feedWatch) changed(key session.Key, v session.Version) {
	if v == (session.Version{}) {
		w.browser.Ended.Add(key, session.ReasonLogout) // or for another reason, which a late answer need not know
	}
	w.send(&messages.Changed{Key: key, Version: v})
}

// reset begins a feed epoch. Where the feed was broken the store may have been away, and answers again.
func (w *feedWatch) reset() {
	now := w.clock.Mono()
	if w.broken {
		w.env.Fresh.OutageUntil(now)
	}
	w.env.Fresh.FeedReset(now)
	w.epochs++
	w.most, w.broken, w.said = min(w.most, feedAgain), false, now-feedSaidAgain
}

// down notes that the feed has broken off, or cannot be had. The store may be down; more is known once it is back.
func (w *feedWatch) down(err error) {
	now := w.clock.Mono()
	if w.epochs > 0 {
		w.env.Fresh.OutageUntil(now)
		w.broken = true
	}
	if now-w.said >= feedSaidAgain {
		w.log.Warn("the store does not tell of other processes' writes; it is asked again", zap.Error(err))
		w.said = now
	}
}

// pause waits for d, and reports whether the client still lives.
func (c *Client) pause(d time.Duration) bool {
	over := make(chan struct{})
	timer := c.clock.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-c.runner.Context().Done():
		return false
	}
}
