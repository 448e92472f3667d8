package actors

import (
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// ceilingReached ends the session if its ceiling is reached now; a timer may be
// early, late or of an older generation.
func (c *core) ceilingReached(m *messages.CeilingReached, now time.Time) {
	if c.phase == directory.Ready && m.Generation == c.generation && c.state.Internal.Ceiling.Reached(now) {
		c.end(session.ReasonCeiling, m.Call, now)
		return
	}
	if m.Call == nil {
		return
	}
	// A reader found the ceiling reached while somebody else was ending the session.
	for _, w := range c.lane {
		if w.kind == erase && !w.tried {
			w.calls = append(w.calls, m.Call)
			return
		}
	}
	c.do(endCall{m.Call, nil})
}

// endSession ends what m names. The generation in hand ends at once; a login that
// is still being written ends when its turn has come. Of a session that was not loaded
// nobody knows whether it is the one that m names: whoever asks waits until the store was
// told, and then looks again.
func (c *core) endSession(m *messages.EndSession, now time.Time) {
	covers := m.Only.IsZero() || m.Only == c.incarnation
	switch {
	case c.phase == directory.Ready && covers:
		c.finishGeneration(m.Why, now)
	case c.phase == directory.Ended && covers, c.phase == directory.Opening && covers:
		if a := c.air; a != nil && a.lasting {
			a.lasting = false
			c.land(a.flight, c.over(a.flight, m.Why))
		}
		c.presume(m.Why, now)
	}
	c.lane, c.erasing = append(c.lane, c.erasing...), nil
	c.erase(&write{only: m.Only, why: m.Why, calls: calls(m.Call)})
}

// presume takes a session that is not in hand for ended.
func (c *core) presume(why session.Reason, now time.Time) {
	c.generation++
	c.phase, c.reason = directory.Ended, why
	c.state = &session.State{}
	c.saved = c.state
	c.ending = newEnding()
	c.showEnd(now)
}

// end ends the session in hand and has its record deleted, that incarnation only.
func (c *core) end(why session.Reason, call *directory.Call, now time.Time) {
	c.finishGeneration(why, now)
	c.erase(&write{only: c.incarnation, why: why, calls: calls(call)})
}

// finishGeneration ends the generation: the snapshot says so first, then everyone
// who waits is answered. Nothing that is under way for it counts any more, except a
// connection's token that is on its way when the ceiling comes. The caller has the
// record deleted, which settles c.ending.
func (c *core) finishGeneration(why session.Reason, now time.Time) {
	old := c.state
	c.phase, c.reason = directory.Ended, why
	c.state = &session.State{}
	if why == session.ReasonCeiling {
		c.state = remainder(old, now)
	}
	c.saved, c.tried, c.attempts = c.state, nil, 0
	c.erasing = slices.DeleteFunc(c.erasing, func(w *write) bool { return w.kind == reread })
	ended := c.generation
	c.generation++
	c.ending = newEnding()
	c.showEnd(now)
	c.do(setUnsaved(directory.Saving)) // until it is deleted
	over := &messages.SessionEnded{Reason: why}
	if why == session.ReasonCeiling && (c.air != nil || len(c.state.ConnectionTokenSets) > 0) {
		over.Issuer, over.SID, over.Subject = c.rules.registrationOf(old).Issuer, old.Internal.SID, old.User.Sub()
	}
	c.do(tell{over})
	c.answerAll(old, ended, why)
	if c.rules.Revoke && why == session.ReasonLogout {
		c.revokeNewest(old, ended)
	}
}

// revokeNewest makes the refresh token of a session that was logged out useless (RFC
// 7009): the newest, so where one is being rotated right now it waits for what comes.
func (c *core) revokeNewest(old *session.State, ended session.Generation) {
	if a := c.air; a != nil && a.sent && a.generation == ended {
		a.revoke = true
	} else if old.RefreshToken != "" {
		c.revoke(c.rules.registrationOf(old), old.RefreshToken, old)
	}
}

// revoke has token revoked, once. Nobody waits for it; a failure is logged, without what old had.
func (c *core) revoke(of session.RegistrationID, token string, old *session.State) {
	c.revoking++
	c.do(revoke{of, token, c.held.Later(old)})
}

// remainder is what stays of s after its ceiling; never nil.
func remainder(s *session.State, now time.Time) *session.State {
	if r := s.Remainder(now); r != nil {
		return r
	}
	return &session.State{Domain: s.SessionDomain(""), Internal: session.Internal{ClientID: s.Internal.ClientID}}
}

// answerAll answers whoever waits for the generation ended, whose state was old.
func (c *core) answerAll(old *session.State, ended session.Generation, why session.Reason) {
	ceiling := why == session.ReasonCeiling
	for _, w := range c.lane {
		if w.flight == nil {
			continue
		}
		c.land(w.flight, c.overtaken(w, why))
		w.flight = nil
	}
	for _, f := range c.queue {
		c.land(f, c.over(f, why))
	}
	c.queue = nil
	if a := c.air; a != nil && a.generation == ended {
		// Where others may have spent the token meanwhile, the record tells until it is deleted: for
		// what is before that in the lane. Who waits for a slot has come too late.
		known := a.sent || !c.rules.Leases || slices.ContainsFunc(c.lane, func(w *write) bool {
			return w.kind == claim || w.kind == intend
		})
		if ceiling && known && a.flight.Query.Key.ForConnection() {
			if !a.sent {
				a.token, a.of, a.state = old.RefreshToken, c.rules.registrationOf(old), old
			}
			a.lasting, a.generation = true, c.generation
		} else {
			c.land(a.flight, c.over(a.flight, why))
		}
	}
}

// overtaken is the answer to w's flight, which had landed, when the session has ended
// for why: a ceiling does not take back a connection's token.
func (c *core) overtaken(w *write, why session.Reason) directory.Answer {
	if why == session.ReasonCeiling && w.answer.Err == nil && w.flight.Query.Key.ForConnection() {
		return w.answer
	}
	return c.over(w.flight, why)
}

// showEnd publishes the end and what stays: for a ceiling the unexpired
// connection tokens, and the answer session_expired for a while.
func (c *core) showEnd(now time.Time) {
	o := directory.Outcome{Reason: c.reason}
	if c.ending != nil {
		o.Settled = c.ending.settled
	}
	// Of a session that was not loaded nobody knows whether another process has signed its
	// user in again: the store's tombstone says.
	if c.reason == session.ReasonCeiling && !c.unsure && (c.rules.Exclusive || !c.incarnation.IsZero()) {
		o.Until = c.rules.remembered(c.state, now)
	}
	c.do(publish{directory.NewEnded(c.generation, c.incarnation, c.state, o)})
}

// remembered returns until when a session that its ceiling ended at now is remembered in memory, and what remains of it.
func (r *Rules) remembered(remains *session.State, now time.Time) time.Time {
	until := now.Add(r.RememberEnded)
	if r.SnapshotAge > 0 { // nothing would tell of a new login in another process
		until = now.Add(min(r.RememberEnded, r.SnapshotAge))
	}
	for _, t := range remains.ConnectionTokenSets {
		if e := time.Unix(t.ExpiresAt, 0); e.After(until) {
			until = e
		}
	}
	return until
}

// AtCeiling returns what is shown of a session without an actor once its ceiling is reached. Settled is closed when its
// deletion was tried once.
func (r *Rules) AtCeiling(shown *directory.Snapshot, settled chan struct{}, now time.Time) *directory.Snapshot {
	remains := remainder(shown.State(), now)
	return directory.NewEnded(shown.Generation+1, shown.Incarnation, remains, directory.Outcome{
		Reason: session.ReasonCeiling, Settled: settled, Until: r.remembered(remains, now),
	})
}

// remembered is the answer of an ended session.
func (c *core) remembered(f *directory.Flight, now time.Time) directory.Answer {
	if f.Query.Key.ForConnection() {
		if t, ok := c.state.FindConnection(f.Query.Key, now); ok {
			return directory.Answer{Connection: &t, Cached: true}
		}
	} else if c.reason != session.ReasonCeiling {
		return c.failure(f, session.CodeMissingRefreshToken, nil)
	}
	return c.over(f, c.reason)
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
