package sim

import (
	"flag"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tokenward/tokenward/clock"
)

var (
	runs  = flag.Int("sim.n", standardRuns, "how many seeds the standard run has")
	first = flag.Uint64("sim.first", 1, "the first of them")
	seed  = flag.Uint64("sim.seed", 0, "the seed that TestReplay tells")
	whole = flag.Bool("sim.whole", false, "TestReplay tells a seed that fails as it is, not shortened")
	procs = flag.Bool("sim.processes", false, "TestReplay's seed is one of several processes")
	tries = flag.Int("sim.short", 4000, "how many runs may be spent on shortening a seed that fails")
	bare  = flag.Bool("sim.bare", false, "only say which seed fails, and how")
)

// rare is how often everything must be met in a standard run of 2,000 seeds.
const rare = 100

// done counts the seeds of each kind: a test that is run again in one process (-count) goes on
// where it stopped, for the same seeds would say the same.
var done = make(map[Kind]int)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // a run leaves much behind, and little of it is needed again
	goleak.VerifyTestMain(m)
}

// The standard run: no seed breaks a promise, and everything that can go wrong did.
func TestSimulation(t *testing.T) { standard(t, Alone) }

// The same with several processes that live beside each other.
func TestSimulation_processes(t *testing.T) { standard(t, Several) }

func standard(t *testing.T, kind Kind) {
	t.Helper()
	began := clock.System().Now()
	before := done[kind]
	done[kind] += *runs
	r := Run(kind, *first+uint64(before), *runs)
	took := clock.System().Now().Sub(began)
	t.Logf("%d seeds, %.0f a second, %d steps and %d answers", r.Runs, float64(r.Runs)/took.Seconds(), r.Steps, r.Answers)
	for i, n := range r.Saw {
		t.Logf("%9d  %s", n, coverage(i))
	}
	if r.Failed != nil {
		failWith(t, r.Failed)
		return
	}
	if r.Runs >= 2000 && before == 0 {
		for _, what := range r.Rare(rare) {
			t.Errorf("met too rarely: %s", what)
		}
	}
}

// TestReplay tells one seed step by step; where it fails, the shortest run that fails in
// the same way.
func TestReplay(t *testing.T) {
	if *seed == 0 {
		t.Skip("without -sim.seed")
	}
	kind := Alone
	if *procs {
		kind = Several
	}
	r := Run(kind, *seed, 1)
	if r.Failed != nil && !*whole {
		failWith(t, r.Failed)
		return
	}
	m := NewMachine(kind)
	defer m.Close()
	story, failure := m.Tell(*seed, nil)
	t.Log("\n" + strings.Join(story, "\n"))
	if failure != nil {
		t.Errorf("seed %d: %v", *seed, failure)
	}
}

// failWith fails t with the story of f, as short as it can be had.
func failWith(t *testing.T, f *Failed) {
	t.Helper()
	t.Errorf("seed %d: %v", f.Seed, f.Failure)
	if *bare {
		return
	}
	m := NewMachine(f.Kind)
	defer m.Close()
	short := m.Shrink(f, *tries)
	story, _ := m.Tell(f.Seed, short.Units)
	t.Logf("%d of %d steps are enough:\n%s", len(short.Units)-1, len(f.Units)-1, strings.Join(story, "\n"))
	processes := ""
	if f.Kind == Several {
		processes = " -sim.processes"
	}
	t.Logf("again: go test ./internal/testing/sim -run TestReplay -sim.seed=%d%s -v", f.Seed, processes)
}

// One seed is one run, to the letter.
func TestSameSeed_sameStory(t *testing.T) {
	sameStory(t, Alone)
	sameStory(t, Several)
}

func sameStory(t *testing.T, kind Kind) {
	t.Helper()
	m := NewMachine(kind)
	defer m.Close()
	other := NewMachine(kind)
	defer other.Close()
	for seed := uint64(1); seed <= 100; seed++ {
		one, _ := m.Tell(seed, nil)
		two, _ := other.Tell(seed, nil)
		if i := slices.IndexFunc(one, func(string) bool { return true }); i < 0 || !slices.Equal(one, two) {
			for i := range min(len(one), len(two)) {
				if one[i] != two[i] {
					t.Fatalf("seed %d, line %d:\n%s\n%s", seed, i, one[i], two[i])
				}
			}
			t.Fatalf("seed %d: %d lines and %d", seed, len(one), len(two))
		}
	}
}

// A run that is had again from its choices is the same run.
func TestReplay_isTheSameRun(t *testing.T) {
	again(t, Alone)
	again(t, Several)
}

func again(t *testing.T, kind Kind) {
	t.Helper()
	m := NewMachine(kind)
	defer m.Close()
	for seed := uint64(1); seed <= 20; seed++ {
		c := newChoices(seed)
		w := newWorld(m, seed, c, new([coverageEnd]int64))
		_ = w.run()
		one, _ := m.Tell(seed, nil)
		two, _ := m.Tell(seed, c.units)
		if !slices.Equal(one, two) {
			t.Fatalf("seed %d: the story is another one", seed)
		}
	}
}

// Seeds that have found something.
func TestFoundSeeds(t *testing.T) {
	for _, f := range found {
		if r := Run(f.kind, f.seed, 1); r.Failed != nil {
			t.Logf("it once found: %s", f.what)
			failWith(t, r.Failed)
		}
	}
}
