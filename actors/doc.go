// Package actors holds the session actor.
//
// One actor owns one session: its state, its cached tokens and the request that
// may be under way. Nothing else writes them, so there are no locks here. To read a
// session, look at the snapshot that it publishes; to change it, send a message.
//
// The actor has two halves. The core takes a message and the time and says what
// is to be done, as values: no actor library, goroutine, clock or I/O. The adapter
// (Session) hands it the messages and carries out what it says.
package actors
