package actors

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// beginOp is the store operation between permit and request. Where several processes write to
// the store it takes the session's lease; where the store outlives the process it writes the
// intent down, a hash of the refresh token that is about to be spent. Both are done only if the
// record still has the version that the flight was decided on.
type beginOp struct {
	waiters
	request *request
	version session.Version
	owned   bool          // under a lease
	intent  *store.Intent // nil where none is written
}

// start decides whether the request is still needed, and what the store is asked.
//
// It is asked again here, although it was asked when the permit came: the op may have waited behind a save
// or a read, and what that brought may be the answer already.
func (o *beginOp) start(c *core, now time.Time) bool {
	a := o.request
	if c.life == expiring && c.current(a) && !c.rules.Leases { // the record is being deleted: an intent has no place
		c.send()
		return false
	}
	if !c.stillNeeded(now) {
		return false
	}
	if c.life == live {
		a.token, a.of = c.state.RefreshToken, c.rules.registrationOf(c.state)
	}
	o.version, o.owned = c.version, c.rules.Leases
	if c.rules.Intents {
		o.intent = c.newIntent(a, now)
	}
	return true
}

// newIntent returns the intent of a's request. A recovery counts its tries in it.
//
// The intent carries the epoch that is held now. The store replaces it by that of the lease which it gives, so it
// matters only where the store does not answer, and the intent may stand all the same.
func (c *core) newIntent(a *request, now time.Time) *store.Intent {
	in := &store.Intent{Token: sha256.Sum256([]byte(a.token)), Epoch: c.lease.epoch, At: now.Unix()}
	if c.recovers(a.flight) {
		in.Tries = c.recovery.intent.Tries + 1
		in.Next = now.Add(untilNext(in.Tries)).Unix()
	}
	return in
}

func (o *beginOp) askStore(ctx context.Context, s *storeCall, m *opDone) error {
	return s.begin(ctx, o, m)
}

// done goes on towards the request, or says why it is not sent.
//
// The order of the cases is the order of what outweighs what. A record that has gone or moved is taken in even where the
// callers of the flight were answered already, for the session itself has to know. Only then does it count whether the
// flight is still wanted, whether the store said no, and whether the lease still stands.
func (o *beginOp) done(c *core, m *opDone, now time.Time) {
	a := o.request
	stale := c.noteLease(m) || c.lapsed(now)
	prior := c.noteIntent(o, m)
	switch {
	case c.life == expiring && c.current(a):
		c.beginExpiring(a, m, stale)
	case errors.Is(m.err, store.ErrNotFound), m.err == nil && !m.found.version.IsZero():
		c.reconcile(&readOp{why: moved, generation: a.generation}, m, now)
		if c.stillNeeded(now) {
			c.beginAgain()
		}
	case !c.current(a):
		c.giveUp()
	case m.err != nil:
		c.notBegun(a, m.err)
	case stale && c.recovers(a.flight):
		c.standDown(a)
	case stale:
		c.beginAgain()
	default:
		c.begun(a, m, prior, now)
	}
	c.completeCovered(now)
}

// notBegun deals with a flight that may not go on, or cannot.
func (c *core) notBegun(a *request, err error) {
	switch {
	case errors.Is(err, store.ErrLeased):
		c.waitForOwner(a)
	case errors.Is(err, store.ErrPresented): // by the recovery of another process, which has let go since
		c.giveUp()
		c.completeFlight(a.flight, directory.Answer{})
	default:
		c.storeFailed(a, err)
	}
}

// standDown ends a recovery that comes too late to send its request. Its try is counted: the next look for
// intents finds when the next one is due.
func (c *core) standDown(a *request) {
	c.lease.intent = nil
	c.giveUp()
	c.completeFlight(a.flight, directory.Answer{})
}

