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

// Stale intents. A process that ends in the middle of a request leaves an intent behind, whose lease lapses. Every process
// looks for such intents, at once when it starts and every few seconds after that. The session of
// one presents its refresh token, under the session's lease where there are other processes, until the provider
// has said something about it (actors.Due says when). Within the provider's rotation overlap the session goes on.
//
// After an outage of the store there is a grace period, in which no process recovers intents: the owners of lapsed
// leases may hold tokens that the store lacks, and save first.

const (
	// Seconds between two looks: as long as a lease by default. An intent is stale once its lease has lapsed, so it waits for two
	// leases at most.
	intentsEvery = 5

	// Intents in one look: about as many as a process has requests on the wire at most, by default. The next look finds more.
	intentsMost = 1000

	intentSkip = 600    // seconds until a session that could not be read is tried again
	maxSkipped = 10_000 // of these, remembered at once; one more and all are tried again
)

// lookForIntents orders a look for stale intents.
type lookForIntents struct{ messages.Redacted }

// foundIntents brings the stale intents that the store has.
type foundIntents struct {
	messages.Redacted
	stale []store.StaleIntent
	err   error
}

// intents is kept between two looks.
type intents struct {
	failed bool                  // the last look
	skip   map[session.Key]int64 // sessions that cannot be read, until a second
}

// lookForIntents asks the store for stale intents. Its answer is foundIntents, which times the next look, so there is never more than one
// under way.
func (s *Supervisor) lookForIntents() {
	if s.env.Intents == nil || s.closing {
		return
	}
	env := s.env
	env.Runner.Run(actors.StoreWork, func(ctx context.Context) any {
		ctx, cancel := clock.WithTimeout(ctx, env.Clock, env.Rules.StoreTimeout)
		defer cancel()
		m := &foundIntents{}
		m.err = actors.Contain(func() (err error) {
			m.stale, err = env.Intents.StaleIntents(ctx, intentsMost, store.Options{Background: true})
			return err
		})
		return m
	}, func(m any) { s.send(s.self, m) })
}

// foundIntents has each intent that is due recovered. A store that does not answer begins a grace period.
//
// Where one look fails and the next one does not, the outage ended somewhere in between. So the grace period is counted from the later end:
// while looks fail it is moved to the next look, and the first that succeeds ends that.
func (s *Supervisor) foundIntents(m *foundIntents) {
	if s.closing {
		return
	}
	now, mono := s.now(), s.env.Clock.Mono()
	s.due.add(&timer{kind: intentsTimer}, now.Unix()+intentsEvery)
	o := &s.intents
	if m.err != nil {
		if !o.failed {
			s.env.Log.Warn("the store did not say which requests were cut off; it is asked again", zap.Error(m.err))
		}
		o.failed = true
		s.env.Fresh.OutageUntil(mono + intentsEvery*time.Second + s.env.Rules.StoreTimeout) // by then the next look has said more
		return
	}
	if o.failed {
		s.env.Fresh.OutageUntil(mono)
	}
	o.failed = false
	if s.env.Fresh.MayRecover(mono) > 0 {
		return
	}
	for _, stale := range m.stale {
		if now.Unix() >= o.skip[stale.Key] && actors.Due(stale.Intent, now) {
			delete(o.skip, stale.Key)
			s.recoverIntent(&messages.RecoverIntent{Key: stale.Key, Intent: stale.Intent})
		}
	}
}

// recoverIntent passes a stale intent on to its session, which is brought into memory for it. What is done with it is the actor's to
// decide, by what it knows: the intent may be that of its own request on the wire, or of a token that was replaced since.
//
// A session that has ended is left alone, for its refresh token is not wanted any more. Nothing is queued here: an intent that is passed
// over is found by the next look.
func (s *Supervisor) recoverIntent(m *messages.RecoverIntent) {
	sl := s.residents.get(m.Key)
	switch {
	case sl != nil && (sl.pid() != nil || sl.idles()):
		s.command(sl, m)
	case sl != nil && sl.known().load != nil: // found passes it on
		sl.known().load.intent = m
	case sl != nil && (sl.ending || s.env.Fresh.Remembers(&sl.entry, s.env.Clock)):
		// the session has ended, as far as is remembered
	default:
		if sl != nil {
			s.drop(sl)
		}
		if !s.room() {
			return // the next look finds it again
		}
		sl = s.enter("", m.Key)
		sl.more().load = &load{key: m.Key, intent: m}
		s.read(sl.known().load, nil)
	}
}

// skipIntent leaves a session alone for a while that cannot be read. Its intent would have it loaded in vain every five seconds.
func (s *Supervisor) skipIntent(key session.Key) {
	if s.intents.skip == nil || len(s.intents.skip) >= maxSkipped {
		s.intents.skip = make(map[session.Key]int64)
	}
	s.intents.skip[key] = s.now().Unix() + intentSkip
}
