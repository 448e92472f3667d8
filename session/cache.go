package session

import (
	"fmt"
	"time"
	"unique"
)

// TokenCache answers queries from the token sets of one State. It is filled in
// once, never changed, and so may be read by any number of goroutines.
//
// A lookup allocates nothing. What many sessions have in common, all but expiry and token, is kept once for all of
// them. Most sessions have one token set: it lies in the cache itself, so that where a cache is part of something larger a
// lookup needs no other memory. What answers a query for exactly the scopes that were granted comes first, in 40 bytes.
type TokenCache struct {
	first cachedSet // zero where there is none
	more  *[]cachedSet
}

// cachedSet is what a lookup needs of a token set.
type cachedSet struct {
	expiresAt   int64
	grant       unique.Handle[grant]
	terms       unique.Handle[terms]
	accessToken string
}

// grant is by what a set is found: its audience, and the scopes that were granted in canonical form.
type grant struct{ audience, scopes string }

// terms is what else there is to know of a set.
type terms struct {
	scope, actualAudience string
	requested             string // the scopes, in canonical form; "" when not known
}

// copyTo fills in token.
func (e *cachedSet) copyTo(token *Token) {
	terms := e.terms.Value()
	token.AccessToken, token.Scope, token.ActualAudience = e.accessToken, terms.scope, terms.actualAudience
	token.Audience = e.audience()
	token.ExpiresAt = time.Unix(e.expiresAt, 0).UTC()
}

func (e *cachedSet) audience() string  { return e.grant.Value().audience }
func (e *cachedSet) granted() string   { return e.grant.Value().scopes }
func (e *cachedSet) requested() string { return e.terms.Value().requested }

// NewTokenCache returns the cache of s, which must not be changed afterwards. A
// nil State has no tokens.
func NewTokenCache(s *State) *TokenCache {
	c := &TokenCache{}
	c.Fill(s)
	return c
}

// Fill makes c, which is zero, the cache of s.
func (c *TokenCache) Fill(s *State) {
	if s == nil || len(s.TokenSets) == 0 {
		return
	}
	c.first.fill(&s.TokenSets[0])
	if rest := s.TokenSets[1:]; len(rest) > 0 {
		more := make([]cachedSet, len(rest))
		for i := range rest {
			more[i].fill(&rest[i])
		}
		c.more = &more
	}
}

func (e *cachedSet) fill(set *TokenSet) {
	granted := ParseScope(set.Scope).String()
	requested := granted
	if set.RequestedScope != set.Scope {
		requested = ParseScope(set.RequestedScope).String()
	}
	e.expiresAt, e.accessToken = set.ExpiresAt, set.AccessToken
	e.grant = unique.Make(grant{set.Audience, granted})
	e.terms = unique.Make(terms{set.Scope, set.ActualAudience, requested})
}

// empty reports whether there is no set.
func (c *TokenCache) empty() bool { return c.first.grant == (unique.Handle[grant]{}) }

// len returns how many sets there are, and at the one at a place.
func (c *TokenCache) len() int {
	switch {
	case c.empty():
		return 0
	case c.more == nil:
		return 1
	}
	return 1 + len(*c.more)
}

func (c *TokenCache) at(i int) *cachedSet {
	if i == 0 {
		return &c.first
	}
	return &(*c.more)[i-1]
}

// Lookup fills in the token that answers q at now, and reports whether there is one: of those for the
// audience that have not expired, the one granted for exactly the scopes wanted;
// else the one requested with exactly these, however narrowly it was granted; else
// the one with the fewest scopes that have them all. Among equals the first wins, and where no scopes are
// wanted the fewest of those requested without any, or of which that is not known. A Token is eleven words, and next to
// the clock nothing on a hit costs more than to copy them once too often: so it is filled in where it is wanted.
//
// A token has expired at the very instant of its expiry, and with a buffer that
// much earlier; a negative buffer counts as none.
func (c *TokenCache) Lookup(q *TokenQuery, now time.Time, buffer time.Duration, token *Token) bool {
	best := c.find(q, now, buffer)
	if best == nil {
		return false
	}
	best.copyTo(token)
	return true
}

