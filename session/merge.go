package session

import (
	"slices"
	"time"
)

// WithTokensSince returns s with the tokens that mine has since base, for which s has neither one of its own nor one that renewed them. It leaves
// out those that have expired at now, and returns s itself where there are none. It is for a merge: s was written by another process on top
// of base, and so was mine by this one.
//
// No token of s makes room for one of mine. The other process may have read that one, and have made room for its own: it would come back, by a
// save more than there were requests.
func (s *State) WithTokensSince(base, mine *State, now time.Time, o ApplyOptions) *State {
	next, changed := *s, false
	for _, set := range mine.TokenSets {
		had := func(have TokenSet) bool { return have.AccessToken == set.AccessToken }
		free := len(next.TokenSets) < o.limit() && set.place(next.TokenSets) < 0
		if free && set.ExpiresAt > now.Unix() && !slices.ContainsFunc(base.TokenSets, had) {
			next.TokenSets, changed = append(slices.Clip(next.TokenSets), set), true
		}
	}
	for _, set := range mine.ConnectionTokenSets {
		had := func(have ConnectionTokenSet) bool { return have.AccessToken == set.AccessToken }
		free := len(next.ConnectionTokenSets) < o.limit() && set.place(next.ConnectionTokenSets) < 0
		if free && set.ExpiresAt > now.Unix() && !slices.ContainsFunc(base.ConnectionTokenSets, had) {
			next.ConnectionTokenSets, changed = append(slices.Clip(next.ConnectionTokenSets), set), true
		}
	}
	if !changed || !next.fits(o.MaxBytes) {
		return s
	}
	return &next
}
