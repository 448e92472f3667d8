package store

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tokenward/tokenward/internal/remote"
	"github.com/tokenward/tokenward/session"
)

// feed tells watchers of writes. A writer never waits for a watcher.
type feed struct {
	some     atomic.Bool // there are watchers
	mu       sync.Mutex
	watchers []*remote.Notices
}

// Watch implements ChangeFeed. It tells the writes of every caller.
func (m *Memory) Watch(ctx context.Context, changed func(session.Key, session.Version), lost func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := remote.NewNotices()
	m.feed.add(w)
	defer m.feed.remove(w)
	w.Pass(ctx.Done(), changed, lost)
	return ctx.Err()
}

func (f *feed) add(w *remote.Notices) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers = append(f.watchers, w)
	f.some.Store(true)
}

func (f *feed) remove(w *remote.Notices) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers = slices.DeleteFunc(f.watchers, func(v *remote.Notices) bool { return v == w })
	f.some.Store(len(f.watchers) > 0)
}

// tell is called under the lock of key's shard, so that the notices of one key are in
// the order of its writes.
func (f *feed) tell(key session.Key, v session.Version) {
	if !f.some.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watchers {
		w.Add(remote.Notice{Key: key, Version: v})
	}
}
