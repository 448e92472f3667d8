package bench

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/tokenward/tokenward/idp"
)

// Singleflight is the classic: one map of tokens, one mutex, and singleflight by
// session and audience. With more than one audience it spends a rotating refresh
// token twice and loses the session; it knows no ceiling, and the refresh belongs
// to the caller who happened to start it.
type Singleflight struct {
	mu     sync.RWMutex
	tokens map[flightKey]Token
	spend  map[string]string // refresh tokens
	group  singleflight.Group
	idp    *idp.Client
}

type flightKey struct {
	id string
	Request
}

// NewSingleflight returns one that knows the sessions.
func NewSingleflight(c *idp.Client, sessions []Session) *Singleflight {
	s := &Singleflight{tokens: make(map[flightKey]Token), spend: make(map[string]string), idp: c}
	for _, one := range sessions {
		s.spend[one.ID] = one.RefreshToken
		s.tokens[flightKey{id: one.ID}] = Token{AccessToken: one.Token, ExpiresAt: one.ExpiresAt}
	}
	return s
}

// Token returns an access token of the session.
func (s *Singleflight) Token(ctx context.Context, id string, r Request) (Token, error) {
	k := flightKey{id, r}
	if t, ok := s.cached(k); ok {
		return t, nil
	}
	v, err, _ := s.group.Do(id+"\x00"+r.Audience+"\x00"+r.Scope, func() (any, error) {
		if t, ok := s.cached(k); ok {
			return t, nil
		}
		s.mu.RLock()
		spend := s.spend[id]
		s.mu.RUnlock()
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		t, next, err := refresh(ctx, s.idp, spend, r)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.spend[id] = next
		if err == nil {
			s.tokens[k] = t
		}
		return t, err
	})
	t, _ := v.(Token)
	return t, err
}

func (s *Singleflight) cached(k flightKey) (Token, bool) {
	s.mu.RLock()
	t, ok := s.tokens[k]
	s.mu.RUnlock()
	return t, ok && time.Now().Before(t.ExpiresAt)
}
