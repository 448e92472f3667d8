package storetest

import (
	"context"
	"sync"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// feedFaults is what goes wrong with the change feed while it is watched.
type feedFaults struct {
	mu       sync.Mutex
	muted    bool
	watchers map[*faultyWatch]struct{}
}

type faultyWatch struct {
	end  context.CancelCauseFunc
	mu   sync.Mutex // held during a callback: they come one at a time
	lost func()
}

// MuteFeed has every notice swallowed from now on, as by a connection that is dead
// without anybody knowing yet; or, with false, no longer swallowed.
func (f *Faulty) MuteFeed(muted bool) {
	f.feed.mu.Lock()
	defer f.feed.mu.Unlock()
	f.feed.muted = muted
}

// LoseNotices tells everybody who watches that notices may have been missed. It
// returns when they have been told.
func (f *Faulty) LoseNotices() {
	for _, w := range f.watching() {
		w.mu.Lock()
		w.lost()
		w.mu.Unlock()
	}
}

// BreakFeed makes every Watch that is under way return err.
func (f *Faulty) BreakFeed(err error) {
	for _, w := range f.watching() {
		w.end(err)
	}
}

// Watchers returns how many calls of Watch are under way.
func (f *Faulty) Watchers() int { return len(f.watching()) }

func (f *Faulty) watching() []*faultyWatch {
	f.feed.mu.Lock()
	defer f.feed.mu.Unlock()
	var all []*faultyWatch
	for w := range f.feed.watchers {
		all = append(all, w)
	}
	return all
}

type faultyFeed struct {
	*Faulty
	inner store.ChangeFeed
}

// Watch fails by the script before it begins or after it has ended, and midway by
// MuteFeed, LoseNotices and BreakFeed.
func (f faultyFeed) Watch(ctx context.Context, changed func(session.Key, session.Version), lost func()) error {
	return f.run(ctx, Call{Op: OpWatch}, func() error {
		within, end := context.WithCancelCause(ctx)
		defer end(nil)
		w := &faultyWatch{end: end, lost: lost}
		f.enlist(w)
		defer f.dismiss(w)
		err := f.inner.Watch(within,
			func(key session.Key, v session.Version) {
				w.mu.Lock()
				defer w.mu.Unlock()
				if !f.isMuted() && within.Err() == nil {
					changed(key, v)
				}
			},
			func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				lost()
			})
		if ctx.Err() == nil && within.Err() != nil {
			return context.Cause(within)
		}
		return err
	})
}

func (f *Faulty) enlist(w *faultyWatch) {
	f.feed.mu.Lock()
	defer f.feed.mu.Unlock()
	if f.feed.watchers == nil {
		f.feed.watchers = make(map[*faultyWatch]struct{})
	}
	f.feed.watchers[w] = struct{}{}
}

func (f *Faulty) dismiss(w *faultyWatch) {
	f.feed.mu.Lock()
	defer f.feed.mu.Unlock()
	delete(f.feed.watchers, w)
}

func (f *Faulty) isMuted() bool {
	f.feed.mu.Lock()
	defer f.feed.mu.Unlock()
	return f.feed.muted
}