// begun sends the request, unless there is a better answer by now. The lease stands, and the
// intent is written.
//
// Three things can make the request needless or wrong now, and each is cheap to find out: the answer was found
// while Begin was under way; a recovery finds that the intent it is about has gone, so that nothing is left to find
// out; and another process, whose lease has lapsed in an outage, may have the new token in hand and be about to save it.
// A save that is queued would clear the intent just written, so the flight goes behind it.
func (c *core) begun(a *request, m *opDone, prior prior, now time.Time) {
	switch {
	case !c.stillNeeded(now):
	case c.recovers(a.flight) && m.prior == nil && !c.recovery.cleared: // nothing is left to find out
		c.lease.unspent = true
		c.giveUp()
		c.completeFlight(a.flight, directory.Answer{})
	case prior == priorElsewhere && m.grace > 0:
		c.lease.intent = nil // it stands: its owner may be about to save what came of it
		c.waitForSave(a, m.grace)
	case c.saving(): // which would clear the intent
		c.lease.unspent = prior == noPrior || prior == priorUnspent
		if c.recovers(a.flight) {
			c.recovery.intent.Tries-- // nothing was presented, and the save clears what counts it
		}
		c.giveUp()
		c.queue = slices.Insert(c.queue, 0, a.flight)
	default:
		a.mayBeSpent = prior == priorSpent || prior == priorElsewhere
		c.lease.unspent, c.lease.intent = false, m.intent
		c.send()
	}
}

// beginExpiring is done for an exchange that the ceiling has overtaken. The deletion is behind it
// in the store queue, so the record still says what may be spent.
//
// Nothing of the session can be saved any more, so there is no second chance as in done: where the lease is another
// process's, the exchange is given up, and its callers hear what callers after the ceiling hear.
func (c *core) beginExpiring(a *request, m *opDone, stale bool) {
	f := m.found
	switch {
	case m.err == nil && f.version.IsZero() && !stale:
		c.send()
	case m.err == nil && !f.version.IsZero() && f.incarnation == c.incarnation && f.state.RefreshToken != "":
		a.token, c.version = f.state.RefreshToken, f.version // another process has spent the one before
		c.next(&beginOp{request: a})
	case m.err == nil && !f.version.IsZero() && f.incarnation != c.incarnation && c.takenOver(m): // and the exchange was answered
		c.giveUp()
	case m.err == nil, errors.Is(m.err, store.ErrLeased), errors.Is(m.err, store.ErrNotFound):
		c.giveUp()
		c.completeFlight(a.flight, c.overFor(a.flight, session.ReasonCeiling))
		c.expired()
	default:
		c.storeFailed(a, m.err)
		c.expired()
	}
}

// takenOver reports whether another login has taken the place of a session that has ended here. If so, the exchange of the earlier login
// must not spend the refresh token of the later one.
func (c *core) takenOver(m *opDone) bool {
	c.begunElsewhere(m)
	return c.life == live
}

// beginAgain asks for the lease and the intent once more: the record has moved, or the lease has
// lapsed and was taken anew, so that another process may have spent the refresh token.
func (c *core) beginAgain() {
	c.enqueue(&beginOp{request: c.request})
}

// prior is what an intent of the same refresh token that stood before says of that token.
type prior uint8

const (
	noPrior        prior = iota // there was none
	priorUnspent                // this process's own, and its request did not spend the token
	priorSpent                  // this process's own, and its request may have
	priorElsewhere              // another process's, or one of before a crash
)

