package supervisor

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// What a ceiling leaves is in the store: memory forgets the session, and the next caller reads the tombstone.
func TestTombstone_saysWhatRemains(t *testing.T) {
	end := func(t *testing.T) (*rig, *lookup.Lookup) {
		r := newRig(t)
		r.env.Rules.RememberEnded = 72 * time.Hour
		if err := r.login("a", in(time.Minute)); err != nil {
			t.Fatal(err)
		}
		<-r.ask(r.dir.Lookup("a"), session.ConnectionKey("google", "")).Done()
		r.pass(time.Minute)
		r.pass(5 * time.Second)
		if e := r.dir.Lookup("a"); e != nil {
			t.Fatalf("it is still in memory, in phase %d", e.Snapshot().Phase)
		}
		return r, r.lookup()
	}
	look := func(t *testing.T, c *lookup.Lookup) *directory.Snapshot {
		s, err := c.Look(t.Context(), "a", store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("connection tokens, one read a second", func(t *testing.T) {
		r, c := end(t)
		for range 3 {
			loads := r.env.Stats.Loads.Load()
			if s := look(t, c); s.Phase != directory.Ended || s.Reason != session.ReasonCeiling || len(s.State().ConnectionTokenSets) != 1 {
				t.Errorf("phase %d, want an end with a connection token", s.Phase)
			}
			look(t, c)
			if n := r.env.Stats.Loads.Load() - loads; n != 1 {
				t.Errorf("it was read %d times within a second, want once", n)
			}
			r.pass(time.Minute)
			r.counts()
		}
		r.pass(2 * time.Hour)
		if s := look(t, c); s.Phase != directory.Ended || len(s.State().ConnectionTokenSets) != 0 {
			t.Errorf("phase %d, want an end without the token, which has expired", s.Phase)
		}
		r.clock.Advance(73 * time.Hour)
		r.settle()
		if p := look(t, c).Phase; p != directory.Missing {
			t.Errorf("phase %d after the tombstone's life, want missing", p)
		}
	})
	t.Run("signed in elsewhere", func(t *testing.T) {
		r, c := end(t)
		r.put("a", 0)
		if p := look(t, c).Phase; p != directory.Ready {
			t.Errorf("phase = %d, want ready", p)
		}
		r.counts()
	})
	t.Run("signed out elsewhere", func(t *testing.T) {
		r, c := end(t)
		found, err := r.memory.Find(t.Context(), r.env.Codec.Sealer.LookupSID("https://tenant.example/", "sid"), store.Options{})
		if err != nil || len(found) != 1 || !found[0].Ended {
			t.Fatalf("a logout finds %v, %v, want the remainder", found, err)
		}
		if err := r.memory.End(t.Context(), found[0].Key, found[0].Incarnation, store.Ending{Reason: session.ReasonBackchannelLogout}, store.Options{}); err != nil {
			t.Fatal(err)
		}
		if p := look(t, c).Phase; p != directory.Missing {
			t.Errorf("phase = %d, want missing", p)
		}
		r.counts()
	})
}
