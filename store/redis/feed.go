package redis

import (
	"context"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/internal/remote"
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

// Watch implements store.ChangeFeed by a subscription, on lines of its own. It tells
// this process's writes too. It returns as soon as the connection fails, or a ping stays
// without an answer until the next one is due; and, found out with the pings, when the server is a
// replica now or has been one: of writes elsewhere in that time its subscribers were not told.
func (s *Store) Watch(ctx context.Context, changed func(session.Key, session.Version), lost func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.life.Begin() {
		return &Error{Op: string(watch), Err: ErrClosed}
	}
	defer s.life.End()
	w := &watcher{store: s, line: s.newLine(), asking: s.newLine(), notices: make(chan any), failed: make(chan error, 3), due: make(chan struct{}, 1)}
	inner, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(s.life, cancel)()
	w.under.Go(func() { w.listen(withoutDeadline{inner}) })
	defer func() {
		cancel()
		w.line.close()
		w.asking.close()
		w.under.Wait()
	}()
	for {
		select {
		case m := <-w.notices:
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

// watcher is a Watch under way. Its goroutines end with its lines.
type watcher struct {
	store  *Store
	line   *line
	asking *line // about the server: a subscription can ask nothing
	alive  liveness
	under  sync.WaitGroup

	notices chan any      // subscriptions and messages
	failed  chan error    // one for each goroutine
	due     chan struct{} // ask the server
}

// listen subscribes, and passes on what arrives.
func (w *watcher) listen(ctx context.Context) {
	defer func() {
		if recover() != nil { // the library takes on trust what a message looks like
			w.failed <- remote.PlainError("a message that is none")
		}
	}()
	sub := w.line.client.Subscribe(ctx)
	defer func() { _ = sub.Close() }()
	history, err := w.ask(ctx)
	if err == nil {
		err = sub.Subscribe(ctx, w.store.channel)
	}
	if err != nil {
		w.failed <- err
		return
	}
	w.under.Go(func() { w.failed <- w.mind(ctx, history) })
	w.under.Go(func() {
		ping := func(ctx context.Context) error {
			select {
			case w.due <- struct{}{}:
			default:
			}
			return sub.Ping(ctx)
		}
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
			case w.notices <- m:
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

const (
	errReplica      = remote.PlainError("the server is a replica now: its subscribers are not told of writes to the primary")
	errOtherHistory = remote.PlainError("the server has been a replica meanwhile")
)

// mind returns when the server is no primary any more, or has not been one all the time, or
// cannot be asked.
func (w *watcher) mind(ctx context.Context, history string) error {
	for {
		select {
		case <-w.due:
		case <-ctx.Done():
			return ctx.Err()
		}
		now, err := w.ask(ctx)
		switch {
		case err != nil:
			return err
		case now != history:
			return errOtherHistory
		}
	}
}

// ask returns the name of the history of writes that the server has. It has another after it
// was a replica; one that does not say, as where the user may not run INFO, has always the same.
func (w *watcher) ask(ctx context.Context) (history string, err error) {
	info, err := inform(ctx, w.asking.client, "replication")
	if err != nil {
		return "", err
	}
	if isReplica(info) {
		return "", errReplica
	}
	return info["master_replid"], nil
}
