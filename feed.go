package tokenward

import (
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// watch passes on what other processes write, for as long as the client lives. While the
// store tells nothing, sessions are read again when they have reached the snapshot age.
func (c *Client) watch() {
	fresh, ctx := c.env.Fresh, c.runner.Context()
	changed := func(key session.Key, v session.Version) {
		if v == (session.Version{}) {
			c.browser.Ended.Add(key, session.ReasonLogout) // or for another reason, which a late answer need not know
		}
		c.send(&messages.Changed{Key: key, Version: v})
	}
	wait := c.opts.limits.RetryFirst
	heard, broken := false, false
	lost := func() {
		if broken {
			c.env.Unsettled(c.clock.Now())
		}
		fresh.Gap(c.clock.Now())
		fresh.Lost()
		heard, broken = true, false
		wait = c.opts.limits.RetryFirst
	}
	for {
		err := actors.Contain(func() error { return c.feed.Watch(ctx, changed, lost) })
		fresh.Gap(c.clock.Now())
		fresh.Silent()
		if ctx.Err() != nil {
			return
		}
		if heard { // the store may be down: more is known when it tells again
			c.env.Unsettled(c.clock.Now())
			heard, broken = false, true
		}
		c.log.Warn("the store does not tell of other processes' writes; it is asked again", zap.Error(err))
		if !c.pause(wait) {
			return
		}
		wait = min(2*wait, c.opts.limits.RetryMost)
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
