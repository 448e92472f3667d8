package supervisor

import (
	"context"
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
// somebody may have signed in elsewhere while the answer was on its way.
func TestMissing_isRememberedFromWhenTheStoreWasAsked(t *testing.T) {
	for late, old := range map[time.Duration]bool{0: false, time.Second - 1: false, time.Second: true, time.Hour: true} {
		slow := &meanwhileStore{}
		r := newRig(t, func(r *rig, _ *Limits) { slow.StateStore, r.env.Store = r.store, slow })
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
func TestMissing_isNotToldToWhoCameLater(t *testing.T) {
	for late, phase := range map[time.Duration]directory.Phase{0: directory.Missing, time.Minute: directory.Ready} {
		slow := &meanwhileStore{}
		r := newRig(t, func(r *rig, _ *Limits) { slow.StateStore, r.env.Store = r.store, slow })
		c := &lookup.Callers{Dir: r.dir, Clock: r.clock, Fresh: r.env.Fresh, Name: "test", Boss: r.boss, Send: r.env.Send}
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

		l := &lookup.Look{Caller: lookup.Caller{Ctx: t.Context(), ID: "a"}}
		w, more := l.Step(c, lookup.Came{})
		close(arrives)
		for more {
			came := lookup.Came{What: lookup.DoneCame}
			if w.Entry != nil {
				came = lookup.Came{What: lookup.EntryCame, Entry: <-w.Entry}
			} else {
				<-w.Done
			}
			w, more = l.Step(c, came)
		}
		if l.Err != nil || l.Snapshot.Phase != phase {
			t.Errorf("%v after the store was asked: phase %d, %v; want %d", late, l.Snapshot.Phase, l.Err, phase)
		}
		r.settle()
	}
}

// What was remembered before the clock was set back is not remembered until it is that late again.
func TestMissing_thoughTheClockWasSetBack(t *testing.T) {
	for name, id := range map[string]string{"by its id": "a", "by its key": ""} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c := &lookup.Callers{Dir: r.dir, Clock: r.clock, Fresh: r.env.Fresh, Name: "test", Boss: r.boss, Send: r.env.Send}
			replied := make(chan *directory.Entry, 1)
			r.send(&messages.OpenSession{ID: id, Key: keyOf("a"), Reply: replied})
			<-replied
			r.settle()
			r.clock.SetWall(r.clock.Now().Add(-time.Hour))
			r.clock.Advance(time.Second)
			r.settle()
			r.put("a", 0) // signed in elsewhere
			l := &lookup.Look{Caller: lookup.Caller{Ctx: t.Context(), ID: "a"}}
			w, more := l.Step(c, lookup.Came{})
			for more {
				r.settle()
				came := lookup.Came{What: lookup.DoneCame}
				if w.Entry != nil {
					came = lookup.Came{What: lookup.EntryCame, Entry: <-w.Entry}
				}
				w, more = l.Step(c, came)
			}
			if l.Err != nil || l.Snapshot.Phase != directory.Ready {
				t.Errorf("phase %d, %v; want ready", l.Snapshot.Phase, l.Err)
			}
			r.counts()
		})
	}
}
