// Package tour plays the loads that the library makes promises about, and tells
// their counts and times.
//
// Each stop has a fake tenant of its own, on loopback, and uses the library as any
// host would, by its public API. Beside it the same load goes to a plain client: a
// map, a mutex and a refresh, with its own login at the same tenant. Counts are held
// against the promise; milliseconds are told, and never judged. The plain
// client is reported as well, and is no promise of ours.
package tour
