package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// patience is how long a notice may take on a machine that is busy. Nothing waits for
// it to pass.
const patience = 30 * time.Second

var feedStories = []story{
	{"tells every write of a key, in order", func(r *rig) {
		feed := r.watch()
		key, one := random[session.Key](), newRecord()
		two := next(one)
		r.must(r.other.Replace(r.Context(), key, one, opt))
		r.must(r.other.Update(r.Context(), key, one.Version, two, opt))
		r.must(r.other.End(r.Context(), key, session.Incarnation{}, logout, opt))
		three := newRecord()
		r.must(r.other.Replace(r.Context(), key, three, opt))
		for _, want := range []session.Version{one.Version, two.Version, {}, three.Version} {
			feed.want(r, key, want)
		}
	}},
	{"tells of another end of a session that has ended", func(r *rig) {
		feed := r.watch()
		key, rec := random[session.Key](), newRecord()
		r.must(r.other.Replace(r.Context(), key, rec, opt))
		r.must(r.other.End(r.Context(), key, rec.Incarnation, ceiling, opt))
		feed.want(r, key, session.Version{})
		r.must(r.other.End(r.Context(), key, session.Incarnation{}, logout, opt))
		feed.want(r, key, session.Version{})
	}},
	{"tells of what a ceiling adds, and of nothing that changes nothing", func(r *rig) {
		feed := r.watch()
		key, rec := random[session.Key](), newRecord(withConnections)
		r.must(r.other.Replace(r.Context(), key, rec, opt))
		left := newRemainder()
		r.must(r.other.End(r.Context(), key, rec.Incarnation, atCeiling(rec.Version, left), opt))
		feed.want(r, key, session.Version{})
		r.must(r.other.End(r.Context(), key, rec.Incarnation, atCeiling(left.Version, newRemainder()), opt))
		feed.want(r, key, session.Version{})
		r.must(r.other.End(r.Context(), key, rec.Incarnation, logout, opt))
		feed.want(r, key, session.Version{})
		for range 2 { // these change nothing
			r.must(r.other.End(r.Context(), key, rec.Incarnation, logout, opt))
			r.must(r.other.End(r.Context(), key, rec.Incarnation, ceiling, opt))
		}
		after := newRecord()
		r.must(r.other.Replace(r.Context(), key, after, opt))
		feed.wantNext(r, key, after.Version)
	}},
	{"tells every watcher", func(r *rig) {
		a, b := r.watch(), r.watch()
		key, rec := random[session.Key](), newRecord()
		r.must(r.other.Replace(r.Context(), key, rec, opt))
		a.want(r, key, rec.Version)
		b.want(r, key, rec.Version)
	}},
	{"a watcher sees what it was told of", func(r *rig) {
		feed := r.watch()
		for range 20 {
			key, rec := random[session.Key](), newRecord()
			r.must(r.other.Replace(r.Context(), key, rec, opt))
			feed.want(r, key, rec.Version)
			r.wantRecord(key, rec)
		}
	}},
	{"ends with its context", func(r *rig) {
		feed := r.watch()
		r.wantErr("Watch", feed.stop(), context.Canceled)
		ended, cancel := context.WithCancel(r.Context())
		cancel()
		err := ability[store.ChangeFeed](r, r.store).Watch(ended, func(session.Key, session.Version) {}, func() {})
		r.wantErr("Watch", err, context.Canceled)
	}},
}

type heard struct {
	key     session.Key
	version session.Version
}

// watching is a Watch under way in the first process.
type watching struct {
	cancel  context.CancelFunc
	notices chan heard
	ended   chan struct{}
	err     error // once ended
}

// watch begins to watch and returns when notices arrive.
func (r *rig) watch() *watching {
	r.Helper()
	feed := ability[store.ChangeFeed](r, r.store)
	ctx, cancel := context.WithCancel(r.Context())
	w := &watching{cancel: cancel, notices: make(chan heard, 1024), ended: make(chan struct{})}
	begun := make(chan struct{}, 1024)
	go func() {
		defer close(w.ended)
		w.err = feed.Watch(ctx,
			func(key session.Key, v session.Version) { w.notices <- heard{key, v} },
			func() { begun <- struct{}{} })
	}()
	r.Cleanup(func() { _ = w.stop() })
	soon, done := context.WithTimeout(ctx, patience)
	defer done()
	select {
	case <-begun:
	case <-w.ended:
		r.Fatalf("Watch ended before lost was called: %v", w.err)
	case <-soon.Done():
		r.Fatal("lost was not called when Watch began")
	}
	return w
}

// want waits for a notice, passing over others.
func (w *watching) want(r *rig, key session.Key, v session.Version) {
	r.Helper()
	soon, done := context.WithTimeout(r.Context(), patience)
	defer done()
	for {
		select {
		case h := <-w.notices:
			if h == (heard{key, v}) {
				return
			}
		case <-w.ended:
			r.Fatalf("Watch ended: %v", w.err)
		case <-soon.Done():
			r.Fatalf("no notice of version %x came", v)
		}
	}
}

// wantNext waits for a notice of key, which must be the next.
func (w *watching) wantNext(r *rig, key session.Key, v session.Version) {
	r.Helper()
	soon, done := context.WithTimeout(r.Context(), patience)
	defer done()
	for {
		select {
		case h := <-w.notices:
			if h.key == key && h.version != v {
				r.Fatalf("a notice of version %x came, want %x", h.version, v)
			}
			if h.key == key {
				return
			}
		case <-w.ended:
			r.Fatalf("Watch ended: %v", w.err)
		case <-soon.Done():
			r.Fatalf("no notice of version %x came", v)
		}
	}
}

func (w *watching) stop() error {
	w.cancel()
	soon, done := context.WithTimeout(context.Background(), patience)
	defer done()
	select {
	case <-w.ended:
		return w.err
	case <-soon.Done():
		return errors.New("Watch did not return when its context ended")
	}
}
