package actors

import (
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// showEnd publishes the end and the remainder: for a ceiling the unexpired
// connection tokens. The store's tombstone says the same to callers who come later.
func (c *core) showEnd(why session.Reason) {
	o := directory.Outcome{Reason: why}
	if c.ending != nil {
		o.Settled = c.ending.settled
	}
	c.visible = directory.NewEnded(c.generation, c.incarnation, c.state, &o)
	c.do(publish{c.visible})
}

// reason returns why the session ended.
func (c *core) reason() session.Reason {
	if c.visible == nil {
		return ""
	}
	return c.visible.Reason
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
	} else if c.reason() != session.ReasonCeiling {
		return c.failure(f, session.CodeMissingRefreshToken, nil)
	}
	return c.overFor(f, c.reason())
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

var nothingRemains = &session.State{}

// AtCeiling returns the snapshot of a session without an actor once its ceiling is reached. The sessions of one batch share
// over, whose Settled is closed when their deletion was tried once.
//
// No actor is woken for it: at midnight a hundred thousand sessions may end in one second. It is for a session without
// connection tokens, so nothing remains, and its state is not unpacked.
func AtCeiling(shown *directory.Snapshot, over *directory.Outcome) *directory.Snapshot {
	return directory.NewEnded(shown.Generation+1, shown.Incarnation, nothingRemains, over)
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
