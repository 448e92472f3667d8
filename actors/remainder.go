package actors

import (
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// showEnd publishes the end and the remainder: for a ceiling the unexpired
// connection tokens, and the answer session_expired for a while.
func (c *core) showEnd(now time.Time) {
	o := directory.Outcome{Reason: c.reason}
	if c.ending != nil {
		o.Settled = c.ending.settled
	}
	// Of a session that was not loaded it cannot be known whether another process has signed its
	// user in again: the store's tombstone says.
	if c.reason == session.ReasonCeiling && !c.endUncertain && (c.rules.Exclusive || !c.incarnation.IsZero()) {
		o.Until = c.rules.remembered(c.state, now)
	}
	c.do(publish{directory.NewEnded(c.generation, c.incarnation, c.state, o)})
}

// remembered is the answer of an ended session.
//
// After a ceiling a connection's token outlives the session until it expires itself (the promise of the Auth0 SDKs). After every
// other end nothing is left, and the code says that there is no session rather than that it has expired.
func (c *core) remembered(f *directory.Flight, now time.Time) directory.Answer {
	if f.Query.Key.ForConnection() {
		if t, ok := c.state.FindConnection(f.Query.Key, now); ok {
			return directory.Answer{Connection: &t, Cached: true}
		}
	} else if c.reason != session.ReasonCeiling {
		return c.failure(f, session.CodeMissingRefreshToken, nil)
	}
	return c.overFor(f, c.reason)
}

// overFor is the answer to f when the session has ended for why.
func (c *core) overFor(f *directory.Flight, why session.Reason) directory.Answer {
	switch {
	case f.Query.Key.ForConnection():
		return c.failure(f, session.CodeMissingRefreshToken, nil)
	case why == session.ReasonCeiling:
		return c.failure(f, session.CodeSessionExpired, nil)
	}
	return c.failure(f, session.CodeMissingSession, nil)
}

// remembered returns until when a session that its ceiling ended at now is remembered in memory, and what remains of it.
//
// Where other processes sign users in and are not heard of, an end is not remembered for longer than a snapshot would be shown.
func (r *Rules) remembered(remains *session.State, now time.Time) time.Time {
	until := now.Add(r.RememberEnded)
	if r.UnseenFor > 0 { // nothing would tell of a new login in another process
		until = now.Add(min(r.RememberEnded, r.UnseenFor))
	}
	for _, t := range remains.ConnectionTokenSets {
		if e := time.Unix(t.ExpiresAt, 0); e.After(until) {
			until = e
		}
	}
	return until
}

// AtCeiling returns the snapshot of a session without an actor once its ceiling is reached. Settled is closed when its
// deletion was tried once.
//
// No actor is woken for it: at midnight a hundred thousand sessions may end in one second.
func (r *Rules) AtCeiling(shown *directory.Snapshot, settled chan struct{}, now time.Time) *directory.Snapshot {
	remains := remainder(shown.State(), now)
	return directory.NewEnded(shown.Generation+1, shown.Incarnation, remains, directory.Outcome{
		Reason: session.ReasonCeiling, Settled: settled, Until: r.remembered(remains, now),
	})
}

// registrationOf is whose requests s makes, and where they go: its own domain, else the configured one, else
// the issuer of its user (as in the Auth0 SDKs); its own client id, else the configured one.
func (r *Rules) registrationOf(s *session.State) session.RegistrationID {
	of := session.RegistrationID{ClientID: s.SessionClient(r.ClientID)}
	if s != nil && s.Domain != "" {
		of.Issuer = session.IssuerOf(s.Domain) // as nearly always
	} else {
		of.Issuer = session.IssuerOf(s.SessionDomain(session.DomainOf(r.Issuer)))
	}
	return of
}
