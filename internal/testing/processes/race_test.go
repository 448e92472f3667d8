//go:build race

package processes_test

// raceEnabled says that everything takes some ten times as long.
const raceEnabled = true
