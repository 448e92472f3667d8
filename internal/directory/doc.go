// Package directory holds all memory that callers share with actors: the Directory that finds
// an Entry by its session's id, the Snapshot that an Entry shows, the Flights under way, the Calls
// that lend a context and options, the Freshness of snapshots, and the counters.
//
// An Entry has one writer at a time, the actor that owns it; everything here is read without a lock.
package directory
