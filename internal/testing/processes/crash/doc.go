// Package crash proves what the durable stores promise of crashes: it runs a real server
// on a real store against a fake provider that rotates refresh tokens, kills it with kill -9
// at moments that a seed chooses, and compares the store with the ledger.
//
// There are two processes. The parent (Campaign, Outages) owns the provider, the store's
// server and the ledger of the tokens granted to each session; it gives orders through a pipe and
// reads the answers there. The child (Serve) is a tokenward.Client with a few hundred
// sessions, in a process of its own that is started from the same program. It is killed,
// by the parent, and another one takes its place on the same store; then every session is
// asked for a token.
//
// What must hold is judged where it happens. The provider's ledger knows of every session
// the newest refresh token and the one before, and objects when a client presents anything
// else, or the one before without having been killed. The child objects when a refresh
// token is presented that no store has acknowledged. After each kill the parent reads the records
// themselves.
//
// A seed settles the moments and the orders, not how the machine runs them: replaying it
// repeats the attempt, and usually the failure.
package crash
