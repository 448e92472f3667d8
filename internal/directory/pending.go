package directory

import "sync/atomic"

// Pending counts unhandled messages in mailboxes, and work whose outcome will
// become a message. When it is zero, the actors are quiescent. It is the mailbox middleware of
// every actor: a posted message is counted in, a handled or dropped one is counted out.
type Pending struct {
	count atomic.Int64
	rest  atomic.Pointer[chan struct{}] // nil while no goroutine waits for rest
}

// Add counts n more things that are to be handled; a negative n counts them out.
func (p *Pending) Add(n int64) {
	if p.count.Add(n) == 0 {
		if rest := p.rest.Swap(nil); rest != nil {
			close(*rest)
		}
	}
}

// Count returns how many things are to be handled.
func (p *Pending) Count() int64 { return p.count.Load() }

// Rest returns a channel that is closed once nothing is to be handled. More may have come by the
// time the caller looks, so call Count again after it is closed.
func (p *Pending) Rest() <-chan struct{} {
	for {
		if rest := p.rest.Load(); rest != nil {
			return *rest
		}
		fresh := make(chan struct{})
		if p.rest.CompareAndSwap(nil, &fresh) {
			if p.count.Load() == 0 {
				p.Add(0) // the last one was counted out before the channel was there
			}
			return fresh
		}
	}
}

// MailboxStarted implements actor.MailboxMiddleware.
func (*Pending) MailboxStarted() {}

// MessagePosted implements actor.MailboxMiddleware.
func (p *Pending) MessagePosted(any) { p.Add(1) }

// MessageReceived implements actor.MailboxMiddleware.
func (p *Pending) MessageReceived(any) { p.Add(-1) }

// MailboxEmpty implements actor.MailboxMiddleware.
func (*Pending) MailboxEmpty() {}
