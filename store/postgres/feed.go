package postgres

import (
	"context"

	"github.com/tokenward/tokenward/internal/remote"
	"github.com/tokenward/tokenward/session"
)

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
	// The connection is read all the time: notices that wait in the server keep it from forgetting any.
	q := remote.NewNotices()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = l.read(ctx, q.Add)
	}()
	defer func() {
		cancel()
		<-ended
		l.hangUp()
	}()
	q.Pass(ended, changed, lost)
	if ctx.Err() == nil {
		s.pool.Reset() // the others have lost the server, too, and don't know it yet
	}
	return err
}
