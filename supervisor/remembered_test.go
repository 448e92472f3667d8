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
	"github.com/tokenward/tokenward/store/storetest"
)

// The memory of an end is trusted no longer than the snapshot of a living session: the user may
// have signed in since, in another process.
func TestRemembered_isLookedForAgain(t *testing.T) {
	end := func(t *testing.T) (*rig, *lookup.Lookup) {
		r := newRig(t)
		if err := r.login("a", in(time.Minute)); err != nil {
			t.Fatal(err)
		}
		<-r.ask(r.dir.Lookup("a"), session.ConnectionKey("google", "")).Done()
		r.clock.Advance(time.Minute)
		r.settle()
		c := r.lookup()
		f := r.env.Fresh
		f.Shared, f.Age, f.Outage = true, 30*time.Second, time.Hour
		if e := r.dir.Lookup("a"); e == nil || e.Snapshot().Phase != directory.Ended || e.PID() != nil {
			t.Fatal("the end is not remembered")
		}
		return r, c
	}
	look := func(t *testing.T, c *lookup.Lookup) *directory.Snapshot {
		s, err := c.Look(t.Context(), "a", store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("signed in elsewhere", func(t *testing.T) {
		r, c := end(t)
		r.put("a", 0)
		if p := look(t, c).Phase; p != directory.Ready {
			t.Errorf("phase = %d, want ready", p)
		}
		r.counts()
	})
	t.Run("nobody has", func(t *testing.T) {
		r, c := end(t)
		for range 3 {
			loads := r.env.Stats.Loads.Load()
			if s := look(t, c); s.Phase != directory.Ended || len(s.State().ConnectionTokenSets) != 1 {
				t.Errorf("phase %d, want what was remembered", s.Phase)
			}
			look(t, c)
			if n := r.env.Stats.Loads.Load() - loads; n != 1 {
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
		if p := look(t, c).Phase; p != directory.Missing {
			t.Errorf("phase = %d, want missing", p)
		}
		r.counts()
	})
}

// What a ceiling left is found by its names while the end is looked up again, and ended as what
// it was.
func TestRemembered_isFoundWhileItIsLookedForAgain(t *testing.T) {
	begin := func(t *testing.T) (*rig, *storetest.Gate) {
		r := newRig(t)
		call := directory.NewCall(t.Context(), store.Options{})
		r.send(&messages.ReplaceSession{ID: "a", Key: keyOf("a"), Incarnation: session.Incarnation{1}, Call: call, State: &session.State{
			User: session.User{"sub": "ann"}.Raw(), RefreshToken: "r0", Domain: "tenant.example",
			Internal: session.Internal{SID: "sid", Ceiling: in(time.Minute)},
		}})
		<-call.Done()
		<-r.ask(r.dir.Lookup("a"), session.ConnectionKey("google", "")).Done()
		r.clock.Advance(time.Minute)
		r.settle()
		gate := r.store.Hold(storetest.OpLoad)
		replied := make(chan *directory.Entry, 1)
		r.send(&messages.OpenSession{
			ID: "a", Key: keyOf("a"), Call: directory.NewCall(context.Background(), store.Options{}), Stale: r.dir.Lookup("a"), Reply: replied,
		})
		<-replied
		return r, gate
	}
	find := func(r *rig) []store.Ref {
		reply := make(chan []store.Ref, 1)
		r.send(&messages.FindLeft{Named: r.env.Codec.Sealer.LookupSID("https://tenant.example/", "sid"), ClientIDs: []string{r.env.Rules.ClientID}, Reply: reply})
		return <-reply
	}
	want := func(t *testing.T, r *rig, n int) {
		t.Helper()
		left := find(r)
		if len(left) != n || n == 1 && left[0] != (store.Ref{Key: keyOf("a"), Incarnation: session.Incarnation{1}}) {
			t.Errorf("found %v, want %d", left, n)
		}
	}
	t.Run("nobody has", func(t *testing.T) {
		r, gate := begin(t)
		want(t, r, 1)
		gate.Release()
		r.settle()
		want(t, r, 1)
		r.clock.Advance(2 * time.Hour)
		r.settle()
		want(t, r, 0)
		r.inside(func(s *Supervisor) {
			if len(s.remainders) != 0 {
				t.Errorf("names that stay = %d", len(s.remainders))
			}
		})
	})
	t.Run("logout token", func(t *testing.T) {
		r, gate := begin(t)
		call := directory.NewCall(t.Context(), store.Options{})
		r.send(&messages.EndSession{Key: keyOf("a"), Only: session.Incarnation{1}, Why: session.ReasonBackchannelLogout, Call: call})
		<-call.Done()
		gate.Release()
		r.settle()
		want(t, r, 0)
		e := r.open("a")
		r.settle()
		if s := e.Snapshot(); s.Phase != directory.Ended || len(s.State().ConnectionTokenSets) != 0 {
			t.Errorf("phase %d, %d connection tokens", s.Phase, len(s.State().ConnectionTokenSets))
		}
		r.counts()
	})
	t.Run("signed in elsewhere", func(t *testing.T) {
		r, gate := begin(t)
		r.put("a", 0)
		gate.Release()
		r.settle()
		want(t, r, 0)
		r.counts()
	})
	t.Run("signed in here", func(t *testing.T) {
		r, gate := begin(t)
		write := r.store.Hold(storetest.OpReplace)
		login := r.startLogin("a", 0)
		want(t, r, 0)
		write.Release()
		gate.Release()
		<-login.Done()
		r.settle()
		want(t, r, 0)
		r.counts()
	})
	t.Run("store fails", func(t *testing.T) {
		r, gate := begin(t)
		r.store.Fail(storetest.OpLoad, 1)
		gate.Release()
		r.settle()
		want(t, r, 1)
	})
}

// The store's notices may come late: one of what this process wrote before the end says nothing new, and
// one of a deletion has the store asked.
func TestRemembered_thoughNoticesComeLate(t *testing.T) {
	begin := func(t *testing.T) (*rig, session.Version) {
		r := newRig(t)
		if err := r.login("a", in(time.Minute)); err != nil {
			t.Fatal(err)
		}
		<-r.ask(r.dir.Lookup("a"), session.ConnectionKey("google", "")).Done()
		r.settle()
		rec, err := r.memory.Load(t.Context(), keyOf("a"), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(time.Minute)
		r.settle()
		return r, rec.Version
	}
	look := func(r *rig) *directory.Entry {
		replied := make(chan *directory.Entry, 1)
		r.send(&messages.OpenSession{
			ID: "a", Key: keyOf("a"), Call: directory.NewCall(context.Background(), store.Options{}), Stale: r.dir.Lookup("a"), Reply: replied,
		})
		return <-replied
	}
	want := func(t *testing.T, r *rig) {
		t.Helper()
		if e := r.dir.Lookup("a"); e == nil || e.Snapshot().Phase != directory.Ended || len(e.Snapshot().State().ConnectionTokenSets) != 1 {
			t.Error("the connection token is gone")
		}
		r.counts()
	}
	t.Run("afterwards", func(t *testing.T) {
		r, v := begin(t)
		r.send(&messages.Changed{Key: keyOf("a"), Version: v})
		r.send(&messages.Changed{Key: keyOf("a")})
		r.settle()
		want(t, r)
		look(r)
		r.settle()
		r.send(&messages.Changed{Key: keyOf("a"), Version: v})
		r.settle()
		want(t, r)
		r.send(&messages.Changed{Key: keyOf("a"), Version: session.Version{1}})
		r.settle()
		if r.dir.Lookup("a") != nil {
			t.Error("somebody signed in elsewhere, and the end is remembered")
		}
	})
	for name, notice := range map[string]func(session.Version) *messages.Changed{
		"of a write, during a load":    func(v session.Version) *messages.Changed { return &messages.Changed{Key: keyOf("a"), Version: v} },
		"of a deletion, during a load": func(session.Version) *messages.Changed { return &messages.Changed{Key: keyOf("a")} },
	} {
		t.Run(name, func(t *testing.T) {
			r, v := begin(t)
			gate := r.store.Hold(storetest.OpLoad)
			look(r)
			r.send(notice(v))
			gate.Release()
			r.settle()
			want(t, r)
			look(r)
			r.settle()
			want(t, r)
		})
	}
	t.Run("of a logout, during a load", func(t *testing.T) {
		r, _ := begin(t)
		gate := r.store.Hold(storetest.OpLoad)
		first := look(r)
		if err := r.memory.Delete(t.Context(), keyOf("a"), session.Incarnation{}, session.ReasonLogout, store.Options{}); err != nil {
			t.Fatal(err)
		}
		r.send(&messages.Changed{Key: keyOf("a")})
		gate.Release()
		r.settle()
		if p := first.Snapshot().Phase; p != directory.Failed {
			t.Errorf("phase = %d, want failed: whoever waits looks again", p)
		}
		look(r)
		r.settle()
		if e := r.dir.Lookup("a"); e == nil || e.Snapshot().Phase != directory.Missing {
			t.Error("it is not missing")
		}
		r.counts()
	})
}
