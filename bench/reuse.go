package bench

import (
	"context"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokenward/tokenward/idp"
)

// ReuseSources is a map of oauth2.ReuseTokenSource, one for each session. It knows one
// audience and no ceiling, and a caller that waits cannot leave: Token takes no context, and
// holds its mutex during the refresh.
type ReuseSources struct {
	mu      sync.RWMutex
	sources map[string]oauth2.TokenSource
	roots   map[string]*rootSource
}

// rootSource refreshes. ReuseTokenSource calls it from one goroutine at a time.
type rootSource struct {
	idp          *idp.Client
	refreshToken string
}

// Token implements oauth2.TokenSource.
func (s *rootSource) Token() (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	t, next, err := refresh(ctx, s.idp, s.refreshToken, Request{})
	s.refreshToken = next
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: t.AccessToken, TokenType: "Bearer", Expiry: t.ExpiresAt}, nil
}

// NewReuseSources returns sources for the sessions.
func NewReuseSources(c *idp.Client, sessions []Session) *ReuseSources {
	r := &ReuseSources{sources: make(map[string]oauth2.TokenSource), roots: make(map[string]*rootSource)}
	for _, s := range sessions {
		root := &rootSource{c, s.RefreshToken}
		r.roots[s.ID] = root
		r.sources[s.ID] = oauth2.ReuseTokenSource(&oauth2.Token{AccessToken: s.Token, Expiry: s.ExpiresAt}, root)
	}
	return r
}

// Token returns an access token of the session.
func (r *ReuseSources) Token(id string) (*oauth2.Token, error) {
	r.mu.RLock()
	s := r.sources[id]
	r.mu.RUnlock()
	if s == nil {
		return nil, errNoSession
	}
	return s.Token()
}

// Expire makes the cached token of the session stale.
func (r *ReuseSources) Expire(id string) {
	r.mu.Lock()
	r.sources[id] = oauth2.ReuseTokenSource(&oauth2.Token{AccessToken: "stale", Expiry: time.Unix(1, 0)}, r.roots[id])
	r.mu.Unlock()
}
