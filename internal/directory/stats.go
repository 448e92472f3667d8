package directory

import "sync/atomic"

// Stats are the figures of one client since it was made. Every field is read and written without a lock.
type Stats struct {
	Requests     atomic.Int64 // requests that spent a refresh token
	SaveErrors   atomic.Int64 // writes that failed at the first try
	Failing      atomic.Int64 // sessions that know something the store does not, after a failure
	Failures     atomic.Int64 // defects contained
	HooksDropped atomic.Int64 // events that the application was not told of
	Ceilings     atomic.Int64 // sessions ended by their ceiling
	Lost         atomic.Int64 // sessions whose refresh token a crash has cost
	Vanished     atomic.Int64 // records that the store does not have any more, although this client did not delete them
	Stale        atomic.Int64 // answers from memory while the store did not answer
	Loads        atomic.Int64 // records asked of the store
	Unreadable   atomic.Int64 // records that no configured secret opens

	UnreadableAt atomic.Int64 // when the last of them was met, in seconds since the Unix epoch

	Resident atomic.Int64 // sessions in memory
	Active   atomic.Int64 // of these, sessions that have an actor

	Retries      atomic.Int64 // requests that were sent again for the same callers
	Refused      atomic.Int64 // requests that were not sent, for the provider does not work
	Paced        atomic.Int64 // requests that wait because their provider has asked for fewer
	BreakersOpen atomic.Int64 // providers that do not work
}
