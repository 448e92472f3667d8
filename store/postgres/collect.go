package postgres

import (
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
)

// For every so many writes that may leave something behind, four times as much of what has
// lapsed is collected, so that it runs out: in the background, so that no caller waits.
const (
	collectEvery    = 32
	collectPatience = 10 * time.Second
)

// wrote counts a write.
func (s *Store) wrote() {
	if s.writes.Add(1)%collectEvery != 0 || !s.collecting.CompareAndSwap(false, true) {
		return
	}
	if !s.life.Begin() {
		return
	}
	go func() {
		defer s.life.End()
		defer s.collecting.Store(false)
		s.collect()
	}()
}

func (s *Store) collect() {
	ctx, cancel := clock.WithTimeout(s.life, s.clock, collectPatience)
	defer cancel()
	if err := s.row(ctx, opCollect, nil, nil); err != nil && s.life.Err() == nil {
		s.log.Warn("what has lapsed was not collected; it is tried again", zap.Error(err))
	}
}
