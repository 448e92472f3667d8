package grants

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
)

// flight is one request, shared by all callers who join it. token and err are set before done is closed.
type flight struct {
	call  *Call // of the caller who began it
	done  chan struct{}
	token Token
	err   error
}

// join returns the token that answers call, or the flight to wait for, or why there is neither. The cache is looked at
// under the lock under which a flight ends: who comes too late to join it finds its token.
func (c *Cache) join(call *Call) (Token, *flight, error) {
	k := call.key()
	for {
		now := c.Clock.Now()
		p, held := c.shard(&k).open(k), c.holds.of(&k.Source, now)
		p.mu.Lock()
		if p.out.Load() {
			p.mu.Unlock()
			continue
		}
		t, f, err := c.joinAt(p, call, held, now)
		p.mu.Unlock()
		if f != nil && f.call == call { // no other call began it
			c.send(p, f)
		}
		return t, f, err
	}
}

// joinAt is join at the place of call. The caller holds p.mu.
func (c *Cache) joinAt(p *place, call *Call, held error, now time.Time) (Token, *flight, error) {
	if t, ok := c.cached(p, call, now); ok {
		return t, nil, nil
	}
	i := slices.IndexFunc(p.flights, func(f *flight) bool { return f.call.Query.Key == call.Query.Key })
	switch {
	case i >= 0:
		return Token{}, p.flights[i], nil
	case held != nil:
		return Token{}, nil, held
	case len(p.flights) > c.Limits.QueuedQueries:
		return Token{}, nil, session.ErrOverloaded
	}
	f := &flight{call: call, done: make(chan struct{})}
	p.flights = append(p.flights, f)
	return Token{}, f, nil
}

// cached returns the token of p that meets the demand of call, and whether there is one. A token that does not
// meet it is the answer all the same where a request was made for such a demand a moment ago (session.Demanded). The caller
// holds p.mu.
func (c *Cache) cached(p *place, call *Call, now time.Time) (t Token, ok bool) {
	s := p.shown.Load()
	if s == nil {
		return t, false
	}
	q, d, buffer := call.Query, &call.Demand, c.Apply.Buffer
	if !s.tokens.Lookup(q, now, max(buffer, d.MinRemaining), &t.Token) {
		if d.MinRemaining <= buffer || !s.tokens.Lookup(q, now, buffer, &t.Token) || p.demanded.MayRenew(q.Key, &t.Token, now) {
			return Token{}, false
		}
	}
	if d.Refuses(t.AccessToken) && p.demanded.MayRefuse(q.Key, now) {
		return Token{}, false
	}
	p.use()
	t.Issued = s.types[t.AccessToken]
	return t, true
}

// send makes the request of f. Its deadline counts from when it has its permit.
func (c *Cache) send(p *place, f *flight) {
	var r session.TokenResponse
	var err error
	c.Ask(f.call.Issuer, f.call.Strangers, func(ctx context.Context) error {
		ctx, cancel := clock.WithTimeout(ctx, c.Clock, c.Limits.FlightTimeout)
		defer cancel()
		err = actors.Contain(func() (err error) {
			r, err = f.call.Fetch(ctx)
			return err
		})
		return err
	}, func(refused error) {
		if refused != nil {
			c.complete(p, f, Token{}, f.call.refused(refused))
			return
		}
		c.answered(p, f, r, err)
	})
}

// refused returns why no request may be sent, as callers see it.
func (call *Call) refused(err error) error {
	if errors.As(err, new(*session.BreakerOpenError)) {
		return call.Failure(err)
	}
	return err // session.ErrOverloaded, session.ErrClosed
}

// answered ends f with what the provider said.
func (c *Cache) answered(p *place, f *flight, r session.TokenResponse, err error) {
	now := c.Clock.Now()
	p.mu.Lock()
	was := p.state
	var t Token
	if err == nil {
		t, err = c.apply(p, f, r, now)
	}
	p.note(f, was, &t.Token, err, now)
	p.mu.Unlock()
	if err != nil {
		err = c.failure(f.call, was, err)
		c.holds.note(p.key.Source, err, now)
	}
	c.complete(p, f, t, err)
}

// failure returns err as callers see it, without the tokens that was has.
func (c *Cache) failure(call *Call, was *session.State, err error) error {
	switch {
	case c.Closed():
		return session.ErrClosed // which cut the request off
	case errors.Is(err, session.ErrInternal):
		return err
	}
	return new(session.Held).Redact(call.Failure(err), was)
}

// apply keeps the token of a good answer. The caller holds p.mu.
func (c *Cache) apply(p *place, f *flight, r session.TokenResponse, now time.Time) (Token, error) {
	r.RefreshToken, r.IDToken, r.IDClaims = "", "", nil // of no use here (RFC 6749 section 4.4.3), and not kept
	o, until := c.Apply, f.call.Until
	if until == 0 && o.DefaultLifetime == session.AsLongAsTheSession {
		o.DefaultLifetime = 0 // there is no session
	}
	with := *p.state
	with.Internal.EndsAt = until
	next, token, err := with.ApplyRefresh(f.call.Query, r, now, o)
	if err != nil {
		return Token{}, err
	}
	next = next.WithoutRefused(&f.call.Demand, token.AccessToken)
	for i := range next.TokenSets {
		if set := &next.TokenSets[i]; until != 0 && set.ExpiresAt > until {
			set.ExpiresAt = until
		}
	}
	if until != 0 && token.ExpiresAt.Unix() > until {
		token.ExpiresAt = time.Unix(until, 0).UTC()
	}
	p.keep(next, token.AccessToken, r.IssuedTokenType)
	return Token{token, r.IssuedTokenType, true}, nil
}

// note remembers that f was sent to meet a demand. A request that was sent because the cache had nothing at all does not
// count against a refused token. The caller holds p.mu.
func (p *place) note(f *flight, was *session.State, t *session.Token, err error, now time.Time) {
	if err != nil {
		t = nil
	}
	d, k := &f.call.Demand, f.call.Query.Key
	if was.WithoutRefused(d, "") != was {
		p.demanded.Note(k, true, t, now)
	}
	if d.MinRemaining > 0 {
		p.demanded.Note(k, false, t, now)
	}
}

// complete answers all who wait for f, in this order: the answer is set, f can be joined no more, the callers go on.
func (c *Cache) complete(p *place, f *flight, t Token, err error) {
	f.token, f.err = t, err
	p.mu.Lock()
	p.flights = slices.DeleteFunc(p.flights, func(other *flight) bool { return other == f })
	tokens := len(p.state.TokenSets)
	p.mu.Unlock()
	c.shard(&p.key).weigh(p, tokens)
	close(f.done)
}
