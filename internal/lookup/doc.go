// Package lookup answers calls on the caller's goroutine. It finds a session's entry, reads what the
// entry shows, joins a flight, and asks the supervisor only where memory has no answer.
//
// A call is a straight function: Token, Connection, Read, Find, Order. All waiting is in Lookup.Await. In
// production it blocks the caller's goroutine. The simulation runs the same functions as coroutines and decides in
// Await what comes first, so a seed replays every interleaving of callers and actors.
package lookup
