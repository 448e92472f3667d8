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

// Sessions that are not resident end on time too. Where the store has an index, their
// ceilings are asked for in windows, and those that are due are claimed, so that
// of several processes one deletes. Where it has none, a deadline stays behind when
// a session is passivated.

// sweep asks the index for the next window.
type sweep struct{ messages.Redacted }

// swept brings the ceilings of the next window.
type swept struct {
	messages.Redacted
	ceilings []session.Ceiling
	err      error
	asked    time.Time
}

// claimed brings sessions that this process is to delete.
type claimed struct {
	messages.Redacted
	refs  []sleeper
	limit int // as many were asked for
	err   error
}

type sleeper struct {
	key  session.Key
	only session.Incarnation
}

// wakeUp forgets the deadline that stayed behind when a session was passivated: its
// ceiling is known anew, or it has gone.
func (s *Supervisor) wakeUp(key session.Key) {
	if d := s.sleepers[key]; d != nil {
		s.asleep.cancel(d)
		delete(s.sleepers, key)
	}
}

const (
	claimBatch = 500
	claimAgain = 5 // seconds after a failure
)

func (s *Supervisor) sweep() {
	if s.index == nil || s.closing {
		return
	}
	env, index := s.env, s.index
	now := s.now()
	from := session.Ceiling(now.Add(session.CeilingLeeway).Unix() + 1)
	until := session.Ceiling(now.Add(sweepWindow + session.CeilingLeeway).Unix())
	env.Runner.Run(actors.StoreWork, func(ctx context.Context) any {
		m := &swept{asked: now}
		seen := make(map[session.Ceiling]bool)
		// What is past is claimed at once, however much it is: one of it is enough to know.
		past, err := listDue(ctx, s, index, 1, from, store.Ref{}, 1)
		for _, r := range past {
			m.ceilings = append(m.ceilings, r.Ceiling)
		}
		if m.err = err; err != nil {
			return m
		}
		var after store.Ref
		for {
			page, err := listDue(ctx, s, index, from, until, after, 2*claimBatch)
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

func listDue(ctx context.Context, s *Supervisor, index store.Index, from, until session.Ceiling, after store.Ref, limit int) (page []store.Ref, err error) {
	ctx, cancel := clock.WithTimeout(ctx, s.env.Clock, s.env.StoreTimeout)
	defer cancel()
	err = actors.Contain(func() error {
		page, err = index.Due(ctx, from, until, after, limit, store.Options{Background: true})
		return err
	})
	return page, err
}

func (s *Supervisor) swept(m *swept) {
	if m.err != nil {
		s.env.Log.Warn("the store's deadline index did not answer; it is asked again", zap.Error(m.err))
	}
	for _, c := range m.ceilings {
		s.claimAt(c)
	}
	if !s.closing {
		// Not now: what came due while the store answered is asked for at once. Later than now where the
		// clock was set back meanwhile.
		next, now := m.asked, s.now()
		if m.err != nil || now.Before(next) {
			next = now
		}
		s.due.add(&timer{what: dutySweep}, next.Add(sweepEvery).Unix())
	}
}

// claimAt claims what is due when c is reached.
func (s *Supervisor) claimAt(c session.Ceiling) {
	second := c.Deadline().Unix()
	if second > s.now().Add(sweepWindow).Unix() || s.claims[second] || s.closing {
		return
	}
	s.claims[second] = true
	s.due.add(&timer{what: dutyClaim}, second)
}

func (s *Supervisor) claim() {
	if s.closing || s.index == nil {
		return
	}
	limit := min(claimBatch, s.spare())
	if limit <= 0 {
		s.crowded()
		return
	}
	s.claiming += limit
	env, index := s.env, s.index
	until := session.Ceiling(s.now().Add(session.CeilingLeeway).Unix() + 1)
	env.Runner.Run(actors.StoreWork, func(ctx context.Context) any {
		ctx, cancel := clock.WithTimeout(ctx, env.Clock, env.StoreTimeout)
		defer cancel()
		var refs []store.Ref
		err := actors.Contain(func() (err error) {
			refs, err = index.ClaimDue(ctx, until, limit, claimHold, store.Options{Background: true})
			return err
		})
		m := &claimed{err: err, limit: limit}
		for _, r := range refs {
			m.refs = append(m.refs, sleeper{r.Key, r.Incarnation})
		}
		return m
	}, func(m any) { s.send(s.self, m) })
}

// spare is how many more sessions may be in memory only to be deleted: where that fails they stay, and
// are to leave room for others, none of which goes for them.
func (s *Supervisor) spare() int {
	return min(max(s.limits.Resident/2, 1)-s.erasing, 2*s.limits.Resident-s.awake) - s.claiming
}

// crowded has those that are due wait for a second. Of others one goes where they are more than
// there should be.
func (s *Supervisor) crowded() {
	if s.awake-s.erasing > s.limits.Resident {
		s.evict()
	}
	s.claimIn(1)
}

// claimIn claims again in some seconds, or before, where that was to be.
func (s *Supervisor) claimIn(seconds int64) {
	second := s.now().Unix() + seconds
	if s.again.place == 0 || second < s.again.second {
		s.again.what = dutyClaimAgain
		s.due.add(&s.again, second)
	}
}

// claimed deletes what was claimed, but for sessions that are awake or on their way, which
// end by themselves, and those that have ended meanwhile. One that is awake and of another
// login than the store says is told to look.
func (s *Supervisor) claimed(m *claimed) {
	s.claiming -= m.limit
	refs, more := m.refs[:0], len(m.refs) == m.limit
	for _, r := range m.refs {
		sl := s.slots.get(r.key)
		switch {
		case sl == nil, !sl.resident() && sl.entry.Snapshot().Incarnation != r.only:
			refs = append(refs, r)
		case sl.known().load != nil, sl.ending:
		default:
			if now := sl.entry.Snapshot(); now.Phase == directory.Ready && now.Incarnation != r.only {
				s.command(sl, &messages.Reread{Key: r.key})
			}
		}
	}
	s.endAsleep(refs)
	switch {
	case s.closing:
	case m.err != nil:
		s.env.Log.Warn("sessions that are due could not be claimed; they are tried again", zap.Error(m.err))
		s.claimIn(claimAgain)
	case more:
		s.claim()
	}
}

// eraseAll deletes sessions that are not in memory, for which that has failed once. Each gets an actor for as long as that
// takes, which tries until the store has done it.
func (s *Supervisor) eraseAll(refs []sleeper) {
	for _, r := range refs {
		s.end(&messages.EndSession{Key: r.key, Only: r.only, Why: session.ReasonCeiling})
		if sl := s.slots.get(r.key); sl != nil && sl.pid() != nil && !sl.erasing {
			sl.erasing = true
			s.erasing++
			s.idle.cancel(sl) // it goes by itself
		}
	}
}

// erased notes that sl is not, or no longer, in memory only to be deleted.
func (s *Supervisor) erased(sl *slot) {
	if sl.erasing {
		sl.erasing = false
		s.erasing--
	}
}
