package store

import (
	"context"
	"slices"
	"sync"

	"github.com/tokenward/tokenward/session"
)

// maxNotices is how far a watcher may lag behind. A watcher that lags further is
// told that it lost notices.
const maxNotices = 4096

// feed tells watchers of writes. A writer never waits for a watcher.
type feed struct {
	mu       sync.Mutex
	watchers []*watcher
}

type notice struct {
	key     session.Key
	version session.Version
}

type watcher struct {
	notices []notice // guarded by feed.mu, as lost is
	lost    bool
	wake    chan struct{} // cap 1
}

// Watch implements ChangeFeed. It tells the writes of every caller.
func (m *Memory) Watch(ctx context.Context, changed func(session.Key, session.Version), lost func()) error {
	w := &watcher{lost: true, wake: make(chan struct{}, 1)}
	m.feed.add(w)
	defer m.feed.remove(w)
	for ctx.Err() == nil {
		notices, gap := m.feed.take(w)
		if gap {
			lost()
		}
		for _, n := range notices {
			changed(n.key, n.version)
		}
		if gap || len(notices) > 0 {
			continue
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func (f *feed) add(w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers = append(f.watchers, w)
}

func (f *feed) remove(w *watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers = slices.DeleteFunc(f.watchers, func(v *watcher) bool { return v == w })
}

// take empties the queue of w. A gap comes before the notices.
func (f *feed) take(w *watcher) (notices []notice, gap bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	notices, gap = w.notices, w.lost
	w.notices, w.lost = nil, false
	return notices, gap
}

// tell is called under the lock of key's shard, so that the notices of one key are in
// the order of its writes.
func (f *feed) tell(key session.Key, v session.Version) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watchers {
		if len(w.notices) >= maxNotices {
			w.notices, w.lost = nil, true
		}
		w.notices = append(w.notices, notice{key, v})
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}
