package redis

import (
	"context"
	"sync"
)

// lines are all connections that calls share. The one that was used last is used next, so
// that there are no more than are needed at once.
type lines struct {
	turns chan struct{} // one for each call under way

	mu     sync.Mutex
	idle   []*line
	all    []*line
	closed bool
}

func newLines(most int) *lines { return &lines{turns: make(chan struct{}, most)} }

// take returns a line for one call, when there is one to be had.
func (ls *lines) take(ctx context.Context, s *Store) (*line, error) {
	select {
	case ls.turns <- struct{}{}:
	default:
		select {
		case ls.turns <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.life.Done():
			return nil, ErrClosed
		}
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		<-ls.turns
		return nil, ErrClosed
	}
	if last := len(ls.idle) - 1; last >= 0 {
		l := ls.idle[last]
		ls.idle = ls.idle[:last]
		return l, nil
	}
	l := s.newLine()
	ls.all = append(ls.all, l)
	return l, nil
}

// give takes a line back.
func (ls *lines) give(l *line) {
	ls.mu.Lock()
	ls.idle = append(ls.idle, l)
	ls.mu.Unlock()
	<-ls.turns
}

// close cuts off every call, and ends all lines.
func (ls *lines) close() {
	ls.mu.Lock()
	ls.closed = true
	all := ls.all
	ls.mu.Unlock()
	for _, l := range all {
		l.close()
	}
}
