//go:build race

package sim

// Under the race detector a seed takes ten times as long: make test tells the 2,000 of the standard run without it.
const standardRuns = 500
