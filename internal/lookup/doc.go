// Package lookup answers calls on the caller's goroutine: it finds a session's entry, joins a
// flight, reads what the entry shows, and asks the supervisor only where memory has no answer.
//
// No step of a call waits. Each says what to wait for, so that the simulation takes the same steps
// as production.
package lookup
