package supervisor

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// meanwhileStore has something happen between the store's answer to a Load and its arrival.
type meanwhileStore struct {
	store.StateStore
	then func()
}

func (m *meanwhileStore) Load(ctx context.Context, key session.Key, o store.Options) (store.Record, error) {
	r, err := m.StateStore.Load(ctx, key, o)
	if m.then != nil {
		m.then()
	}
	return r, err
}

// That there was no session is remembered for a moment. It counts from when the store was asked, for
// the user may have signed in elsewhere while the answer was on its way.
func TestMissing_isRememberedFromWhenTheStoreWasAsked(t *testing.T) {
	for late, old := range map[time.Duration]bool{0: false, time.Second - 1: false, time.Second: true, time.Hour: true} {
		slow := &meanwhileStore{}
		r := newRig(t, func(r *rig, _ *session.Limits) { slow.StateStore, r.env.Store = r.store, slow })
		slow.then = func() { r.clock.Advance(late) }
		e := r.open("a")
		r.settle()
		if p := e.Snapshot().Phase; p != directory.Missing {
			t.Fatalf("%v: phase = %d, want missing", late, p)
		}
		if got := !r.env.Fresh.Remembers(e, r.clock); got != old {
			t.Errorf("%v after the store was asked: outdated = %v, want %v", late, got, old)
		}
	}
}

// A caller who comes while a load is on its way shares its answer, but not one that may have
// been overtaken before the call began.
func TestMissing_isNotTheAnswerToLaterCallers(t *testing.T) {
	for late, phase := range map[time.Duration]directory.Phase{0: directory.Missing, time.Minute: directory.Ready} {
		slow := &meanwhileStore{}
		r := newRig(t, func(r *rig, _ *session.Limits) { slow.StateStore, r.env.Store = r.store, slow })
		answered, arrives := make(chan struct{}), make(chan struct{})
		slow.then = func() {
			slow.then = nil
			close(answered)
			<-arrives
		}
		r.open("a")
		<-answered
		r.put("a", 0)
		r.clock.Advance(late)

		c := r.lookup()
		var once sync.Once
		c.Await = func(_ context.Context, w lookup.Wait) lookup.Event {
			once.Do(func() { close(arrives) })
			if w.Entry != nil {
				return lookup.Event{Kind: lookup.EntryFound, Entry: <-w.Entry}
			}
			<-w.Done
			return lookup.Event{}
		}
		s, err := c.Look(t.Context(), "a", store.Options{})
		if err != nil || s.Phase != phase {
			t.Errorf("%v after the store was asked: %v, %v; want phase %d", late, s, err, phase)
		}
		r.settle()
	}
}

// A memory from before the clock was set back does not last until the clock shows that time again.
func TestMissing_thoughTheClockWasSetBack(t *testing.T) {
	for name, id := range map[string]string{"by its id": "a", "by its key": ""} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			replied := make(chan *directory.Entry, 1)
			r.send(&messages.OpenSession{ID: id, Key: keyOf("a"), Reply: replied})
			<-replied
			r.settle()
			r.clock.SetWall(r.clock.Now().Add(-time.Hour))
			r.clock.Advance(time.Second)
			r.settle()
			r.put("a", 0) // signed in elsewhere
			if s, err := r.lookup().Look(t.Context(), "a", store.Options{}); err != nil || s.Phase != directory.Ready {
				t.Errorf("%v, %v; want ready", s, err)
			}
			r.counts()
		})
	}
}
