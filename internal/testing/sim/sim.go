package sim

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// Kind is a kind of run.
type Kind uint8

// The kinds of runs.
const (
	// Alone has one living process at a time: a second one is the successor of one that
	// died, or a writer that is not simulated itself (elsewhere.go).
	Alone Kind = iota
	// Several has two or three living ones on one store with all its abilities: leases,
	// intents, notices of each other's writes.
	Several
)

// Result is what a number of runs came to.
type Result struct {
	Kind    Kind
	Runs    int
	Steps   int
	Answers int // of calls, each held against the truth
	Saw     [coverageEnd]int64
	Failed  *Failed // the first seed that failed; nil when none did
}

// Failed is a seed that failed.
type Failed struct {
	Kind    Kind
	Seed    uint64
	Failure *Failure
	Units   [][]int32
}

// Run runs n seeds from first on, on all processors, up to the first that fails.
func Run(kind Kind, first uint64, n int) *Result {
	workers := runtime.GOMAXPROCS(0)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		next atomic.Int64
		stop atomic.Bool
		all  = &Result{Kind: kind}
	)
	for range workers {
		wg.Go(func() {
			m := NewMachine(kind)
			defer m.Close()
			r := &Result{}
			for !stop.Load() {
				i := next.Add(1) - 1
				if i >= int64(n) {
					break
				}
				seed := first + uint64(i)
				r.Runs++
				c := newChoices(seed)
				w := newWorld(m, seed, c, &r.Saw)
				f := w.run()
				r.Steps += w.step
				r.Answers += w.answers
				if f != nil {
					stop.Store(true)
					mu.Lock()
					if all.Failed == nil || seed < all.Failed.Seed {
						all.Failed = &Failed{kind, seed, f, c.units}
					}
					mu.Unlock()
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all.Runs += r.Runs
			all.Steps += r.Steps
			all.Answers += r.Answers
			for i, n := range r.Saw {
				all.Saw[i] += n
			}
		})
	}
	wg.Wait()
	return all
}

// Tell runs a seed, or with units the shrunk run of it, and returns its story.
func (m *Machine) Tell(seed uint64, units [][]int32) ([]string, *Failure) {
	c := newChoices(seed)
	if units != nil {
		c = replay(units)
	}
	w := newWorld(m, seed, c, new([coverageEnd]int64))
	w.tracing = true
	w.note("%+v", w.config)
	f := w.run()
	return w.trace, f
}

// Rare returns what a kind of run is to meet, and was met fewer than n times.
func (r *Result) Rare(n int64) (list []string) {
	for i, saw := range r.Saw {
		if saw < n && coverage(i).of(r.Kind) {
			list = append(list, fmt.Sprintf("%s: %d times", coverage(i), saw))
		}
	}
	return list
}
