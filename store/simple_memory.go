package store

import (
	"context"
	"sync"

	"github.com/tokenward/tokenward/session"
)

// MaxTombstones is how many ended sessions a Simple remembers. Beyond it the oldest
// are forgotten.
const MaxTombstones = 100_000

// tombstones are the ended sessions that a Simple remembers.
type tombstones struct {
	mu    sync.Mutex
	byKey map[session.Key]*simpleTombstone
	lapse ordered[*place] // by until
	age   ordered[*place] // by when they came
	came  int64           // the last of these
}

type simpleTombstone struct {
	*tombstone
	came int64
}

func (t *tombstones) add(key session.Key, gone *GoneError, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey == nil {
		t.byKey = make(map[session.Key]*simpleTombstone)
	}
	t.drop(key)
	t.came++
	m := &simpleTombstone{newTombstone(gone, now), t.came}
	t.byKey[key] = m
	t.lapse.add(&place{m.until, key})
	t.age.add(&place{m.came, key})
	for range 4 { // more than one for each that comes, so that they run out
		if first, _ := t.lapse.first(); now >= first.at {
			t.drop(first.key)
		} else if len(t.byKey) > MaxTombstones {
			oldest, _ := t.age.first()
			t.drop(oldest.key)
		}
	}
}

func (t *tombstones) get(key session.Key, now int64) *GoneError {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m := t.byKey[key]; m != nil && now < m.until {
		return m.at(now)
	}
	return nil
}

func (t *tombstones) remove(key session.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(key)
}

func (t *tombstones) drop(key session.Key) {
	if m := t.byKey[key]; m != nil {
		t.lapse.remove(&place{m.until, key})
		t.age.remove(&place{m.came, key})
		delete(t.byKey, key)
	}
}

// keyLocks are locks by key, so that one session never waits for another. A lock
// exists while a caller holds it or waits for it.
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