func (c *TokenCache) find(q *TokenQuery, now time.Time, buffer time.Duration) (best *cachedSet) {
	if c == nil {
		return nil
	}
	// Expiries are whole seconds, so the seconds of now, rounded down, decide.
	at := now.Unix()
	if buffer > 0 {
		at = now.Add(buffer).Unix()
	}
	want := q.Key.Scopes
	if c.firstIs(grant{q.Key.Audience, want}, at) {
		return &c.first
	}

	fewest := 0 // scopes of best; 0 when it was requested as wanted
	for i := range c.len() {
		e := c.at(i)
		granted := e.grant.Value()
		if e.expiresAt <= at || granted.audience != q.Key.Audience {
			continue
		}
		switch {
		case granted.scopes == want:
			return e
		case best != nil && fewest == 0:
		case want != "" && e.requested() == want:
			best, fewest = e, 0
		case canonicalCovers(granted.scopes, want):
			if n := e.breadth(want); best == nil || n < fewest {
				best, fewest = e, n
			}
		}
	}
	return best
}

// firstIs reports whether the first set was granted as wanted and has not expired at a second. Mostly it is so, and no more of c is read.
func (c *TokenCache) firstIs(wanted grant, at int64) bool {
	return !c.empty() && c.first.expiresAt > at && c.first.grant.Value() == wanted
}

// breadth returns how many scopes e has. Where none are wanted, a set that was requested with scopes comes after all that
// were not.
func (e *cachedSet) breadth(want string) int {
	n := canonicalLen(e.granted())
	if want == "" && e.requested() != "" {
		n += 1 << 30 // more than a set can have
	}
	return n
}

// usefulTokenSets reports of each set whether Lookup can choose it at now or later. A set that
// another shadows for the rest of its life is of no more use than one that has expired.
//
// The sets that outlive a set are the only ones there are in its last second. So where it is
// not chosen then, by a query for what it was granted or asked for, it never is: for
// fewer scopes it loses to the same sets.
func usefulTokenSets(sets []TokenSet, now time.Time, buffer time.Duration) []bool {
	at := now.Add(max(buffer, 0)).Unix()
	c := NewTokenCache(&State{TokenSets: sets})
	useful := make([]bool, len(sets))
	for i := range c.len() {
		e := c.at(i)
		if e.expiresAt <= at {
			continue
		}
		last := time.Unix(e.expiresAt-1, 0)
		for _, scopes := range []string{e.granted(), e.requested()} {
			q := TokenQuery{Key: FlightKey{Audience: e.audience(), Scopes: scopes}}
			useful[i] = useful[i] || c.find(&q, last, 0) == e
		}
	}
	return useful
}

// Len returns how many tokens there are.
func (c *TokenCache) Len() int { return c.len() }

// At returns the token at place i.
func (c *TokenCache) At(i int) (t Token) {
	c.at(i).copyTo(&t)
	return t
}

// Index returns the place of t, which Lookup or At has returned; -1 where c has another one by now.
func (c *TokenCache) Index(t *Token) int {
	for i := range c.len() {
		if e := c.at(i); e.accessToken == t.AccessToken && e.audience() == t.Audience && e.expiresAt == t.ExpiresAt.Unix() {
			return i
		}
	}
	return -1
}

// Format prints c without its tokens.
func (c TokenCache) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%d tokens", c.len())
}

// FindConnection returns the unexpired token of the connection that k names. A
// login hint is met by that hint alone. Without one the set without a hint is taken, else the
// first of that connection. It may be called on a nil State, and allocates nothing.
func (s *State) FindConnection(k FlightKey, now time.Time) (ConnectionToken, bool) {
	if s == nil {
		return ConnectionToken{}, false
	}
	at := now.Unix()
	var first *ConnectionTokenSet
	for i := range s.ConnectionTokenSets {
		set := &s.ConnectionTokenSets[i]
		if set.Connection != k.Connection || set.ExpiresAt <= at {
			continue
		}
		if set.LoginHint == k.LoginHint {
			return set.token(), true
		}
		if first == nil && k.LoginHint == "" {
			first = set
		}
	}
	if first == nil {
		return ConnectionToken{}, false
	}
	return first.token(), true
}
