// Package grants keeps access tokens that cost no session its refresh token: those of the application itself (client
// credentials, RFC 6749 section 4.4), and those that another token was exchanged for (RFC 8693). They are in memory
// only.
//
// Any number of callers who want the same token at once share one request, a flight. It belongs to none of them. Flights
// for different tokens do not wait for each other, since there is no refresh token to spend in turn.
package grants

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"sync/atomic"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

// Source says with what tokens are got. Of equal sources and queries one token is as good as the other, for every caller.
type Source struct {
	Of          session.RegistrationID // the application; zero where Session says it
	Session     session.Key            // on whose behalf; zero: no session's
	Incarnation session.Incarnation    // of that session: another login is another source
	Subject     [32]byte               // a hash of what is exchanged, and how; zero: nothing is
}

// Call is one caller's query, and what a request for it needs.
type Call struct {
	Source    Source
	Issuer    string // that is asked
	Query     *session.TokenQuery
	Demand    session.Demand
	Strangers bool  // the request takes a permit of those that strangers can cause
	Until     int64 // in seconds since the Unix epoch: the token is kept no longer, nor said to be good for longer; 0: as long as it lives

	// Fetch makes the request. Its context is not the caller's.
	Fetch func(context.Context) (session.TokenResponse, error)
	// Failure makes the error that callers get of that of a request.
	Failure func(error) error
}

// Token is an access token, and the type that an exchange's answer says it has.
type Token struct {
	session.Token
	Issued string // issued_token_type (RFC 8693 section 2.2.1), "" where the answer has none
	Fresh  bool   // the answer to a request that the caller waited for, however short its life
}

// Format prints nothing of the exchanged token.
func (call *Call) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "call of a grant") }

// Config is what a Cache is made with.
type Config struct {
	Clock  clock.Clock
	Limits session.Limits
	Apply  session.ApplyOptions // how answers are judged and kept; Buffer among them

	// Ask waits until a request may be sent to a provider, for strangers or for users, without a goroutine of its own. Then it
	// calls ask, and afterwards answered. Where none may be sent it calls answered with the reason.
	Ask     func(issuer string, strangers bool, ask func(context.Context) error, answered func(refused error))
	Closed  func() bool     // calls are refused
	Stopped <-chan struct{} // closed when the client has stopped
}

// Cache holds the tokens, and the flights that can be joined.
type Cache struct {
	Config
	shards []shard
	seed   maphash.Seed
	holds  holds
	quick  atomic.Pointer[[]quick]
}

// Format prints nothing of the tokens.
func (c *Cache) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "tokens of grants") }

// New returns an empty Cache.
func New(cfg Config) *Cache {
	c := &Cache{Config: cfg, shards: newShards(cfg.Limits.GrantedTokens), seed: maphash.MakeSeed()}
	c.quick.Store(new([]quick))
	return c
}

// Hit fills in the cached token of an application for q, and reports whether there is one. It allocates nothing, and
// takes no lock for the first few queries, each of which is known by its pointer.
func (c *Cache) Hit(of session.RegistrationID, q *session.TokenQuery, token *session.Token) bool {
	if c.Closed() {
		return false
	}
	for _, known := range *c.quick.Load() {
		if known.query == q && known.of == of && !known.place.out.Load() {
			return c.hit(known.place, q, token)
		}
	}
	k := key{Source{Of: of}, q.Key.Audience}
	p := c.shard(&k).find(k)
	if p == nil || !c.hit(p, q, token) {
		return false
	}
	c.remember(quick{q, of, p})
	return true
}

func (c *Cache) hit(p *place, q *session.TokenQuery, token *session.Token) bool {
	s := p.shown.Load()
	if s == nil || !s.tokens.Lookup(q, c.Clock.Now(), c.Apply.Buffer, token) {
		return false
	}
	p.use()
	return true
}

// Cached returns the cached token that answers call, and whether there is one.
func (c *Cache) Cached(call *Call) (t Token, ok bool) {
	k := call.key()
	p := c.shard(&k).find(k)
	if p == nil || c.Closed() {
		return t, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return c.cached(p, call, c.Clock.Now())
}

// Get returns a token for call: from the cache, or of the flight that it joins, or begins. A caller whose ctx ends gets its
// error, and the flight goes on. It fails with session.ErrClosed, with session.ErrOverloaded, or as call.Failure makes it.
func (c *Cache) Get(ctx context.Context, call *Call) (Token, error) {
	for {
		if c.Closed() {
			return Token{}, session.ErrClosed
		}
		t, f, err := c.join(call)
		if f == nil {
			return t, err
		}
		if err := c.wait(ctx, f); err != nil {
			return Token{}, err
		}
		if f.err == nil && f.call.Demand != call.Demand && call.Demand.Refuses(f.token.AccessToken) {
			continue // the flight was begun before that token was refused
		}
		return f.token, f.err
	}
}

// wait waits until f is done. It fails where ctx or the client ends first.
func (c *Cache) wait(ctx context.Context, f *flight) error {
	select {
	case <-f.done:
	case <-ctx.Done():
	case <-c.Stopped:
	}
	select {
	case <-f.done: // select chooses at random among what is ready
		return nil
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return session.ErrClosed
}

// Forget drops the tokens of a source for a query's audience, for example since its session has ended.
func (c *Cache) Forget(call *Call) {
	k := call.key()
	c.shard(&k).forget(k)
}

func (call *Call) key() key { return key{call.Source, call.Query.Key.Audience} }
