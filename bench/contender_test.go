package bench

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

const (
	named   = "https://api.example.com"
	century = 100 * 365 * 24 * time.Hour
)

// contender is one way to keep tokens, with a provider of its own.
type contender struct {
	provider *Provider
	ids      []string

	// hits asks n times, for the ids in turn. Each contender writes this loop out, so
	// that nothing but the call is timed.
	hits func(ids []string, n int)

	ask    func(ctx context.Context, id string, r Request) error
	expire func()                 // makes every cached token stale
	stored func(id string) string // the refresh token that the store has; nil without a store
	close  func()
}

// maker makes a contender with n sessions whose provider answers after latency.
type maker func(n int, latency time.Duration) *contender

type entrant struct {
	name string
	make maker
}

// crowds are those who meet in bursts and storms.
var crowds = []entrant{
	{"tokenward", newTokenward},
	{"handwritten", newHandwritten},
	{"handwritten+saved", newSavedHandwritten},
	{"ReuseTokenSource", newReuse},
	{"singleflight", newSingle},
	{"RequestFuture", newAsked},
}

// hitters are those whose hits are timed.
var hitters = []entrant{
	{"tokenward", newHotTokenward},
	{"handwritten", newHandwritten},
	{"handwritten+mutex", newLockedHandwritten},
	{"ReuseTokenSource", newReuse},
	{"singleflight", newSingle},
	{"RequestFuture", newAsked},
}

func all(entrants []entrant, n int, latency time.Duration) []*contender {
	list := make([]*contender, len(entrants))
	for i, e := range entrants {
		list[i] = e.make(n, latency)
	}
	return list
}

// sink keeps the compiler from leaving out the calls that are timed.
var sink atomic.Int64

func ids(sessions []Session) []string {
	list := make([]string, len(sessions))
	for i, s := range sessions {
		list[i] = s.ID
	}
	return list
}

func newHandwritten(n int, latency time.Duration) *contender {
	p := NewProvider(n, century)
	p.Latency = latency
	sessions := Sessions(p, n, century)
	h := NewHandwritten(p.Client(), sessions)
	ctx := context.Background()
	return &contender{
		provider: p, ids: ids(sessions),
		hits: func(ids []string, n int) {
			got := 0
			for i, k := 0, 0; i < n; i++ {
				t, err := h.Token(ctx, ids[k], Request{})
				if err != nil {
					panic(err)
				}
				got += len(t.AccessToken)
				if k++; k == len(ids) {
					k = 0
				}
			}
			sink.Add(int64(got))
		},
		ask: func(ctx context.Context, id string, r Request) error {
			_, err := h.Token(ctx, id, r)
			return err
		},
		expire: func() {
			for _, s := range sessions {
				h.Expire(s.ID)
			}
		},
		close: func() {},
	}
}

// newLockedHandwritten takes the session's mutex on a hit too.
func newLockedHandwritten(n int, _ time.Duration) *contender {
	p := NewProvider(n, century)
	sessions := Sessions(p, n, century)
	h := NewHandwritten(p.Client(), sessions)
	ctx := context.Background()
	return &contender{
		provider: p, ids: ids(sessions), close: func() {},
		hits: func(ids []string, n int) {
			got := 0
			for i, k := 0, 0; i < n; i++ {
				t, err := h.TokenLocked(ctx, ids[k], Request{})
				if err != nil {
					panic(err)
				}
				got += len(t.AccessToken)
				if k++; k == len(ids) {
					k = 0
				}
			}
			sink.Add(int64(got))
		},
	}
}

// newSavedHandwritten keeps what a refresh brought in the same store as tokenward,
// sealed in the same way, before it answers.
func newSavedHandwritten(n int, latency time.Duration) *contender {
	p := NewProvider(n, century)
	p.Latency = latency
	sessions := Sessions(p, n, century)
	h := NewHandwritten(p.Client(), sessions)
	memory := store.NewMemory(clock.System())
	kept := make(map[string]*keptSession, n)
	for _, s := range sessions {
		k := &keptSession{
			key: keyOf(s.ID), state: s.state(),
			version: session.NewVersion(rand.Reader), incarnation: session.NewIncarnation(rand.Reader),
		}
		r, err := codec().Encode(k.key, k.state, k.version, k.incarnation)
		must(err)
		must(memory.Replace(context.Background(), k.key, r, store.Options{}))
		kept[s.ID] = k
	}
	h.Save = func(ctx context.Context, id, refreshToken string, tokens []HandToken) error {
		k := kept[id]
		state := *k.state
		state.RefreshToken = refreshToken
		state.TokenSets = make([]session.TokenSet, len(tokens))
		for i, t := range tokens {
			state.TokenSets[i] = session.TokenSet{
				Audience: t.Audience, AccessToken: t.AccessToken, Scope: t.Token.Scope,
				RequestedScope: t.Request.Scope, ExpiresAt: t.expires,
			}
		}
		version := session.NewVersion(rand.Reader)
		r, err := codec().Encode(k.key, &state, version, k.incarnation)
		if err == nil {
			err = memory.Update(ctx, k.key, k.version, r, store.Options{})
		}
		if err == nil {
			k.state, k.version = &state, version
		}
		return err
	}
	return &contender{
		provider: p, ids: ids(sessions), close: func() {},
		ask: func(ctx context.Context, id string, r Request) error {
			_, err := h.Token(ctx, id, r)
			return err
		},
		expire: func() {
			for _, s := range sessions {
				h.Expire(s.ID)
			}
		},
		stored: func(id string) string { return storedToken(memory, id) },
	}
}

