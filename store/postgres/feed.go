package postgres

import (
	"context"
	"sync"

	"github.com/tokenward/tokenward/session"
)

// maxNotices is how far a watcher may lag behind. A watcher that lags further is told that
// it lost notices, for as long as the server keeps any of them it keeps all.
const maxNotices = 4096

// Watch implements store.ChangeFeed, on a connection of its own. It tells this process's own
// writes too. While it hears nothing it asks the server whether it is still there, see Pings.
func (s *Store) Watch(ctx context.Context, changed func(session.Key, session.Version), lost func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()

	err := s.watch(both, changed, lost)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.life.Err() != nil:
		return ErrClosed
	}
	return &Error{Op: "watch", Err: s.explained(err)}
}

func (s *Store) watch(ctx context.Context, changed func(session.Key, session.Version), lost func()) error {
	l, err := s.listen(ctx)
	if err != nil {
		return err
	}
	q := &notices{lost: true, wake: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = l.read(ctx, q.add)
	}()
	defer func() {
		cancel()
		<-ended
		l.hangUp()
	}()
	for {
		told, gap := q.take()
		if gap {
			lost()
		}
		for _, n := range told {
			if ctx.Err() != nil {
				break
			}
			changed(n.key, n.version)
		}
		if gap || len(told) > 0 {
			continue
		}
		select {
		case <-q.wake:
		case <-ended:
			if ctx.Err() == nil {
				s.pool.Reset() // the others have lost the server, too, and don't know it yet
			}
			return err
		}
	}
}

type notice struct {
	key     session.Key
	version session.Version
}

// notices are those that have arrived and were not yet told. The connection is read all
// the time, for what waits in the server keeps it from forgetting anybody's notices.
type notices struct {
	mu   sync.Mutex
	told []notice
	lost bool
	wake chan struct{} // cap 1
}

func (q *notices) add(n notice) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.told) >= maxNotices {
		q.told, q.lost = nil, true
	}
	q.told = append(q.told, n)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take empties the queue. A gap comes before the notices.
func (q *notices) take() (told []notice, gap bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	told, gap = q.told, q.lost
	q.told, q.lost = nil, false
	return told, gap
}
