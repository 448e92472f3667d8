package cookie

import (
	"container/list"
	"context"
	"sync"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// defaultMaxStates is how many sessions States keeps in memory.
const defaultMaxStates = 400_000

// States is a store.StateStore that keeps sessions in the browser, sealed, so that the
// server needs no store. It remembers the newest state of each session in memory, as
// long as there is room: browsers bring their cookies, ReadRequest takes in newer states, and
// WriteResponse puts on an answer what a browser lacks. "Saved" means: it was put on an
// answer whose header was not yet sent, and until then that it is in this process's
// memory, where it stays until the session may no longer be used.
//
// Inside one process that lives on it keeps what a StateStore promises. What it cannot
// keep is this:
//
//   - Two processes that serve one session at once may spend one refresh token. With
//     a provider that rotates them that ends the session.
//   - A refresh token that no answer has carried is lost when the process ends. So is
//     one whose answer did not reach the browser.
//   - After a restart, and in other processes, a copy of the cookies of a session that was
//     logged out is that session again, until they lapse.
//   - A ceiling is reached when the session is next used. The connection tokens that outlive it
//     are in this process's memory alone. There is no index, so back-channel logout is a
//     configuration error.
//   - Cookies travel with every request: some 5 KiB for a session with two tokens, and up to
//     Attributes.Chunks of 3 KiB. Servers and proxies refuse headers beyond a size, often 8 KiB.
//   - Two clients that share a secret accept each other's sessions, unless each has a Sealer
//     with an identifier of its own.
//
// Where refresh tokens rotate, or there are several processes, keep sessions on the
// server.
type States struct {
	sealer     *store.Sealer
	clock      clock.Clock
	identifier string // of session ids
	name       string // of the cookies
	attributes Attributes
	max        int

	mu   sync.Mutex
	held map[session.Key]*held
	uses list.List // of *held, least recently used first
}

var _ store.StateStore = (*States)(nil)

// NewStates returns a States whose cookies are sealed by s and named after name, which is
// also the identifier of the sessions, by default `_a0_session`; a nil clock is the
// system's.
func NewStates(s *store.Sealer, c clock.Clock, name string, a Attributes) *States {
	if c == nil {
		c = clock.System()
	}
	return &States{
		sealer: s, clock: c, identifier: name, name: a.Name(name), attributes: a,
		max: defaultMaxStates, held: make(map[session.Key]*held),
	}
}

// Load implements store.StateStore.
func (s *States) Load(ctx context.Context, key session.Key, _ store.Options) (r store.Record, err error) {
	err = s.do(ctx, func(now int64) error {
		h, err := s.living(key, now)
		if err != nil {
			return err
		}
		r = clone(h.record)
		r.TTL = 0
		return nil
	})
	return r, err
}

// Replace implements store.StateStore.
func (s *States) Replace(ctx context.Context, key session.Key, r store.Record, _ store.Options) error {
	return s.do(ctx, func(now int64) error {
		h := s.peek(key, now)
		if h == nil {
			h = s.add(key, now)
		}
		h.gone = nil
		h.write(r, now)
		return nil
	})
}

// Update implements store.StateStore.
func (s *States) Update(ctx context.Context, key session.Key, prev session.Version, r store.Record, _ store.Options) error {
	return s.do(ctx, func(now int64) error {
		h, err := s.living(key, now)
		if err != nil {
			return err
		}
		if h.record.Version != prev || h.record.Incarnation != r.Incarnation {
			return store.ErrConflict
		}
		h.write(r, now)
		return nil
	})
}

// End implements store.StateStore. That a session has ended is remembered for as
// long as its cookies may live.
func (s *States) End(ctx context.Context, key session.Key, only session.Incarnation, e store.Ending, _ store.Options) error {
	return s.do(ctx, func(now int64) error {
		h := s.peek(key, now)
		if h == nil {
			return nil
		}
		var living *store.Record
		gone := h.tombstone(now)
		if gone == nil {
			living = &h.record
		}
		next, err := e.Over(only, living, gone)
		if next != nil {
			h.end(next, now)
		}
		return err
	})
}

// Len returns how many sessions live in this process's memory.
func (s *States) Len() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for _, h := range s.held {
		if h.gone == nil && now < h.expires {
			n++
		}
	}
	return n
}

// do runs f under the lock.
func (s *States) do(ctx context.Context, f func(now int64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return f(s.now())
}
