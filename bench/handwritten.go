package bench

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

const handShards = 256

// Handwritten is what an expert writes without actors: a sharded map of sessions,
// whose tokens are read through one atomic load and replaced as a whole; a mutex for
// each session, taken on a miss only; and one flight for each session over all
// audiences, for they spend one rotating refresh token.
//
// A hit goes through no interface, defers nothing and allocates nothing.
type Handwritten struct {
	seed   maphash.Seed
	shards [handShards]handShard
	idp    *idp.Client

	// Save, if not nil, keeps what a flight brought before its waiters are answered.
	Save func(ctx context.Context, id, refreshToken string, tokens []HandToken) error
}

type handShard struct {
	mu       sync.RWMutex
	sessions map[string]*handSession
	_        [32]byte // to the size of a cache line
}

type handSession struct {
	id      string
	ceiling int64                       // never changes: a login makes another session
	tokens  atomic.Pointer[[]HandToken] // what it points to is never changed

	mu           sync.Mutex // guards what follows, and who stores tokens
	refreshToken string
	flight       *handFlight // nil while there is none
}

// HandToken is one cached token and what it was asked for.
type HandToken struct {
	Request
	Token
	expires int64
}

type handFlight struct {
	request Request
	done    chan struct{}
	token   Token
	err     error
}

// NewHandwritten returns one that knows the sessions.
func NewHandwritten(c *idp.Client, sessions []Session) *Handwritten {
	h := &Handwritten{seed: maphash.MakeSeed(), idp: c}
	for i := range h.shards {
		h.shards[i].sessions = make(map[string]*handSession)
	}
	for _, s := range sessions {
		h.Add(s)
	}
	return h
}

// Add signs a session in.
func (h *Handwritten) Add(s Session) {
	hs := &handSession{id: s.ID, ceiling: int64(s.Ceiling), refreshToken: s.RefreshToken}
	hs.tokens.Store(&[]HandToken{{Token: Token{AccessToken: s.Token, ExpiresAt: s.ExpiresAt}, expires: s.ExpiresAt.Unix()}})
	sh := h.shard(s.ID)
	sh.mu.Lock()
	sh.sessions[s.ID] = hs
	sh.mu.Unlock()
}

// Delete forgets a session.
func (h *Handwritten) Delete(id string) {
	sh := h.shard(id)
	sh.mu.Lock()
	delete(sh.sessions, id)
	sh.mu.Unlock()
}

func (h *Handwritten) shard(id string) *handShard {
	return &h.shards[maphash.String(h.seed, id)%handShards]
}

func (h *Handwritten) find(id string) *handSession {
	sh := h.shard(id)
	sh.mu.RLock()
	s := sh.sessions[id]
	sh.mu.RUnlock()
	return s
}

// Token returns an access token of the session.
func (h *Handwritten) Token(ctx context.Context, id string, r Request) (Token, error) {
	sh := &h.shards[maphash.String(h.seed, id)%handShards]
	sh.mu.RLock()
	s := sh.sessions[id]
	sh.mu.RUnlock()
	if s == nil {
		return Token{}, errNoSession
	}
	now := time.Now().Unix()
	if s.over(now) {
		return Token{}, errExpired
	}
	tokens := *s.tokens.Load()
	for i := range tokens {
		if t := &tokens[i]; t.expires > now && t.Audience == r.Audience && t.Request.Scope == r.Scope {
			return t.Token, nil // one copy: nothing on a hit costs more but the clock
		}
	}
	return h.miss(ctx, s, r)
}

// TokenLocked is Token as most would write it: the session's mutex is taken on a hit
// too.
func (h *Handwritten) TokenLocked(ctx context.Context, id string, r Request) (Token, error) {
	s := h.find(id)
	if s == nil {
		return Token{}, errNoSession
	}
	now := time.Now().Unix()
	if s.over(now) {
		return Token{}, errExpired
	}
	s.mu.Lock()
	t, ok := s.cached(r, now)
	s.mu.Unlock()
	if ok {
		return t, nil
	}
	return h.miss(ctx, s, r)
}

func (s *handSession) over(now int64) bool {
	return s.ceiling != 0 && now >= s.ceiling-int64(session.CeilingLeeway/time.Second)
}

func (s *handSession) cached(r Request, now int64) (Token, bool) {
	tokens := *s.tokens.Load()
	for i := range tokens {
		if t := &tokens[i]; t.expires > now && t.Request == r {
			return t.Token, true
		}
	}
	return Token{}, false
}

// miss waits for the session's flight: for the same request its answer is ours,
// after another one it is our turn to look, and to exchange.
func (h *Handwritten) miss(ctx context.Context, s *handSession, r Request) (Token, error) {
	for {
		s.mu.Lock()
		now := time.Now().Unix()
		if s.over(now) {
			s.mu.Unlock()
			return Token{}, errExpired
		}
		if t, ok := s.cached(r, now); ok {
			s.mu.Unlock()
			return t, nil
		}
		f := s.flight
		if f == nil {
			f = &handFlight{request: r, done: make(chan struct{})}
			s.flight = f
			go h.exchange(s, f, s.refreshToken)
		}
		s.mu.Unlock()
		select {
		case <-f.done:
			if f.request == r {
				return f.token, f.err
			}
		case <-ctx.Done():
			return Token{}, ctx.Err()
		}
	}
}

// exchange belongs to the session: a caller whose context ends does not end it.
func (h *Handwritten) exchange(s *handSession, f *handFlight, refreshToken string) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	token, next, err := refresh(ctx, h.idp, refreshToken, f.request)
	f.token, f.err = token, err
	s.mu.Lock()
	s.refreshToken = next
	tokens := *s.tokens.Load()
	if err == nil {
		tokens = append(slices.DeleteFunc(slices.Clone(tokens), func(t HandToken) bool { return t.Request == f.request }),
			HandToken{Request: f.request, Token: token, expires: token.ExpiresAt.Unix()})
		s.tokens.Store(&tokens)
	}
	s.mu.Unlock()
	if h.Save != nil {
		if err := h.Save(ctx, s.id, next, tokens); err != nil && f.err == nil {
			f.err = err
		}
	}
	s.mu.Lock()
	s.flight = nil // only now: none is spent while the store lacks the newest
	s.mu.Unlock()
	close(f.done)
}

// Expire makes every cached token of the session stale.
func (h *Handwritten) Expire(id string) {
	s := h.find(id)
	s.mu.Lock()
	tokens := slices.Clone(*s.tokens.Load())
	for i := range tokens {
		tokens[i].expires = 0
	}
	s.tokens.Store(&tokens)
	s.mu.Unlock()
}
