package actors

import "slices"

// A session actor is three small machines. Each answers one question, and every branch of the
// core asks one of them.

// life says how callers see the session.
type life uint8

const (
	// unknown: the record was not read. The actor owns the session only to write a login or a
	// deletion.
	unknown life = iota
	// live: the session is signed in, and its tokens are handed out and refreshed.
	live
	// expiring: the ceiling was reached while a connection exchange was under way. Callers see
	// the end at once; the token that the exchange brings joins the remainder.
	expiring
	// ended: the session is over, for core.reason(). Its record is being deleted, or is gone.
	ended
	// released: the entry was given up, and nothing is touched. A command of the supervisor
	// wakes the session, with the life that it had before (core.before).
	released
	// failed: a panic was contained. Requests that are out come back first; then the record is read.
	failed
)

// step is how far the one request of the session to the provider has come.
type step uint8

const (
	// noRequest: none is under way. The next flight in the queue may start.
	noRequest step = iota
	// waitingForPermit: a request at the provider was asked for (Runner.Permit).
	waitingForPermit
	// beginning: the permit is held, and the store is asked for the lease and the intent.
	beginning
	// waitingForLease: another process holds the lease. No permit is held; the flight stands
	// first in the queue until a notice, or a timer, says that the lease may be free.
	waitingForLease
	// waitingForSave: an outage is over, and another process may have spent the token and still have to
	// save its new one. As waitingForLease, but the record is read every second.
	waitingForSave
	// waitingToRetry: the request failed, and the flight at the head of the queue is sent again
	// when a timer fires. Nothing is held.
	waitingToRetry
	// onTheWire: the request was sent, and its refresh token counts as spent.
	onTheWire
)

// An answer that is being saved is no step: unless its refresh token is new, the next request
// may start before its save is over. It belongs to the third machine.

// persistence is what the store lacks.
type persistence uint8

const (
	clean      persistence = iota // nothing
	saving                        // a save is queued or running
	conflicted                    // a save was refused, and the record is being read
	backingOff                    // a save failed, and a timer tries it again
	deleting                      // the session has ended, and its record is still there
)

// The table. A row is a message, a column the life in which it comes; a dash says that the
// message changes nothing. Every cell is driven by TestTable.
//
//	| event | unknown | live | expiring | ended | released | failed |
//	|---|---|---|---|---|---|---|
//	| NeedToken | internal_error | cache, else queue | cached connection token, else over | what remains, else over | waits; look again | internal_error |
//	| Login | store op | store op | store op; the exchange ends | store op | wake, store op | internal_error |
//	| Update(from, to) | missing_session | compare: save, else the newest values | missing_session | missing_session | wake, as before | internal_error |
//	| End(why) | delete; ended where it is the one that is known | answer all, ended, delete | answer, ended, delete | delete | wake, as before | ended at once, deletion owed |
//	| CeilingDue(generation) | – | exchange under way: expiring, else ended; delete | – | – | wake, as before | – |
//	| RecordChanged(version) | – | known: –, else read | read | deleted: –, else read | wake, as before | stale |
//	| PermitGranted | – | begin | send | give back | – | give back |
//	| Begun: ok / moved / held elsewhere | – | send / take it, look in the cache, begin again / give the permit back, wait | send / begin again with its token / over | give the permit and the lease back | – | keep nothing |
//	| ProviderAnswered | – | keep the token, judge, save | answer, join the remainder, ended | drop; revoke if logged out | – | keep the token only |
//	| Saved: ok / conflict | – | publish, complete, clean / read and decide | – | – | – | – |
//	| Deleted: ok / failed | released / ended, retry | – | clean / retry | done / retry | – | settle / owed |
//	| Release | idle: released, else busy | idle: released, else busy | busy | idle: released | wake, as before | busy |
//	| Close | drain | finish the wire, save, released | finish the wire, released | released when deleted | released again | drain |
//
// A deletion that the supervisor has just tried (EndSession.Failed) is not tried at once: "delete" is "retry" then.
//
// Three cells look as if they could be simpler, and cannot be:
//
//   - RecordChanged while expiring or ended is a read unless the notice tells of a deletion:
//     another process may have signed the user in, and that session is to be shown.
//   - In expiring the deletion is queued at once. It waits behind a Begin that is queued or
//     running, for Begin needs the record; behind a request on the wire it does not wait.
//   - A notice of a deletion does not end a live session by itself. The record is read, for
//     its tombstone says why.

// waiting reports whether the flight at the head of the queue waits for another process.
func (s step) waiting() bool { return s == waitingForLease || s == waitingForSave }

// holdsNothing reports whether the flight at the head of the queue waits, and needs no lease for that.
func (s step) holdsNothing() bool { return s.waiting() || s == waitingToRetry }

// over reports whether callers see an end.
func (l life) over() bool { return l == expiring || l == ended }

// persistence returns what the store lacks. It is read off the queue, so that the two never
// disagree.
func (c *core) persistence() persistence {
	switch {
	case c.life.over() && (len(c.backlog) > 0 || c.deleting()):
		return deleting
	case c.queued(func(o op) bool { s, ok := o.(*saveOp); return ok && s.generation == c.generation }):
		return saving
	case c.queued(func(o op) bool {
		r, ok := o.(*readOp)
		return ok && r.why == conflict && r.generation == c.generation
	}):
		return conflicted
	case c.state != c.saved:
		return backingOff
	}
	return clean
}

// queued reports whether a store operation that is running, or waits for its turn, is a match.
func (c *core) queued(match func(op) bool) bool {
	return c.running != nil && match(c.running) || slices.ContainsFunc(c.ops, match)
}

// saving reports whether a save is on its way. One that was refused counts until the record was
// read, for that decides how it goes on: another save beside it would be refused as well.
func (c *core) saving() bool {
	p := c.persistence()
	return p == saving || p == conflicted
}

// deleting reports whether a deletion is running or waits for its turn.
func (c *core) deleting() bool {
	return c.queued(isDelete)
}
