package crash_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/testing/processes/crash"
	"github.com/tokenward/tokenward/internal/testing/servers"
)

// A hundred kills within the provider's overlap and some without one, of servers on each
// durable store, and then of the stores' servers. make crash makes ten times as many.
func TestCrash(t *testing.T) {
	t.Parallel()
	within := map[crash.Kind]int{crash.Bolt: 60, crash.Redis: 28, crash.Postgres: 12}
	without, outages, sessions := 5, 2, 32
	if raceEnabled { // a child then takes a second to start
		within = map[crash.Kind]int{crash.Bolt: 10, crash.Redis: 6, crash.Postgres: 6}
		without, outages, sessions = 2, 1, 16
	}
	for _, kind := range []crash.Kind{crash.Postgres, crash.Redis, crash.Bolt} { // the slowest first
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			p := place(t, kind)
			t.Run("within the overlap", func(t *testing.T) {
				r, err := crash.Campaign(t.Context(), p, crash.Plan{Kills: within[kind], Seed: 1, Sessions: sessions, NewFor: 8, Overlap: 30 * time.Second})
				check(t, r, err, within[kind])
				if r.Lost != 0 || r.Reuses != 0 {
					t.Errorf("lost %d, reuses %d, want none of either", r.Lost, r.Reuses)
				}
			})
			t.Run("without an overlap", func(t *testing.T) {
				r, err := crash.Campaign(t.Context(), p, crash.Plan{Kills: without, Seed: 1, Sessions: sessions, NewFor: 8})
				check(t, r, err, without)
				if r.Lost > r.Window || r.Informed != r.Lost || r.Reuses > r.Window {
					t.Errorf("in the window %d, lost %d, told %d, reuses %d", r.Window, r.Lost, r.Informed, r.Reuses)
				}
			})
			if kind == crash.Bolt {
				return
			}
			t.Run("its server", func(t *testing.T) {
				r, err := crash.Outages(t.Context(), p, crash.Plan{Kills: outages, Seed: 1, Sessions: sessions, NewFor: 8})
				check(t, r, err, outages)
				if r.Lost != 0 || r.Again != 0 {
					t.Errorf("lost %d, presented again %d, want none of either", r.Lost, r.Again)
				}
			})
		})
	}
}

// check fails unless a campaign made its kills, and some of them in the window between
// rotation and save.
func check(t *testing.T, r crash.Result, err error, kills int) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if r.Kills < kills || r.Window == 0 {
		t.Errorf("kills %d, in the window %d, want %d or more, and some", r.Kills, r.Window, kills)
	}
}

// A store that forgets saves is found out, so the others do not forget any.
func TestCrash_findsAStoreThatForgets(t *testing.T) {
	t.Parallel()
	plan := crash.Plan{Kills: 50, Seed: 1, Sessions: 16, Overlap: time.Hour, Fault: crash.Forgets}
	r, err := crash.Campaign(t.Context(), place(t, crash.Bolt), plan)
	var found *crash.RoundError
	if !errors.As(err, &found) || len(found.Wrong) == 0 {
		t.Errorf("Campaign = %+v, %v, want a RoundError", r, err)
	}
}

// place returns where a kind of store keeps its data; the test is left out where that needs a
// program which is not installed.
func place(t *testing.T, kind crash.Kind) *crash.Place {
	t.Helper()
	p, err := crash.NewPlace(kind)
	if missing := (*servers.MissingError)(nil); errors.As(err, &missing) {
		t.Skip(missing)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}
