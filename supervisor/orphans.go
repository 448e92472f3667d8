package supervisor

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A process that ends in the middle of a request leaves an intent behind. Every process
// looks for such orphans, at once when it starts and every few seconds after that; the
// session that has one presents its refresh token under the session's lease, where there are
// others, until the provider has said something about it (actors.Due says when). Within the
// provider's rotation overlap the session goes on.

const (
	orphansEvery = 5    // seconds
	orphansMost  = 1000 // in one look
	orphanSkip   = 600  // seconds until a session that could not be read is tried again
	maxSkipped   = 10_000
)

// lookForOrphans asks the store for intents that nobody follows up.
type lookForOrphans struct{ messages.Redacted }

// foundOrphans brings them.
type foundOrphans struct {
	messages.Redacted
	orphans []store.StaleIntent
	err     error
}

// orphans is what the supervisor remembers between two looks.
type orphans struct {
	failed bool                  // the last look
	skip   map[session.Key]int64 // sessions that cannot be read, until a second
}

func (s *Supervisor) lookForOrphans() {
	if s.env.Intents == nil || s.closing {
		return
	}
	env := s.env
	env.Runner.Run(actors.StoreWork, func(ctx context.Context) any {
		ctx, cancel := clock.WithTimeout(ctx, env.Clock, env.StoreTimeout)
		defer cancel()
		m := &foundOrphans{}
		m.err = actors.Contain(func() (err error) {
			m.orphans, err = env.Intents.StaleIntents(ctx, orphansMost, store.Options{Background: true})
			return err
		})
		return m
	}, func(m any) { s.send(s.self, m) })
}

func (s *Supervisor) foundOrphans(m *foundOrphans) {
	if s.closing {
		return
	}
	now, mono := s.now(), s.env.Clock.Mono()
	s.due.add(&timer{what: dutyOrphans}, now.Unix()+orphansEvery)
	o := &s.orphans
	if m.err != nil {
		if !o.failed {
			s.env.Log.Warn("the store did not say which requests were cut off; it is asked again", zap.Error(m.err))
		}
		o.failed = true
		s.env.Fresh.OutageUntil(mono + orphansEvery*time.Second + s.env.StoreTimeout) // by then the next look has said more
		return
	}
	if o.failed {
		s.env.Fresh.OutageUntil(mono)
	}
	o.failed = false
	if s.env.Fresh.MayRecover(mono) > 0 {
		return
	}
	for _, orphan := range m.orphans {
		if now.Unix() >= o.skip[orphan.Key] && actors.Due(orphan.Intent, now) {
			delete(o.skip, orphan.Key)
			s.followUp(&messages.RecoverIntent{Key: orphan.Key, Intent: orphan.Intent})
		}
	}
}

// followUp passes an orphan on to its session, which is brought into memory for it.
func (s *Supervisor) followUp(m *messages.RecoverIntent) {
	sl := s.slots.get(m.Key)
	switch {
	case sl != nil && (sl.pid() != nil || sl.idles()):
		s.command(sl, m)
	case sl != nil && sl.known().load != nil:
		sl.known().load.followUp = m
	case sl != nil && (sl.ending || s.env.Fresh.Remembers(&sl.entry, s.env.Clock)):
		// over, says what is remembered of it
	default:
		if sl != nil {
			s.drop(sl)
		}
		if !s.room() {
			return // the next look finds it again
		}
		sl = s.enter("", m.Key)
		sl.more().load = &load{key: m.Key, followUp: m}
		s.read(sl.known().load, nil)
	}
}

// skipOrphan leaves a session alone for a while that cannot be read.
func (s *Supervisor) skipOrphan(key session.Key) {
	if s.orphans.skip == nil || len(s.orphans.skip) >= maxSkipped {
		s.orphans.skip = make(map[session.Key]int64)
	}
	s.orphans.skip[key] = s.now().Unix() + orphanSkip
}
