package redis

import (
	"context"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/session"
)

// A notice is a key and the version that was written, zero for a deletion. Scripts publish
// it with the write, so notices come in the order of the writes.
const noticeSize = len(session.Key{}) + len(session.Version{})

func notice(key session.Key, v session.Version) string { return string(key[:]) + string(v[:]) }

func parseNotice(s string) (key session.Key, v session.Version, ok bool) {
	if len(s) != noticeSize {
		return key, v, false
	}
	copy(v[:], s[copy(key[:], s):])
	return key, v, true
}

// Watch implements store.ChangeFeed by a subscription, on a line of its own. It tells
// this process's writes too. It returns as soon as the connection fails, or a ping stays
// without an answer until the next one is due.
func (s *Store) Watch(ctx context.Context, changed func(session.Key, session.Version), lost func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.begin() {
		return &Error{Op: string(watch), Err: ErrClosed}
	}
	defer s.end()
	w := &watcher{store: s, line: s.newLine(), told: make(chan any), failed: make(chan error, 2)}
	inner, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(s.life, cancel)()
	w.under.Go(func() { w.listen(withoutDeadline{inner}) })
	defer func() {
		cancel()
		w.line.close()
		w.under.Wait()
	}()
	for {
		select {
		case m := <-w.told:
			switch m := m.(type) {
			case *goredis.Subscription:
				lost()
			case *goredis.Message:
				if key, v, ok := parseNotice(m.Payload); ok {
					changed(key, v)
				}
			}
		case err := <-w.failed:
			return s.failed(ctx, watch, err)
		case <-inner.Done():
			return s.failed(ctx, watch, ErrClosed)
		}
	}
}

const watch script = "watch"

// watcher is a Watch under way. Its goroutines end with its line.
type watcher struct {
	store *Store
	line  *line
	alive liveness
	under sync.WaitGroup

	told   chan any   // subscriptions and messages
	failed chan error // one for each goroutine
}

// listen subscribes, and passes on what arrives.
func (w *watcher) listen(ctx context.Context) {
	defer func() {
		if recover() != nil { // the library takes on trust what a message looks like
			w.failed <- plainError("a message that is none")
		}
	}()
	sub := w.line.client.Subscribe(ctx)
	defer func() { _ = sub.Close() }()
	if err := sub.Subscribe(ctx, w.store.channel); err != nil {
		w.failed <- err
		return
	}
	w.under.Go(func() {
		ping := func(ctx context.Context) error { return sub.Ping(ctx) }
		w.failed <- w.alive.watch(ctx, w.store.clock, w.store.pings, ping)
	})
	for {
		m, err := sub.Receive(ctx)
		if err != nil { // the library may have connected again: never mind, there was a gap
			w.failed <- err
			return
		}
		passed := w.alive.pass(func() bool {
			select {
			case w.told <- m:
				return true
			case <-ctx.Done():
				return false
			}
		})
		if !passed {
			return
		}
	}
}
