package actors

import (
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// cachedToken fills in the token with which the cache that s shows answers f, and reports whether there is one.
//
// What f demands beyond its query is judged here, in the turn in which f is answered: an earlier flight may have replaced the
// token that f's callers saw. A token that does not meet the demand is the answer all the same where a refresh was made for such
// a demand a moment ago, so that the demand does not cost a refresh for each call (session.Demanded).
func (c *core) cachedToken(s *directory.Snapshot, f *directory.Flight, now time.Time, token *session.Token) bool {
	tokens, d, key := &s.Tokens, &f.Demand, f.Query.Key
	if !tokens.Lookup(f.Query, now, max(c.rules.Buffer, d.MinRemaining), token) {
		if d.MinRemaining <= c.rules.Buffer || !tokens.Lookup(f.Query, now, c.rules.Buffer, token) || c.demanded.MayRenew(key, token, now) {
			return false
		}
	}
	if f.Early() && s.Due(token, now) {
		return false
	}
	return !d.Refuses(token.AccessToken) || !c.demanded.MayRefuse(key, now)
}

// applyRefresh is session.State.ApplyRefresh for the answer r to f. A token that f's callers say was refused goes: a set that was
// granted otherwise would leave it in the cache beside the new one.
func (c *core) applyRefresh(s *session.State, f *directory.Flight, r session.TokenResponse, now time.Time) (*session.State, session.Token, error) {
	next, token, err := s.ApplyRefresh(f.Query, r, now, c.rules.applyOptions())
	if err == nil {
		next = next.WithoutRefused(&f.Demand, token.AccessToken)
	}
	return next, token, err
}

// noteDemand remembers that a's request was sent to meet a demand, and what came of it: token, nil where it failed. A request
// that was sent because the cache had nothing at all is not counted against a refused token.
func (c *core) noteDemand(a *request, token *session.Token, now time.Time) {
	d, key := &a.flight.Demand, a.flight.Query.Key
	if a.state.WithoutRefused(d, "") != a.state {
		c.demanded.Note(key, true, token, now)
	}
	if d.MinRemaining > 0 {
		c.demanded.Note(key, false, token, now)
	}
}
