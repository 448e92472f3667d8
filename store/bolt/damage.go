package bolt

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// DamageError says that a call stumbled over the file itself: its pages are damaged, or
// something is wrong with this package. A write has not happened then.
type DamageError struct {
	Path  string
	Panic string // the type of the value that the call panicked with
}

// Error implements error.
func (e *DamageError) Error() string {
	return "bolt: " + e.Path + " is damaged, or a defect was met (" + e.Panic + ")"
}

// contain calls f, and makes a *DamageError of a panic: bbolt panics over pages that make no
// sense, and memory faults where a page that is mapped has no file behind it.
func (s *Store) contain(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			damage := &DamageError{Path: s.path, Panic: fmt.Sprintf("%T", p)}
			err = damage
			s.log.Error("a call to the store was contained", zap.String("path", s.path),
				zap.String("panic", damage.Panic), zap.Stack("stack"))
		}
	}()
	return f()
}

// noted are the keys whose damage was logged. There is room for so many that a
// log is not flooded by more.
type noted struct {
	mu   sync.Mutex
	keys map[session.Key]struct{}
}

const maxNoted = 1000

// note logs, once for each key, that its value cannot be read.
func (s *Store) note(key session.Key, err error) {
	if err == nil || !errors.Is(err, store.ErrUnreadable) || !s.noted.first(key) {
		return
	}
	s.log.Warn("what is stored under a key cannot be read, and is left where it is",
		zap.Stringer("key", key), zap.Error(err))
}

func (n *noted) first(key session.Key) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, again := n.keys[key]; again || len(n.keys) == maxNoted {
		return false
	}
	if n.keys == nil {
		n.keys = make(map[session.Key]struct{})
	}
	n.keys[key] = struct{}{}
	return true
}
