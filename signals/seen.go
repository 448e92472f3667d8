package signals

import (
	"sync"
	"time"
)

const maxSeen = 100_000

// seen remembers ids for a while: of events that were dealt with, and of requests. Beyond maxSeen the oldest goes. A
// restart forgets them, which is harmless: what comes again ends nothing that is newer.
type seen struct {
	mu    sync.Mutex
	until map[string]time.Time
	order []string
}

// has reports whether id was added.
func (s *seen) has(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.until[id]
	return ok && now.Before(until)
}

// add remembers id until a time. It reports whether id is new.
func (s *seen) add(id string, now, until time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = make(map[string]time.Time)
	}
	for len(s.order) > 0 && (len(s.order) >= maxSeen || !now.Before(s.until[s.order[0]])) {
		delete(s.until, s.order[0])
		s.order = s.order[1:]
	}
	old, known := s.until[id]
	if !known {
		s.order = append(s.order, id)
	}
	s.until[id] = until
	return !known || !now.Before(old)
}

// drop forgets id, whose request did not succeed and may come again. Its place in the order stays until its turn.
func (s *seen) drop(id string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.until[id]; ok {
		s.until[id] = now
	}
}
