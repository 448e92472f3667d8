package sim

import (
	"flag"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tokenward/tokenward/clock"
)

var (
	runs  = flag.Int("sim.n", 2000, "how many seeds the standard run has")
	first = flag.Uint64("sim.first", 1, "the first of them")
	seed  = flag.Uint64("sim.seed", 0, "the seed that TestReplay runs")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The standard run: no seed breaks a promise, and everything that can go wrong did.
func TestSimulation(t *testing.T) {
	began := clock.System().Now()
	r := Run(*first, *runs)
	took := clock.System().Now().Sub(began)
	t.Logf("%d seeds, %.0f a second", r.Runs, float64(r.Runs)/took.Seconds())
	for i, n := range r.Saw {
		t.Logf("%9d  %s", n, sometimes(i))
	}
	if f := r.Failed; f != nil {
		t.Errorf("seed %d: %v", f.Seed, f.Failure)
	}
}

func TestReplay(t *testing.T) {
	if *seed == 0 {
		t.Skip("no -sim.seed")
	}
	m := NewMachine()
	defer m.Close()
	story, f := m.Tell(*seed, nil)
	t.Log("\n" + strings.Join(story, "\n"))
	if f != nil {
		t.Errorf("seed %d: %v", *seed, f)
	}
}
