// Package actors holds the session actor. It is for the supervisor of this module alone; no compatibility
// is promised.
//
// One actor owns one session: its state, its cached tokens and the one request that
// may be under way. Nothing else writes them, so there are no locks here. To read a
// session, look at the snapshot that it publishes; to change it, send a message.
//
// # Two halves
//
// The core (core.go) takes a message and the time, and says what
// is to be done, as values: no actor library, goroutine, clock or I/O. The adapter
// (Session, session.go) hands it the messages and carries the values out (execute.go). So a test, or the
// simulation, decides when each thing comes back, and a seed replays a whole run.
//
// What the core decides is written down in states.go: three small machines, and a table of what
// each message does in each life of a session. One file for each mechanism stands beside it:
//
//   - request.go, answer.go: the one request to the provider, from the queue to the wire, and its answer;
//   - begin.go, lease.go: what comes between permit and request where several processes, or a process after a
//     crash, use the same store: the lease, the intent, the recovery of an intent;
//   - save.go, read.go: a save, and a reading of the record, which decides what a conflict, a
//     refusal or a notice means;
//   - backoff.go, retry.go, demand.go: when a request is sent again, and when none is sent; what a call demands of a token;
//   - login.go, update.go, end.go, remainder.go: a login in the session's place, values of the application, the end of
//     the session, and what its ceiling leaves of it;
//   - ops.go, storecall.go: the queue of store operations, and how one asks the store;
//   - vanished.go: a record that is gone without a tombstone;
//   - panic.go: what happens after a panic in any of these.
//
// # Messages
//
// From callers and from the supervisor (package messages): NeedToken asks for a token; ReplaceSession writes a login;
// UpdateSession changes values that the application keeps in the session; EndSession ends the session; CeilingReached
// says that its ceiling may have come; ReadRecord says that the store may hold something newer; RecoverIntent has the
// token of an intent presented that a process left behind; Passivate asks the session to give up its entry; Finish
// tells it that the client closes; Recover lets it start again after a panic. All but NeedToken and Recover are
// commands: the actor counts them, and says in AtRest how many it has seen, so that the supervisor knows whether one
// is still on its way.
//
// From what the core itself has begun: permitGranted, providerAnswered and opDone bring the answers of the three things
// that can be out at a time (a permit, a request, a store operation); pollDue, renewDue, sendAgainDue and retryDue are timers;
// renewedLease and revoked are the ends of work that no caller waits for.
//
// To the supervisor: SessionBegan and SessionEnded for each generation, AtRest and Busy in answer to
// Passivate and Finish, SessionFailed after a panic.
//
// # What holds
//
// Each of these is checked at every step of the property test (property_test.go) and of the simulation.
//
//   - One request is under way per session, over all audiences and connections, for they all spend one
//     rotating refresh token (RFC 6749, section 6).
//   - A refresh token in an answer is kept before anything else is judged.
//   - No refresh token is presented while the store lacks a newer one.
//   - Under leases a token is presented only if the record still has the version that the flight was decided on,
//     the lease stands, and the store has the token's hash (the intent).
//   - A save is a compare-and-swap on the record's version, under the lease's epoch. So a process that was overtaken
//     writes nothing.
//   - A snapshot is published only once the store was asked to keep it; then its flights are completed. A caller
//     that comes in between finds the token in the snapshot, or in the core.
//   - Every flight is completed exactly once, and every call is answered exactly once, also after a panic.
//   - What comes back for an older generation changes nothing.
//   - A deletion is tried until it succeeds. It never deletes a later login.
//
// # The cost of one refresh
//
// On Redis and PostgreSQL a refresh is two round trips to the store: Begin, and the Update that saves, clears the
// intent and gives the lease back. It is three where the record had moved. A store of this process alone is asked once.
package actors
