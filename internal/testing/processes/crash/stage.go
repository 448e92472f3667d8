package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// patience is how long anything may take on a machine that is busy; nothing waits for it to
// pass.
const patience = 2 * time.Minute

// stage is everything around the children of one campaign.
type stage struct {
	home     home
	sessions int
	fault    Fault

	provider *provider
	reader   reader
	eye      store.StateStore // looks at the store from outside; nil where only one process can
	shut     func() error

	strike    func(*process) // what happens when the moment has come
	now       atomic.Pointer[process]
	lives     int
	audiences atomic.Int64
}

// newStage makes one. strike is called when a trap has sprung, for the child that it was laid
// for.
func newStage(ctx context.Context, h home, plan Plan, strike func(*process)) (s *stage, err error) {
	s = &stage{home: h, sessions: plan.Sessions, fault: plan.Fault, strike: strike, shut: func() error { return nil }}
	if s.reader, err = newReader(); err != nil {
		return nil, err
	}
	if h.Kind.shared() {
		if s.eye, s.shut, err = h.open(ctx, zap.NewNop()); err != nil {
			return nil, err
		}
	}
	if s.provider, err = newProvider(plan.Sessions, plan.Overlap, s.sprung); err != nil {
		return nil, errors.Join(err, s.shut())
	}
	return s, nil
}

// close ends everything that still runs, children included.
func (s *stage) close() error {
	if p := s.now.Load(); p != nil {
		p.kill()
		<-p.gone
	}
	s.provider.close()
	return s.shut()
}

// start starts a child and waits until it serves.
func (s *stage) start(ctx context.Context) (*process, error) {
	s.lives++
	life := strconv.Itoa(s.lives)
	s.provider.welcome(life)
	p, err := startProcess(setup{s.home, s.provider.issuer(), life, s.fault}, s.heard, s.sprung, func(what string) { s.provider.object("the child: %s", what) })
	if err != nil {
		return nil, err
	}
	s.now.Store(p)
	return p, p.await(ctx)
}

// heard keeps the ledger of what callers were told.
func (s *stage) heard(o order, r report) {
	if o.Do == ask && r.Code == "" {
		s.provider.acknowledges(o.Session, o.Audience, r.Token)
	}
}

// sprung strikes, unless that child is not the present one any more.
func (s *stage) sprung(life string) {
	if p := s.now.Load(); p != nil && p.life == life {
		s.strike(p)
	}
}

// kill kills a child with kill -9. What it had sent to the provider and was not begun is lost.
func (s *stage) kill(p *process) {
	p.kill()
	s.provider.farewell(p.life)
}

// objectTo objects where a child has said what none may say.
func (s *stage) objectTo(p *process) {
	if said := p.said.alarmed(); said != "" {
		s.provider.object("the child said: %s", said)
	}
}

// set lays a trap for the child.
func (s *stage) set(ctx context.Context, p *process, t trap) error {
	switch {
	case t.At.atProvider():
		s.provider.set(t)
	case t.At.inChild():
		_, err := p.do(ctx, order{Do: setTrap, Trap: t})
		return err
	default:
		clock.System().AfterFunc(t.After, func() { s.sprung(p.life) })
	}
	return nil
}

// newAudience returns one for which no session has a token.
func (s *stage) newAudience() string { return audienceOf(s.audiences.Add(1)) }

// look lets f look at the store while no child has it.
func (s *stage) look(ctx context.Context, f func(store.StateStore) error) error {
	if s.eye != nil {
		return f(s.eye)
	}
	eye, shut, err := s.home.open(ctx, zap.NewNop())
	if err != nil {
		return err
	}
	return errors.Join(f(eye), shut())
}

// stored returns the refresh tokens that the store holds.
func (s *stage) stored(ctx context.Context) (tokens []string, err error) {
	err = s.look(ctx, func(eye store.StateStore) error {
		tokens, err = s.reader.stored(ctx, eye, s.sessions)
		return err
	})
	return tokens, err
}

// storedOf returns the refresh token that the store holds for one session.
func (s *stage) storedOf(ctx context.Context, number int) (token string, err error) {
	err = s.look(ctx, func(eye store.StateStore) error {
		token, err = s.reader.storedOf(ctx, eye, number)
		return err
	})
	return token, err
}

// orphaned returns the sessions with an intent that no process follows up.
func (s *stage) orphaned(ctx context.Context) (keys []session.Key, err error) {
	err = s.look(ctx, func(eye store.StateStore) error {
		intents, ok := store.As[store.Intents](eye)
		if !ok {
			return errors.New("a store without intents")
		}
		found, err := intents.StaleIntents(ctx, 10_000, store.Options{})
		for _, o := range found {
			keys = append(keys, o.Key)
		}
		return err
	})
	return keys, err
}

// refusedWrongly objects: a session that was not lost was refused a token.
func (s *stage) refusedWrongly(number int, r report) {
	s.provider.object("session %d was refused a token: %s", number, r.Text)
}

// signIn signs the users of the given sessions in.
func (s *stage) signIn(ctx context.Context, p *process, sessions []int) error {
	return each(sessions, 16, func(i int) error {
		r, err := p.do(ctx, order{Do: signIn, Session: i})
		if err == nil && r.Code != "" {
			err = fmt.Errorf("the login of session %d: %s", i, r.Text)
		}
		return err
	})
}

// load has workers ask for tokens until the child is gone or ctx ends. Which sessions they ask
// is the seed's. What a caller was refused, refused judges.
func (s *stage) load(ctx context.Context, p *process, seed uint64, workers int, refused func(number int, r report)) error {
	return each(upTo(workers), workers, func(i int) error {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		for ctx.Err() == nil {
			number := random.IntN(s.sessions)
			r, err := p.do(ctx, order{Do: ask, Session: number, Audience: s.newAudience()})
			switch {
			case err != nil && (errors.Is(err, errGone) || errors.Is(context.Cause(ctx), errEnough)):
				return nil
			case err != nil:
				return err
			case r.Code != "":
				refused(number, r)
			}
		}
		return nil
	})
}

// errEnough ends a load.
var errEnough = errors.New("crash: enough")

// upTo returns the numbers below n.
func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// each calls f for each of the numbers, by some workers, and returns the first error.
func each(numbers []int, workers int, f func(int) error) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
		next  int
	)
	for range min(workers, len(numbers)) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := first != nil || i >= len(numbers)
				mu.Unlock()
				if stop {
					return
				}
				if err := f(numbers[i]); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}

// sessionsOf returns the sessions that orders ask for a token, each once.
func sessionsOf(orders []order) (list []int) {
	for _, o := range orders {
		if o.Do == ask && !slices.Contains(list, o.Session) {
			list = append(list, o.Session)
		}
	}
	return list
}

// settled waits until the store has no intents.
func (s *stage) settled(ctx context.Context, p *process) error {
	left := 0
	err := until(ctx, "the end of all intents", func() (bool, error) {
		r, err := p.do(ctx, order{Do: staleIntents})
		if err == nil && r.Code != "" {
			err = fmt.Errorf("stale intents: %s", r.Text)
		}
		left = r.Number
		return left == 0, err
	})
	if err != nil {
		return fmt.Errorf("%d intents stand: %w", left, err)
	}
	return nil
}
