package store

import (
	"context"
	"sync"

	"github.com/tokenward/tokenward/session"
)

// MaxTombstones is how many ended sessions a Simple remembers. Beyond it the oldest
// are forgotten.
const MaxTombstones = 100_000

// tomb says that one login of a session has ended.
type tomb struct {
	why   session.Reason
	of    session.Incarnation
	until int64
}

// tombstones are the ended sessions that a Simple remembers. All live equally long,
// so the oldest is the first to lapse.
type tombstones struct {
	mu    sync.Mutex
	byKey map[session.Key]tomb
	order []tombOrder // by until; some of them replaced or removed since
}

type tombOrder struct {
	key   session.Key
	until int64
}

func (t *tombstones) add(key session.Key, m tomb) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey == nil {
		t.byKey = make(map[session.Key]tomb)
	}
	if t.byKey[key].until != m.until {
		t.order = append(t.order, tombOrder{key, m.until})
	}
	t.byKey[key] = m
	for range 4 { // more than one for each that comes, so that they run out
		if len(t.order) == 0 {
			return
		}
		first := t.order[0]
		stands := t.byKey[first.key].until == first.until
		lapsed := first.until <= m.until-DefaultTombstoneLife.Microseconds()
		if stands && !lapsed && len(t.order) <= MaxTombstones {
			return
		}
		if stands {
			delete(t.byKey, first.key)
		}
		t.order = t.order[1:]
	}
}

func (t *tombstones) get(key session.Key, now int64) (tomb, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, ok := t.byKey[key]
	return m, ok && now < m.until
}

// restate gives the tombstone of key, if there is one, another reason.
func (t *tombstones) restate(key session.Key, why session.Reason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m, ok := t.byKey[key]; ok {
		m.why = why
		t.byKey[key] = m
	}
}

func (t *tombstones) remove(key session.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byKey, key)
}

// keyLocks are locks by key, so that one session never waits for another. A lock
// exists while somebody holds it or waits for it.
type keyLocks struct {
	mu    sync.Mutex
	locks map[session.Key]*keyLock
}

type keyLock struct {
	held  chan struct{} // cap 1, full while the lock is held
	users int           // guarded by keyLocks.mu
}

// lock waits for the lock of key, or for the end of ctx.
func (k *keyLocks) lock(ctx context.Context, key session.Key) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	if k.locks == nil {
		k.locks = make(map[session.Key]*keyLock)
	}
	l := k.locks[key]
	if l == nil {
		l = &keyLock{held: make(chan struct{}, 1)}
		k.locks[key] = l
	}
	l.users++
	k.mu.Unlock()

	select {
	case l.held <- struct{}{}:
		return func() { <-l.held; k.leave(key, l) }, nil
	case <-ctx.Done():
		k.leave(key, l)
		return nil, ctx.Err()
	}
}

func (k *keyLocks) leave(key session.Key, l *keyLock) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(k.locks, key)
	}
}
