package bench

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

const sealSecret = "a secret of at least thirty-two bytes"

// skewed is the machine's clock, set forward by a test. Unlike clock.Fake it takes no
// lock, so it costs next to nothing.
type skewed struct {
	clock.Clock
	by atomic.Int64
}

func (s *skewed) Now() time.Time { return s.Clock.Now().Add(time.Duration(s.by.Load())) }

// tokenLife is how long tokens last where they are made stale by setting tokenward's
// clock forward: short beside what else depends on time, such as cached metadata.
const tokenLife = 20 * time.Second

// library is tokenward with its sessions in memory.
type library struct {
	client   *tokenward.Client
	sessions []Session
	provider *Provider
	store    *store.Memory
}

// newLibrary puts the sessions into a store, as logins would, and has each loaded.
func newLibrary(n int, latency, life time.Duration, c clock.Clock, opts ...tokenward.Option) *library {
	p := NewProvider(n, life)
	p.Latency = latency
	l := &library{provider: p, sessions: Sessions(p, n, life)}
	memory := store.NewMemory(c)
	l.store = memory
	for _, s := range l.sessions {
		key := keyOf(s.ID)
		r, err := codec().Encode(key, s.state(), session.NewVersion(rand.Reader), session.NewIncarnation(rand.Reader))
		must(err)
		must(memory.Replace(context.Background(), key, r, store.Options{}))
	}
	var err error
	l.client, err = tokenward.New(tokenward.Config{
		Issuer: issuer, ClientID: clientID, ClientSecret: clientSecret, Secrets: []string{sealSecret},
	}, append([]tokenward.Option{
		tokenward.WithLogger(zap.NewNop()), tokenward.WithClock(c), tokenward.WithStateStore(memory), tokenward.WithHTTPClient(p.HTTP()),
		tokenward.WithLimits(limits(n)),
	}, opts...)...)
	must(err)
	for _, s := range l.sessions {
		_, err := l.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(s.ID))
		must(err)
	}
	return l
}

func limits(n int) tokenward.Limits {
	return tokenward.Limits{Resident: 2 * n, PassivateAfter: century, FlightTimeout: time.Hour}
}

var codec = sync.OnceValue(func() *store.Codec {
	sealer, err := store.NewSealer("_a0_session", rand.Reader, sealSecret)
	must(err)
	return &store.Codec{Sealer: sealer, Domain: issuer}
})

func keyOf(id string) session.Key { return session.KeyOf("_a0_session", id) }

// storedToken returns the refresh token that m has for a session.
func storedToken(m *store.Memory, id string) string {
	r, err := m.Load(context.Background(), keyOf(id), store.Options{})
	must(err)
	s, err := codec().Decode(keyOf(id), r)
	must(err)
	return s.RefreshToken
}

func (s Session) state() *session.State {
	return &session.State{
		User:         session.User{"sub": "auth0|" + s.ID, "name": "Ada", "email": "ada@example.com", "email_verified": true}.Raw(),
		IDToken:      "header.payload.signature",
		RefreshToken: s.RefreshToken,
		TokenSets: []session.TokenSet{
			{Audience: session.DefaultAudience, AccessToken: s.Token, ExpiresAt: s.ExpiresAt.Unix()},
		},
		Internal: session.Internal{SID: s.ID, CreatedAt: s.ExpiresAt.Unix() - 86400, Ceiling: s.Ceiling},
	}
}

func (l *library) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	must(l.client.Close(ctx))
}

func newTokenward(n int, latency time.Duration) *contender {
	clk := &skewed{Clock: clock.System()}
	unbounded := limits(n) // as the others are
	unbounded.ProviderRequests = 2 * max(n, 1024)
	l := newLibrary(n, latency, tokenLife, clk, tokenward.WithLimits(unbounded))
	return &contender{
		provider: l.provider, ids: ids(l.sessions),
		ask: func(ctx context.Context, id string, r Request) error {
			_, err := l.client.GetAccessToken(ctx, tokenward.TokenRequest{Audience: r.Audience, Scope: r.Scope}, tokenward.SessionID(id))
			return err
		},
		expire: func() { clk.by.Add(int64(tokenLife)) },
		stored: func(id string) string { return storedToken(l.store, id) },
		close:  l.Close,
	}
}

// newHotTokenward is tokenward with the system's clock and tokens that last.
func newHotTokenward(n int, _ time.Duration) *contender {
	l := newLibrary(n, 0, century, clock.System())
	return &contender{
		provider: l.provider, ids: ids(l.sessions), hits: l.hits(tokenward.TokenRequest{}), close: l.Close,
	}
}

func (l *library) hits(r tokenward.TokenRequest) func(ids []string, n int) {
	c, ctx := l.client, context.Background()
	return func(ids []string, n int) {
		got := 0
		for i, k := 0, 0; i < n; i++ {
			t, err := c.GetAccessToken(ctx, r, tokenward.SessionID(ids[k]))
			if err != nil {
				panic(err)
			}
			got += len(t.AccessToken)
			if k++; k == len(ids) {
				k = 0
			}
		}
		sink.Add(int64(got))
	}
}

// machineHits asks for the application's own token.
func (l *library) machineHits(r tokenward.MachineRequest) func(ids []string, n int) {
	c, ctx := l.client, context.Background()
	return func(_ []string, n int) {
		got := 0
		for range n {
			t, err := c.MachineToken(ctx, r)
			if err != nil {
				panic(err)
			}
			got += len(t.AccessToken)
		}
		sink.Add(int64(got))
	}
}

// handleHits asks through a handle for each id.
func (l *library) handleHits(ids []string) func(ids []string, n int) {
	handles := make([]*tokenward.Handle, len(ids))
	for i, id := range ids {
		handles[i] = l.client.Session(id)
	}
	ctx := context.Background()
	return func(_ []string, n int) {
		got := 0
		for i, k := 0, 0; i < n; i++ {
			t, err := handles[k].GetAccessToken(ctx, tokenward.TokenRequest{})
			if err != nil {
				panic(err)
			}
			got += len(t.AccessToken)
			if k++; k == len(handles) {
				k = 0
			}
		}
		sink.Add(int64(got))
	}
}
