package supervisor

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Non-resident sessions end on time too. Where the store has an index, their
// ceilings are asked for in windows, and those that are due are claimed, so that
// of several processes one deletes. Where it has none, a deadline stays behind when
// a session is passivated.
//
// The way of one session: listDue finds its second, claimAt times a claim for that, claim has the store hand the session to this process,
// claimed sorts out what is in memory here, endAbsentees (ends.go) deletes the rest in batches, and where that fails finishAbsentee gives
// it an actor.

// listDue orders the next window of the index to be listed.
type listDue struct{ messages.Redacted }

// listedDue brings the ceilings of a window.
type listedDue struct {
	messages.Redacted
	ceilings []session.Ceiling
	err      error
	asked    time.Time
}

// claimed brings sessions that this process is to delete.
type claimed struct {
	messages.Redacted
	refs  []store.Ref
	limit int // how many were asked for
	err   error
}

// absentee is a non-resident session, and its login. The login is named so that the end of this one leaves a later one alone.
type absentee struct {
	key  session.Key
	only session.Incarnation
}

// forgetAbsentee forgets the deadline of a session that left memory: it is in memory again, or it has gone.
func (s *Supervisor) forgetAbsentee(key session.Key) {
	if d := s.nonResident[key]; d != nil {
		s.absentees.cancel(d)
		delete(s.nonResident, key)
	}
}

const (
	claimBatch = 500 // sessions of one claim; a full one is followed by the next at once
	claimAgain = 5   // seconds after a failure
	listAgain  = 5   // seconds after a listing that failed: a process that starts has no earlier listing
)

// listDue lists which seconds of the next window have ceilings in them, page by page. The sessions themselves are
// claimed when their second has come: until then any process may serve them.
//
// The window is longer than the time between two listings. So a listing that fails leaves no second out: the next names it in time. After a
// failure that is a few seconds later, for a process that starts beside a store that does not answer has no earlier listing.
func (s *Supervisor) listDue() {
	if s.index == nil || s.closing {
		return
	}
	env, index := s.env, s.index
	now := s.now()
	from := session.Ceiling(now.Add(session.CeilingLeeway).Unix() + 1)
	until := session.Ceiling(now.Add(listWindow + session.CeilingLeeway).Unix())
	env.Runner.Run(actors.StoreWork, func(ctx context.Context) any {
		m := &listedDue{asked: now}
		seen := make(map[session.Ceiling]bool)
		// All that is past is claimed at once. One of it is enough to know that there is some.
		past, err := duePage(ctx, s, index, 1, from, store.Ref{}, 1)
		for _, r := range past {
			m.ceilings = append(m.ceilings, r.Ceiling)
		}
		if m.err = err; err != nil {
			return m
		}
		var after store.Ref
		for {
			page, err := duePage(ctx, s, index, from, until, after, 2*claimBatch)
			for _, r := range page {
				if !seen[r.Ceiling] {
					seen[r.Ceiling] = true
					m.ceilings = append(m.ceilings, r.Ceiling)
				}
			}
			if err != nil || len(page) == 0 {
				m.err = err
				return m
			}
			after = page[len(page)-1]
		}
	}, func(m any) { s.send(s.self, m) })
}

// duePage asks the index for one page of the sessions that are due, within the store's deadline.
func duePage(ctx context.Context, s *Supervisor, index store.Index, from, until session.Ceiling, after store.Ref, limit int) (page []store.Ref, err error) {
	ctx, cancel := clock.WithTimeout(ctx, s.env.Clock, s.env.Rules.StoreTimeout)
	defer cancel()
	err = actors.Contain(func() error {
		page, err = index.Due(ctx, from, until, after, limit, store.Options{Background: true})
		return err
	})
	return page, err
}

// listedDue times a claim for each second that was listed, and the next listing.
func (s *Supervisor) listedDue(m *listedDue) {
	if m.err != nil && !s.unlisted {
		s.env.Log.Warn("the store's deadline index did not answer; it is asked every few seconds until it does", zap.Error(m.err))
	}
	s.unlisted = m.err != nil
	for _, c := range m.ceilings {
		s.claimAt(c)
	}
	if !s.closing {
		// Not now: what came due while the store answered is asked for at once. Later than now where the
		// clock was set back.
		next, wait, now := m.asked, listEvery, s.now()
		if m.err != nil {
			wait = listAgain * time.Second
		}
		if m.err != nil || now.Before(next) {
			next = now
		}
		s.due.add(&timer{kind: listTimer}, next.Add(wait).Unix())
	}
}

// claimAt claims the sessions that are due once c is reached. A ceiling beyond the window is left to a later listing, so the timers
// of a million sessions that left memory are those of the next five minutes only.
func (s *Supervisor) claimAt(c session.Ceiling) {
	second := c.Deadline().Unix()
	if second > s.now().Add(listWindow).Unix() || s.claims[second] || s.closing {
		return
	}
	s.claims[second] = true
	s.due.add(&timer{kind: claimTimer}, second)
}

