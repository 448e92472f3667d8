package sim

import (
	"context"
	"iter"

	"github.com/tokenward/tokenward/internal/lookup"
)

// coroutine is a call that the world lets go on from wait to wait. The call is the very function that
// production runs. There its waits block a goroutine; here each hands the turn back to the world, which decides
// what comes next. Only one of both runs at a time, so a seed replays all of it.
type coroutine struct {
	next  func() (lookup.Wait, bool)
	stop  func() // what has begun and is not over unwinds
	yield func(lookup.Wait) bool
	event lookup.Event // what the last wait ended with
	began bool
}

// dropped unwinds a call whose process has died.
type dropped struct{}

// start makes body the call. It begins with the first resume.
func (c *coroutine) start(body func()) {
	c.next, c.stop = iter.Pull(func(yield func(lookup.Wait) bool) {
		c.yield = yield
		defer func() {
			if r := recover(); r != nil && r != (dropped{}) {
				panic(r)
			}
		}()
		body()
	})
}

// resume lets the call go on, where its last wait ended with e, until it waits again. It reports false when
// the call is over.
func (c *coroutine) resume(e lookup.Event) (lookup.Wait, bool) {
	c.began, c.event = true, e
	return c.next()
}

// await is lookup.Lookup.Await of every process: it hands the turn back to the world.
func (w *World) await(_ context.Context, wait lookup.Wait) lookup.Event {
	c := w.stepping
	if !c.yield(wait) {
		panic(dropped{})
	}
	return c.event
}
