// Package sim proves the promises of the whole system by simulation.
//
// A World is one run: the real supervisor, session actors, directory, cache, sealing and
// store code, on the real actor library, in one process or in several that share a store
// and a provider. There are two kinds of runs. Alone has one living process at a time. Several
// has two or three, on a store with leases, intents and notices of each other's writes; they
// are paused, die and start again, and their clocks step. Everything that production leaves
// open is decided by the run's seed: which actor handles its next message, which request or store call makes its next
// step, which caller goes on, what fails and when, when time passes, when a process dies.
// So one seed is one run, and the same seed is the same run, step by step.
//
// After each step the promises P1 to P9, over all processes, of the design are held against what the
// provider issued and what the store was given, which the world knows for sure. Counters
// (coverage.go) say how often each kind of fault and each place to crash was met, so that
// a run proves something. A run that fails tells its story in words, the shortest that
// could be found.
//
// The world of actors/world_test.go is another one: a model of everything around one core, which may be sent any message at
// any moment. Here nothing is a model but the provider and the steps of the store, so what happens is what can happen in
// production, and what lies between the rooms is held too: which actor owns an entry, what a caller is answered, what two
// processes do to each other.
//
// A story is one interleaving that is told by a script in stories/, instead of drawn from a seed: see
// stories/README.txt.
//
//	go test ./internal/testing/sim                                   # the standard run
//	go test ./internal/testing/sim -run TestReplay -sim.seed=N -v    # one seed, told step by step
//	go test ./internal/testing/sim -run TestReplay -sim.seed=N -sim.processes -v  # one of several processes
package sim
