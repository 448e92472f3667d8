package session

import "time"

// Find is Lookup for tests that compare tokens: nil where there is none.
func (c *TokenCache) Find(q *TokenQuery, now time.Time, buffer time.Duration) *Token {
	var t Token
	if !c.Lookup(q, now, buffer, &t) {
		return nil
	}
	return &t
}

// Len returns how many bytes p has.
func (p Packed) Len() int { return len(p.text) }