type keptSession struct {
	key         session.Key
	state       *session.State
	version     session.Version
	incarnation session.Incarnation
}

func newReuse(n int, latency time.Duration) *contender {
	p := NewProvider(n, century)
	p.Latency = latency
	sessions := Sessions(p, n, century)
	r := NewReuseSources(p.Client(), sessions)
	return &contender{
		provider: p, ids: ids(sessions), close: func() {},
		hits: func(ids []string, n int) {
			got := 0
			for i, k := 0, 0; i < n; i++ {
				t, err := r.Token(ids[k])
				if err != nil {
					panic(err)
				}
				got += len(t.AccessToken)
				if k++; k == len(ids) {
					k = 0
				}
			}
			sink.Add(int64(got))
		},
		ask: func(_ context.Context, id string, _ Request) error {
			_, err := r.Token(id)
			return err
		},
		expire: func() {
			for _, s := range sessions {
				r.Expire(s.ID)
			}
		},
	}
}

func newSingle(n int, latency time.Duration) *contender {
	p := NewProvider(n, century)
	p.Latency = latency
	sessions := Sessions(p, n, century)
	s := NewSingleflight(p.Client(), sessions)
	ctx := context.Background()
	return &contender{
		provider: p, ids: ids(sessions), close: func() {},
		hits: func(ids []string, n int) {
			got := 0
			for i, k := 0, 0; i < n; i++ {
				t, err := s.Token(ctx, ids[k], Request{})
				if err != nil {
					panic(err)
				}
				got += len(t.AccessToken)
				if k++; k == len(ids) {
					k = 0
				}
			}
			sink.Add(int64(got))
		},
		ask: func(ctx context.Context, id string, r Request) error {
			_, err := s.Token(ctx, id, r)
			return err
		},
		expire: func() {
			s.mu.Lock()
			clear(s.tokens)
			s.mu.Unlock()
		},
	}
}

func newAsked(n int, latency time.Duration) *contender {
	p := NewProvider(n, century)
	p.Latency = latency
	sessions := Sessions(p, n, century)
	a := NewAsked(p.Client(), sessions)
	return &contender{
		provider: p, ids: ids(sessions), close: a.Close,
		hits: func(ids []string, n int) {
			got := 0
			for i, k := 0, 0; i < n; i++ {
				t, err := a.Token(ids[k], Request{})
				if err != nil {
					panic(err)
				}
				got += len(t.AccessToken)
				if k++; k == len(ids) {
					k = 0
				}
			}
			sink.Add(int64(got))
		},
		ask: func(_ context.Context, id string, r Request) error {
			_, err := a.Token(id, r)
			return err
		},
		expire: func() {
			for _, s := range sessions {
				a.Expire(s.ID)
			}
		},
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// crowd has callers goroutines ask for each session at once, for the requests in turn.
// It returns how long it took from the first question to the last answer, and how
// many failed.
func (c *contender) crowd(callers int, requests ...Request) (wall time.Duration, failed int64) {
	var (
		ready, done sync.WaitGroup
		errs        atomic.Int64
		start       = make(chan struct{})
		ctx         = context.Background()
	)
	for i := range callers {
		r := requests[i%len(requests)]
		for _, id := range c.ids {
			ready.Add(1)
			done.Go(func() {
				ready.Done()
				<-start
				if err := c.ask(ctx, id, r); err != nil {
					errs.Add(1)
				}
			})
		}
	}
	ready.Wait()
	from := time.Now()
	close(start)
	done.Wait()
	return time.Since(from), errs.Load()
}

func closeAll(list []*contender) {
	for _, c := range list {
		c.close()
	}
}
