package supervisor

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// What is remembered of an end is not trusted for longer than what is shown of a session:
// somebody may have signed in since, in another process.
func TestRemembered_isLookedForAgain(t *testing.T) {
	end := func(t *testing.T) (*rig, *Callers) {
		r := newRig(t)
		if err := r.login("a", in(time.Minute)); err != nil {
			t.Fatal(err)
		}
		<-r.ask(r.dir.Lookup("a"), session.ConnectionKey("google", "")).Done()
		r.clock.Advance(time.Minute)
		r.settle()
		c := &Callers{Dir: r.dir, Clock: r.clock, Name: "test", Boss: r.boss, Send: r.env.Send}
		c.Trust = Trust{Fresh: r.env.Fresh, Tally: r.env.Tally, Shared: true, Age: 30 * time.Second, Outage: time.Hour}
		if e := r.dir.Lookup("a"); e == nil || e.Snapshot().Phase != messages.Ended || e.PID() != nil {
			t.Fatal("the end is not remembered")
		}
		return r, c
	}
	look := func(t *testing.T, r *rig, c *Callers) *messages.Snapshot {
		l := &Look{Caller: Caller{Ctx: t.Context(), ID: "a"}}
		w, more := l.Step(c, Came{})
		for more {
			r.settle()
			came := Came{What: DoneCame}
			if w.Entry != nil {
				came = Came{What: EntryCame, Entry: <-w.Entry}
			}
			w, more = l.Step(c, came)
		}
		if l.Err != nil {
			t.Fatal(l.Err)
		}
		return l.Snapshot
	}
	t.Run("signed in elsewhere", func(t *testing.T) {
		r, c := end(t)
		r.put("a", 0)
		if p := look(t, r, c).Phase; p != messages.Ready {
			t.Errorf("phase = %d, want ready", p)
		}
		r.counts()
	})
	t.Run("nobody has", func(t *testing.T) {
		r, c := end(t)
		for range 3 {
			loads := r.env.Tally.Loads.Load()
			if s := look(t, r, c); s.Phase != messages.Ended || len(s.State.ConnectionTokenSets) != 1 {
				t.Errorf("phase %d, want what was remembered", s.Phase)
			}
			look(t, r, c)
			if n := r.env.Tally.Loads.Load() - loads; n != 1 {
				t.Errorf("it was looked for %d times within the snapshot age, want once", n)
			}
			r.clock.Advance(time.Minute)
			r.settle()
			r.counts()
		}
		r.clock.Advance(time.Hour)
		r.settle()
		if r.dir.Lookup("a") != nil {
			t.Error("remembered for ever")
		}
	})
	t.Run("signed out elsewhere", func(t *testing.T) {
		r, c := end(t)
		if err := r.memory.Delete(t.Context(), keyOf("a"), session.Incarnation{}, session.ReasonLogout, store.Options{}); err != nil {
			t.Fatal(err)
		}
		if p := look(t, r, c).Phase; p != messages.Missing {
			t.Errorf("phase = %d, want missing", p)
		}
		r.counts()
	})
}
