package redis

import (
	"context"
	"sync/atomic"

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

// errSilent says that a ping stayed without an answer.
const errSilent = plainError("the connection is dead: a ping had no answer")

// Watch implements store.ChangeFeed by a subscription, on a connection of its own. It
// tells this process's writes too. It returns as soon as that connection fails, or a ping stays
// without an answer until the next one is due.
func (s *Store) Watch(ctx context.Context, changed func(session.Key, session.Version), lost func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.begin() {
		return &Error{Op: "watch", Err: ErrClosed}
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &watch{store: s, told: make(chan any), failed: make(chan error, 2)}
	go func() {
		defer s.end()
		w.listen(withoutDeadline{inner})
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
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &Error{Op: "watch", Err: s.discreet(err)}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch is the connection of a Watch under way. It runs until the context ends that its
// methods are given.
type watch struct {
	store  *Store
	told   chan any   // subscriptions and messages
	failed chan error // one for each goroutine

	heard   atomic.Int64 // signs of life
	passing atomic.Bool  // something was heard and waits for the caller
}

// listen subscribes, and passes on what arrives.
func (w *watch) listen(ctx context.Context) {
	sub := w.store.client.Subscribe(ctx)
	defer func() { _ = sub.Close() }()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })()
	if err := sub.Subscribe(ctx, w.store.channel); err != nil {
		w.failed <- err
		return
	}
	if !w.store.begin() {
		w.failed <- ErrClosed
		return
	}
	go func() {
		defer w.store.end()
		w.ping(ctx, sub)
	}()
	for {
		m, err := sub.Receive(ctx)
		if err != nil { // the library may have connected again: never mind, there was a gap
			w.failed <- err
			return
		}
		w.passing.Store(true)
		w.heard.Add(1)
		select {
		case w.told <- m:
		case <-ctx.Done():
			return
		}
		w.heard.Add(1)
		w.passing.Store(false)
	}
}

// ping finds out whether the connection lives. While a notice waits for the caller
// nothing is read, the answers to pings neither: then it is not judged.
func (w *watch) ping(ctx context.Context, sub *goredis.PubSub) {
	due := make(chan struct{}, 1)
	timer := w.store.clock.AfterFunc(w.store.pings, func() {
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
			return
		}
		passing := w.passing.Load() // looked at first: it ends with a sign of life
		heard := w.heard.Load()
		if heard == before && !passing {
			w.failed <- errSilent
			return
		}
		before = heard
		if err := sub.Ping(ctx); err != nil {
			w.failed <- err
			return
		}
		timer.Reset(w.store.pings)
	}
}
