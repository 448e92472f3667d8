package tokenward

import (
	"maps"
	"sync/atomic"

	"github.com/tokenward/tokenward/session"
)

// TokenRequest says which access token is wanted. The zero value is the configured
// audience with its scopes.
type TokenRequest struct {
	Audience string // empty: Config.Audience
	Scope    string // added to the scopes configured for the audience, separated by spaces
}

// ConnectionRequest says of which connection a token is wanted.
type ConnectionRequest struct {
	Connection string // such as google-oauth2; required
	LoginHint  string // which account, where a user has several
}

const maxQuestions = 4096

// questions keeps the question that each TokenRequest comes to, so that asking
// again allocates nothing. Beyond a number of different requests it keeps no more.
type questions struct {
	policy session.Policy
	usual  *session.Question
	known  atomic.Pointer[map[TokenRequest]*session.Question]
}

func (qs *questions) init(p session.Policy) {
	qs.policy, qs.usual = p, p.Question("", "")
	qs.known.Store(&map[TokenRequest]*session.Question{})
}

func (qs *questions) of(r TokenRequest) *session.Question {
	if r == (TokenRequest{}) {
		return qs.usual
	}
	for {
		known := qs.known.Load()
		if q := (*known)[r]; q != nil {
			return q
		}
		q := qs.policy.Question(r.Audience, r.Scope)
		if len(*known) >= maxQuestions {
			return q
		}
		grown := maps.Clone(*known)
		grown[r] = q
		if qs.known.CompareAndSwap(known, &grown) {
			return q
		}
	}
}
