// Package postgres keeps sessions and login transactions in PostgreSQL 14 or later, for any
// number of processes. It owns one schema of a database, which it sets up and brings up to
// date itself.
//
// Saved means committed: as durable as the server makes a commit. With its
// synchronous_commit off, or with a standby that it does not wait for, a crash takes back what
// was acknowledged in the last moment, lease epochs too, so that two owners may have had
// the same one. Leave it on.
//
// Leases, TTLs, tombstones and claims lapse by the server's clock, whatever the clocks of
// the processes say. What has lapsed is not seen any more, and is removed in small batches
// while others write. No call waits for another session's: the row of a session is
// the lock of all that belongs to it, and each operation is one statement, so it is held
// for one commit and never while a process thinks. A refresh is two statements: Begin, and an Update
// that gives the lease back. There is one exception: where everything
// due is locked by other calls, ClaimDue waits for the first of them, for it must not say that
// there is nothing left.
//
// # Notices
//
// Replace, Update, End, EndAll and Delete send a notice with their commit, so commits that change a
// session follow one another in the whole server: that many a second as it makes its disk
// write, and as its synchronous standbys answer. Begin, Renew, Release, Touch
// and all reads are not held up by it. A Watch uses a connection of its own.
//
// # Connections
//
// New takes the pool that a host has. With Open the store has a pool of its own.
//
// TLS, authentication and all else come with the URL, in the way of libpq, its environment
// variables and password files included:
//
//	postgres://user:password@host/database?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem
//
// With several hosts add target_session_attrs=read-write: a standby is of no use here.
// Without an sslmode the connection may be in plain text, and the server is not authenticated. The
// user owns the schema, or else may use it and all tables, functions and sequences in it
// when another user has set it up.
//
// Behind PgBouncer in transaction mode everything works but Watch, which listens: give
// ListenURL a way around the pooler. A Watch that no notice reaches says so. PgBouncer before
// 1.21 knows no prepared statements: add default_query_exec_mode=exec to the URL.
package postgres
