package directory

import "sync/atomic"

// Tally counts what happens, and what is still to be handled. It is the mailbox
// middleware of every actor: what was posted is counted in, what was handled or
// dropped is counted out.
type Tally struct {
	Requests   atomic.Int64 // requests that spent a refresh token
	SaveErrors atomic.Int64 // writes that failed at the first try
	Failing    atomic.Int64 // sessions that know something the store does not, after a failure
	Failures   atomic.Int64 // defects contained
	Ceilings   atomic.Int64 // sessions ended by their ceiling
	Lost       atomic.Int64 // sessions whose refresh token a crash has cost
	Vanished   atomic.Int64 // records that a store does not have any more, although nobody has deleted them
	Stale      atomic.Int64 // answers from memory while the store did not answer
	Loads      atomic.Int64 // records asked of the store
	Unreadable atomic.Int64 // records that no configured secret opens

	UnreadableAt atomic.Int64 // the second of the last of them

	Resident atomic.Int64 // sessions in memory

	pending atomic.Int64
	rest    atomic.Pointer[chan struct{}]
}

// Add counts n more (or fewer) things that are to be handled.
func (t *Tally) Add(n int64) {
	if t.pending.Add(n) == 0 {
		if rest := t.rest.Swap(nil); rest != nil {
			close(*rest)
		}
	}
}

// Rest returns a channel that is closed once nothing is to be handled: maybe now, maybe
// not any more when the caller looks, so look at Pending again.
func (t *Tally) Rest() <-chan struct{} {
	for {
		if rest := t.rest.Load(); rest != nil {
			return *rest
		}
		fresh := make(chan struct{})
		if t.rest.CompareAndSwap(nil, &fresh) {
			if t.pending.Load() == 0 {
				t.Add(0)
			}
			return fresh
		}
	}
}

// Pending returns how many things are to be handled.
func (t *Tally) Pending() int64 { return t.pending.Load() }

// MailboxStarted implements actor.MailboxMiddleware.
func (*Tally) MailboxStarted() {}

// MessagePosted implements actor.MailboxMiddleware.
func (t *Tally) MessagePosted(any) { t.Add(1) }

// MessageReceived implements actor.MailboxMiddleware.
func (t *Tally) MessageReceived(any) { t.Add(-1) }

// MailboxEmpty implements actor.MailboxMiddleware.
func (*Tally) MailboxEmpty() {}