// claim takes sessions that are due from the store, as many as there is headroom for. Of several processes one gets each;
// if it ends before it has deleted a session, the claim lapses after a minute and another process claims it.
func (s *Supervisor) claim() {
	if s.closing || s.index == nil {
		return
	}
	limit := min(claimBatch, s.headroom())
	if limit <= 0 {
		s.backOff()
		return
	}
	s.claiming += limit
	env, index := s.env, s.index
	until := session.Ceiling(s.now().Add(session.CeilingLeeway).Unix() + 1)
	env.Runner.Run(actors.StoreWork, func(ctx context.Context) any {
		ctx, cancel := clock.WithTimeout(ctx, env.Clock, env.Rules.StoreTimeout)
		defer cancel()
		m := &claimed{limit: limit}
		m.err = actors.Contain(func() (err error) {
			m.refs, err = index.ClaimDue(ctx, until, limit, claimHold, store.Options{Background: true})
			return err
		})
		return m
	}, func(m any) { s.send(s.self, m) })
}

// headroom returns how many more sessions may be brought into memory only to be deleted. Where deletions fail such sessions stay.
// So they get half the room at most, and no other session leaves memory for them.
//
// Example: Limits.Resident is 100, the store refuses deletions, and 3,000 sessions are due. 50 of them come into memory, each with an actor
// that tries again and again. The others wait in the store, and a user who signs in finds room.
func (s *Supervisor) headroom() int {
	return min(max(s.env.Rules.Resident/2, 1)-s.deleting, 2*s.env.Rules.Resident-s.awake) - s.claiming
}

// backOff has the sessions that are due wait for a second. Where more than Limits.Resident others are in memory, one of them
// leaves.
func (s *Supervisor) backOff() {
	if s.awake-s.deleting > s.env.Rules.Resident {
		s.evict()
	}
	s.claimIn(1)
}

// claimIn claims again in so many seconds, or sooner where a sooner claim is timed. There is one such timer (nextClaim). Example: the store
// refuses sixty claims in a minute, one for each second that was listed. Sixty timers would ask it sixty times in the next five seconds,
// and each refusal would set one more.
func (s *Supervisor) claimIn(seconds int64) {
	second := s.now().Unix() + seconds
	if s.nextClaim.place == 0 || second < s.nextClaim.second {
		s.nextClaim.kind = claimAgainTimer
		s.due.add(&s.nextClaim, second)
	}
}

// claimed deletes the sessions that were claimed. Left out are those that are resident, loading or ended: they end by
// themselves, or have. A resident one of another login than the store has is told to read its record.
//
// A marker does not keep a session from its end. It may be of an earlier login, for which this process has said ended or missing, while
// another process signed the user in whose ceiling has come now.
func (s *Supervisor) claimed(m *claimed) {
	s.claiming -= m.limit
	refs, more := make([]store.Ref, 0, len(m.refs)), len(m.refs) == m.limit // what the store returned may be its own
	for _, r := range m.refs {
		sl := s.residents.get(r.Key)
		switch {
		case s.ends.claimed[r.Key] == r.Incarnation && !r.Incarnation.IsZero(): // it ended here while the claim was under way
		case sl == nil, !sl.resident() && sl.entry.Snapshot().Incarnation != r.Incarnation:
			refs = append(refs, r)
		case sl.known().load != nil, sl.ending: // it ends when it was read; or its deletion is on its way
		default:
			if now := sl.entry.Snapshot(); now.Phase == directory.Ready && now.Incarnation != r.Incarnation {
				s.command(sl, &messages.ReadRecord{Key: r.Key})
			}
		}
	}
	s.endAbsentees(refs)
	if s.claiming == 0 {
		s.ends.claimed = nil
	}
	switch {
	case s.closing:
	case m.err != nil:
		s.env.Log.Warn("sessions that are due could not be claimed; they are tried again", zap.Error(m.err))
		s.claimIn(claimAgain)
	case more:
		s.claim()
	}
}

// finishAbsentee deletes a session that is not in memory, for which that has failed with err. It gets an actor for as long as that
// takes, which tries until the store has done it. The user may have signed in anew since the claim. Then the actor is that login's, which
// is not in memory only to be deleted, and what it deletes is the earlier one.
func (s *Supervisor) finishAbsentee(r store.Ref, err error) {
	s.end(finish(r, err))
	sl := s.residents.get(r.Key)
	if sl != nil && sl.pid() != nil && !sl.deleting && sl.entry.Snapshot().Phase != directory.Ready { // its user may have signed in anew
		sl.deleting = true
		s.deleting++
		s.idle.cancel(sl) // it leaves memory once it is deleted, and is none of those that room may ask to leave
	}
}

// notDeleting notes that sl is not, or no longer, in memory only to be deleted.
func (s *Supervisor) notDeleting(sl *resident) {
	if sl.deleting {
		sl.deleting = false
		s.deleting--
	}
}
