// Package sim proves the promises of the whole system by simulation.
//
// A World is one run: the real supervisor, session actors, directory, cache, sealing and
// store code, on the real actor library, in one or more processes that share a store and
// a provider. Everything that is left open in production is decided by the run's seed:
// which actor handles its next message, which request or store call makes its next
// step, which caller goes on, what fails and when, when time passes, when a process dies.
// So one seed is one run, and the same seed is the same run, step by step.
//
// After each step the promises P1 to P9 of the design are held against what the
// provider issued and what the store was given, which the world knows for sure. Counters
// (sometimes.go) say how often each kind of fault and each place to crash was met, so that
// a run proves something. A run that fails tells its story in words, the shortest that
// could be found.
//
//	go test ./internal/sim                                   # the standard run
//	go test ./internal/sim -run TestReplay -sim.seed=N -v    # one seed, told step by step
package sim