// noteIntent notes what stands in the store after o, so far as that is known, and returns what stood before.
//
// Three outcomes are told apart. The store has refused: nothing was written. The store has answered: what it says
// stands. The store has not answered: the intent may stand, so it is cleared with the lease, unless a recovery wrote it. An intent
// that a crash has left behind is never cleared before the provider has said something about its token.
func (c *core) noteIntent(o *beginOp, m *opDone) prior {
	if o.intent == nil || m.err == nil && m.intent == nil { // none was to be written, or the record had moved
		return noPrior
	}
	recovers := c.current(o.request) && c.recovers(o.request.flight)
	p := c.priorOf(o, m, recovers)
	if m.err == nil && recovers {
		c.recovery.intent = *m.intent
	}
	switch {
	case errors.Is(m.err, store.ErrNotFound), errors.Is(m.err, store.ErrLeased): // nothing was written
	case p == priorElsewhere, m.err != nil && recovers:
		c.lease.intent = nil // an intent that another process left behind stands until its token is sent
	case m.intent != nil:
		c.lease.intent = m.intent // where the store did not answer, it may stand
	}
	return p
}

// priorOf says whose intent of the same token stood before o. One that a save of this process has cleared since
// it was listed counts as standing: what came of its token is not known.
func (c *core) priorOf(o *beginOp, m *opDone, recovers bool) prior {
	before := m.prior
	if before == nil && m.err == nil && recovers && c.recovery.cleared && o.intent.Token == c.recovery.intent.Token {
		before = &c.recovery.intent
	}
	have := c.lease.intent
	switch {
	case before == nil:
		return noPrior
	case have == nil || have.Token != before.Token || have.Epoch != before.Epoch:
		return priorElsewhere
	case c.lease.unspent:
		return priorUnspent
	}
	return priorSpent
}

// stillNeeded reports whether the request is still to be sent. If not, it has dealt with the flight.
//
// It is the last look before a refresh token is presented, and the one that keeps a crowd from spending a token
// for each of its members: those who asked for the same in other words find it in the cache here.
func (c *core) stillNeeded(now time.Time) bool {
	a := c.request
	if !c.current(a) {
		c.giveUp()
		return false
	}
	if c.life == expiring {
		return true
	}
	f := a.flight
	if why := c.endFor(f, now); why != "" {
		c.giveUp()
		c.queue = slices.Insert(c.queue, 0, f)
		c.end(why, nil, now) // answers the queue
		return false
	}
	if answer, ok := c.answered(f, now); ok {
		c.giveUp()
		c.completeFlight(f, answer)
		return false
	}
	if c.state.RefreshToken != c.saved.RefreshToken {
		c.giveUp()
		c.queue = slices.Insert(c.queue, 0, f) // behind the save
		return false
	}
	return true
}

// endFor returns why the session is over for f at now, "" where it is not. A ceiling lets a
// connection's query through (behaviour of the Auth0 SDKs).
func (c *core) endFor(f *directory.Flight, now time.Time) session.Reason {
	switch {
	case c.state.Internal.Over(now):
		return session.ReasonLifetime
	case !f.Query.Key.ForConnection() && c.state.Internal.Ceiling.Reached(now):
		return session.ReasonCeiling
	}
	return ""
}

// answered says what can be said of f without a request.
//
// A recovery is not answered by the cache: it asks about the refresh token. It is settled where the session has another one by now.
func (c *core) answered(f *directory.Flight, now time.Time) (directory.Answer, bool) {
	if c.recovers(f) {
		return directory.Answer{}, sha256.Sum256([]byte(c.state.RefreshToken)) != c.recovery.intent.Token
	}
	if a, ok := c.fromCache(f, now); ok {
		return a, true
	}
	if c.state.RefreshToken == "" {
		return directory.Answer{Err: session.NoRefreshToken(f.Query.Key.ForConnection())}, true
	}
	return directory.Answer{}, false
}

// storeFailed answers everyone who waits for a request that the store must be asked for first.
//
// All of them, not only the flight itself: each would ask the same store the same thing, one after the other, and the last
// would wait for as many deadlines as there are flights before it.
func (c *core) storeFailed(a *request, err error) {
	c.giveUp()
	for _, f := range append([]*directory.Flight{a.flight}, c.queue...) {
		c.completeFlight(f, c.failure(f, session.CodeStoreError, err))
	}
	c.queue = nil
}
