package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// Request says which token is wanted.
type Request struct{ Audience, Scope string }

// Token is what the baselines hand out: what an oauth2.Token tells, without its
// allocation.
type Token struct {
	AccessToken string
	Scope       string
	ExpiresAt   time.Time
}

// Session is how a session begins: signed in, with one token in the cache.
type Session struct {
	ID           string
	Family       int // at the provider
	RefreshToken string
	Ceiling      session.Ceiling
	Token        string
	ExpiresAt    time.Time
}

// Sessions returns n sessions that p knows. Their ceiling is the furthest there is,
// their tokens last for life.
func Sessions(p *Provider, n int, life time.Duration) []Session {
	list := make([]Session, n)
	for i := range list {
		list[i] = Session{
			ID: session.RandomString(rand.Reader, 43), Family: i, RefreshToken: p.First(i), Ceiling: 9_999_999_999,
			Token: "access", ExpiresAt: time.Unix(time.Now().Add(life).Unix(), 0).UTC(),
		}
	}
	return list
}

var (
	errNoSession = errors.New("bench: no such session")
	errExpired   = errors.New("bench: the session has reached its ceiling")
)

// requestTimeout is how long a refresh may take, by whichever contender.
const requestTimeout = 10 * time.Second

// refresh spends a refresh token as tokenward does, and returns the next one.
func refresh(ctx context.Context, c *idp.Client, refreshToken string, r Request) (Token, string, error) {
	t, err := c.Refresh(ctx, idp.RefreshRequest{
		Issuer: issuer, RefreshToken: refreshToken, Audience: r.Audience, Scope: r.Scope,
	})
	next := refreshToken
	if t.RefreshToken != "" {
		next = t.RefreshToken
	}
	if err != nil {
		return Token{}, next, err
	}
	scope := r.Scope
	if t.HasScope {
		scope = t.Scope
	}
	expires := time.Unix(time.Now().Unix()+t.ExpiresIn, 0).UTC()
	return Token{AccessToken: t.AccessToken, Scope: scope, ExpiresAt: expires}, next, nil
}
