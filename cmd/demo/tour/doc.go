// Package tour plays the loads that the library makes promises about, and tells
// their counts and times.
//
// Each stop has a fake tenant of its own, on loopback, and uses the library as any
// host would, by its public API. Beside it the same load goes to a plain client, with
// its own login at the same tenant: what a careful program writes by hand, a session
// store and golang.org/x/sync/singleflight by session and audience. A burst
// for one audience costs it one request too, and the table says so. Counts are held against the
// promise; milliseconds are told, and never judged. What the plain client does is told
// as well, and is no promise of this library.
package tour
