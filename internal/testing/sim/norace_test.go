//go:build !race

package sim

const standardRuns = 2000
