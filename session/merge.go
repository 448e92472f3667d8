package session

import (
	"slices"
	"time"
)

// WithTokensSince returns s with the tokens that mine has since base and that s has none of its own for: none for the same audience and
// scopes, or the same connection and login hint. It leaves out those that have expired at now, and returns s itself where there are none. It
// is for a merge: s was written by another process on top of base, and so was mine by this one.
func (s *State) WithTokensSince(base, mine *State, now time.Time, o ApplyOptions) *State {
	next, changed := *s, false
	for _, set := range mine.TokenSets {
		had := func(have TokenSet) bool { return have.AccessToken == set.AccessToken }
		if set.ExpiresAt > now.Unix() && !slices.ContainsFunc(base.TokenSets, had) && !slices.ContainsFunc(s.TokenSets, set.sameQuery) {
			next.TokenSets, changed = put(next.TokenSets, -1, set, o.tokenShelf(now)), true
		}
	}
	for _, set := range mine.ConnectionTokenSets {
		had := func(have ConnectionTokenSet) bool { return have.AccessToken == set.AccessToken }
		if set.ExpiresAt > now.Unix() && !slices.ContainsFunc(base.ConnectionTokenSets, had) && !slices.ContainsFunc(s.ConnectionTokenSets, set.sameQuery) {
			next.ConnectionTokenSets, changed = put(next.ConnectionTokenSets, -1, set, o.connectionShelf(now)), true
		}
	}
	if !changed || !next.fit("", now, o) {
		return s
	}
	return &next
}

// sameQuery reports whether t and other are for one audience, of one grant and one request.
func (t *TokenSet) sameQuery(other TokenSet) bool {
	return t.Audience == other.Audience && ParseScope(t.Scope).Equal(ParseScope(other.Scope)) &&
		ParseScope(t.RequestedScope).Equal(ParseScope(other.RequestedScope))
}

// sameQuery reports whether t and other are for one connection and login hint.
func (t *ConnectionTokenSet) sameQuery(other ConnectionTokenSet) bool {
	return t.Connection == other.Connection && t.LoginHint == other.LoginHint
}
