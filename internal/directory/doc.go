// Package directory holds all memory that callers share with actors: the Directory that finds
// an Entry by its session's id, the Snapshot that an Entry shows, the Flights under way, the Calls
// of those who lend something, the Freshness of what is shown, and the counters.
//
// An Entry has one writer at a time, the actor that owns it; everything here is read without a lock.
package directory
