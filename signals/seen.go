package signals

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxSeen bounds what is remembered: some 10 MB.
const maxSeen = 100_000

// name is the hash of an id, which a transmitter may make as long as it likes.
type name [sha256.Size]byte

// seen remembers ids for a while: of events that were dealt with, and of requests. Beyond maxSeen the oldest goes. A
// restart forgets them, which is harmless: what comes again ends nothing that is newer.
type seen struct {
	mu    sync.Mutex
	until map[name]time.Time
	order []name
}

// has reports whether id was added.
func (s *seen) has(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.until[sha256.Sum256([]byte(id))]
	return ok && now.Before(until)
}

// add remembers id until a time. It reports whether id is new.
func (s *seen) add(id string, now, until time.Time) bool {
	of := name(sha256.Sum256([]byte(id)))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = make(map[name]time.Time)
	}
	for len(s.order) > 0 && (len(s.order) >= maxSeen || !now.Before(s.until[s.order[0]])) {
		delete(s.until, s.order[0])
		s.order = s.order[1:]
	}
	old, known := s.until[of]
	if !known {
		s.order = append(s.order, of)
	}
	s.until[of] = until
	return !known || !now.Before(old)
}

// drop forgets id, whose request did not succeed and may come again. Its place in the order stays until its turn.
func (s *seen) drop(id string, now time.Time) {
	of := name(sha256.Sum256([]byte(id)))
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.until[of]; ok {
		s.until[of] = now
	}
}
