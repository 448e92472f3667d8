package sim

import (
	"context"
	"errors"
	"fmt"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// observe looks at what the store holds of sub after something happened there.
func (w *World) observe(sub *subject) {
	if sub == nil {
		return
	}
	r, err := w.store.Load(context.Background(), sub.key, store.Options{})
	if err != nil {
		sub.lost(nil, w.step)
		sub.stored = stored{}
		return
	}
	if r.Version == sub.stored.version {
		return
	}
	f := w.byIncarnation[r.Incarnation]
	sub.lost(f, w.step)
	sub.stored = stored{version: r.Version, family: f}
	if f == nil {
		w.fail("P6", "the store holds of %s a login that nobody made", sub.id)
		return
	}
	s := w.contents(sub.key, r)
	if s == nil {
		sub.stored.unreadable, sub.certain = true, false
		return
	}
	sub.stored.refresh, sub.stored.values = f.number(s.RefreshToken), numbers(s.Data)
	w.checkValues(f, sub.stored.values)
	if f.dead {
		w.fail("P7", "%s is over and in the store again", f.name)
	}
}

// observeAll looks at all, for records lapse by themselves.
func (w *World) observeAll() {
	for _, s := range w.subjects {
		w.observe(s)
	}
}

// contents opens a record; nil when it cannot be read.
func (w *World) contents(key session.Key, r store.Record) *session.State {
	if w.opened.version == r.Version && w.opened.state != nil {
		return w.opened.state
	}
	s, err := w.codec.Decode(key, r)
	if err != nil {
		return nil
	}
	w.opened.version, w.opened.state = r.Version, s
	return s
}

// answered notes that the store was asked to keep s, and has answered.
func (w *World) answered(p *process, r store.Record, s *session.State, err error) {
	if s == nil {
		return
	}
	w.keeps(s)
	if f := w.byIncarnation[r.Incarnation]; f != nil {
		p.wrote(f, r.Version, f.number(s.RefreshToken), err)
	}
}

// keeps notes that the tokens in s were meant to be kept.
func (w *World) keeps(s *session.State) {
	for _, t := range s.TokenSets {
		if is := w.issued[t.AccessToken]; is != nil {
			is.asked = true
		}
	}
	for _, t := range s.ConnectionTokenSets {
		if is := w.issued[t.AccessToken]; is != nil {
			is.asked = true
		}
	}
}

// taken notes what p has read.
func (w *World) taken(p *process, f *family, r store.Record) {
	s := w.contents(f.subject.key, r)
	if s == nil {
		p.couldNotRead(f.subject, store.ErrUnreadable)
	} else {
		w.keeps(s)
		n := f.number(s.RefreshToken)
		w.job.learns = append(w.job.learns, func() { p.read(f, r.Version, n) })
	}
}

func (w *World) sawStore(err error) {
	switch {
	case errors.Is(err, store.ErrConflict):
		w.saw[storeConflicts]++
	case errors.Is(err, store.ErrNotFound):
		w.saw[storeNotFound]++
	}
}

func (w *World) sawTimeout(ctx context.Context, s coverage) {
	w.storeTrouble++
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		w.saw[s]++
	}
}

func (s stored) String() string {
	switch {
	case s.unreadable:
		return "something unreadable"
	case s.family == nil:
		return "nothing"
	}
	return fmt.Sprintf("%s of %s", s.family.token(s.refresh), s.family.name)
}
